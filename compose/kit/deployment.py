"""Deploy a stack: the one algorithm, over what both runtimes can do.

New replicas start beside the old ones and must answer before nginx sends them requests. Only then
does nginx leave out the old ones, waits until they have no request, and they stop. If the new ones
do not become ready, they stop instead, and the old ones go on serving.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kit.console import say, step
from kit.errors import KitError
from kit.settings import Settings
from kit.state import StateFolder
from kit.system import readiness
from kit.system.readiness import Answer


@dataclass(frozen=True, slots=True)
class Replica:
    """A Gunicorn master with its workers.

    Attributes:
        name: ``app-1`` and so on. Numbers grow while a stack runs, so no two share one.
        runs: it has a process that is not paused.
    """

    name: str
    runs: bool


class Stack(Protocol):
    """What a runtime can do for a deployment. Every method raises `KitError` if it fails."""

    @property
    def settings(self) -> Settings:
        """What the caller wants."""

    @property
    def state(self) -> StateFolder:
        """The state folder of the stack."""

    def prepare(self) -> None:
        """Make what services start from, such as a release or images. Services stay as they are."""

    def ensure_store(self) -> bool:
        """Start the store unless it runs as wanted; return whether something changed."""

    def replicas(self) -> list[Replica]:
        """Return the replicas that exist, in the order of their numbers."""

    def is_current(self, replica: Replica) -> bool:
        """Whether a replica was started with the code and the settings that are wanted now."""

    def start(self, count: int) -> list[Replica]:
        """Start new replicas beside the others. Do not wait; nginx does not use them yet."""

    def stop(self, replicas: Sequence[Replica]) -> None:
        """Stop replicas gracefully, all at once, and remove them."""

    def route(self, replicas: Sequence[Replica]) -> None:
        """Let nginx send requests to these replicas only; wait until the others have none."""

    def ensure_nginx(self, replicas: Sequence[Replica]) -> bool:
        """Start or reload nginx for these replicas; return whether something changed."""

    def finish(self) -> list[str]:
        """Remove services and files that are no longer wanted; return the services' names."""

    def restart_service(self, name: str) -> None:
        """Stop a service and start it again as it was started before. Do not wait."""

    def probe(self, name: str) -> Callable[[], Answer]:
        """Return a function that asks a service, from now on, whether it is ready."""

    def last_words(self, name: str) -> str:
        """Return the end of a service's log, since it was started."""

    def services(self) -> list[str]:
        """Return the names of all services that exist."""

    def summary(self) -> dict[str, str]:
        """Return what `make up` prints about the stack: names and texts, in order."""


def deploy(stack: Stack, *, was_running: bool) -> None:
    """Make the stack what its settings say: store, replicas, nginx, then remove the rest.

    Raises:
        KitError: a service does not become ready. The replicas that ran before go on serving.
    """
    began = time.monotonic()
    stack.prepare()
    before = stack.replicas()
    changes = ["store"] if stack.ensure_store() else []
    changes += _deploy_replicas(stack, before)
    if stack.ensure_nginx(stack.replicas()):
        changes.append("nginx")
    changes += stack.finish()
    _report(stack, before, changes, was_running=was_running, seconds=time.monotonic() - began)


def restart(stack: Stack, name: str | None) -> None:
    """Restart one service, or each replica after the one before has answered.

    All else stays as it was started, even if its settings are not given again.

    Raises:
        KitError: there is no such service, or it does not become ready.
    """
    replicas = stack.replicas()
    if name is not None and name not in stack.services():
        raise KitError(
            f"SERVICE={name} is not a service of this stack",
            f"choose one of {', '.join(stack.services())}",
        )
    try:
        for each in [name] if name else [replica.name for replica in replicas]:
            with step(f"restarting {each}"):
                others = [replica for replica in replicas if replica.name != each]
                # SIGTERM alone loses POSTs, so nginx leaves the replica out first.
                if others and len(others) < len(replicas):
                    stack.route(others)
                stack.restart_service(each)
                await_ready(stack, each)
            stack.state.record_event("restarted", each)
    finally:
        if running := [replica for replica in stack.replicas() if replica.runs]:
            stack.route(running)


def await_ready(stack: Stack, name: str, probe: Callable[[], Answer] | None = None) -> None:
    """Wait until a service answers to its own probe, or to another one.

    Raises:
        KitError: it does not within ``READY_TIMEOUT``; the message has its last words.
    """
    seconds = stack.settings.ready_timeout
    answer = readiness.wait(
        probe or stack.probe(name),
        time.monotonic() + seconds,
        lambda problem: say(f" {problem}; waiting {seconds} s at most …", end=""),
    )
    if not answer.is_ready:
        make = stack.settings.make
        raise KitError(
            f"{name} is not ready: {answer.problem}. {stack.last_words(name)}",
            f"see its log: {make('logs')} SERVICE={name}",
            f"`{make('up')}` goes on from here, `{make('down')}` stops everything",
        )


def _deploy_replicas(stack: Stack, before: Sequence[Replica]) -> list[str]:
    """Replace the replicas that are not as wanted; return the names that came or went."""
    running = [replica for replica in before if replica.runs]
    kept = [replica for replica in running if stack.is_current(replica)]
    kept = kept[: stack.settings.replicas]
    stack.stop([replica for replica in before if not replica.runs])
    for replica in kept:
        await_ready(stack, replica.name)
    started: list[Replica] = []
    try:
        if missing := stack.settings.replicas - len(kept):
            started = stack.start(missing)
        for replica in started:
            with step(f"{replica.name} ({_counted(stack.settings.workers, 'worker')})"):
                await_ready(stack, replica.name)
    except KitError as error:
        if not running:
            raise
        names = {replica.name for replica in running}
        stack.stop([replica for replica in stack.replicas() if replica.name not in names])
        stack.route(running)
        raise KitError(
            error.problem,
            "correct that, then try again; the replicas that ran before go on serving",
            f"`{stack.settings.make('down')}` stops everything",
        ) from error
    leaving = [replica for replica in running if replica not in kept]
    if leaving:
        with step(f"stopping {', '.join(replica.name for replica in leaving)}"):
            stack.route([*kept, *started])
            stack.stop(leaving)
    return [replica.name for replica in (*started, *leaving)]


def _report(
    stack: Stack,
    before: Sequence[Replica],
    changes: Sequence[str],
    *,
    was_running: bool,
    seconds: float,
) -> None:
    s, state = stack.settings, stack.state
    if not changes:
        say(f"Nothing to change at {s.url}. `{s.make('status')}` shows what runs.")
        return
    had = sum(replica.runs for replica in before)
    if had and had != s.replicas:
        state.record_event("scaled", "app", f"{had} to {_counted(s.replicas, 'replica')}")
    summary = stack.summary()
    code = next(f"{name} {summary[name]}" for name in ("release", "image") if name in summary)
    workers = _counted(s.workers, f"{s.worker_class} worker")
    detail = f"{_counted(s.replicas, 'replica')} of {workers}, {code}"
    state.record_event("changed" if was_running else "started", "stack", detail)
    names = ", ".join(replica.name for replica in stack.replicas())
    summary = {
        "replicas": f"{names}: {workers}{' each' if s.replicas > 1 else ''}",
        **summary,
        "state": str(state.root),
    }
    say(f"\n{s.url} is ready after {seconds:.1f} s\n")
    for name, text in summary.items():
        say(f"  {name:10} {text}")
    verbs = " | ".join(s.make(verb) for verb in ("open", "status", "logs", "down"))
    say(f"\nNext: {verbs}")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
