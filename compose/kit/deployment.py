"""Deploy a stack, and restart its services.

New replicas start beside the old ones and must answer before nginx sends them requests. The first
of a new release is tried by visitors, too, alone and then beside the old ones. Only then nginx
leaves out the old ones, and they stop when they have no request left. If anything fails, the new
ones stop instead, and the old ones go on serving. For processes `exchange` does this, for
containers the script `deploy`.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from kit.console import say, step
from kit.errors import KitError
from kit.runtime import Deployment, Replica, Runtime
from kit.settings import Settings
from kit.system import readiness
from kit.system.readiness import Answer

# Seconds that a new replica must run after its first answer.
_SETTLE_SECONDS = 2
# Ctrl-C, a termination, and a terminal that is gone.
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def deploy(runtime: Runtime, *, was_running: bool, back: bool = False) -> None:
    """Make the stack what its settings say, or go back to the release before.

    Raises:
        KitError: a service does not become ready. The replicas that ran before go on serving.
    """
    began = time.monotonic()
    deployment = runtime.prepare(back=back)
    before = runtime.replicas()
    if not deployment.change():
        s = runtime.settings
        say(f"Nothing to deploy at {s.url}. `{s.make('status')}` shows what runs.")
        return
    _record(runtime, deployment, before, was_running=was_running)
    _report(runtime, deployment, time.monotonic() - began)


class Services(Protocol):
    """What `exchange` does with the services of a stack."""

    def ensure_store(self) -> bool:
        """Start the store unless it runs as wanted; return whether something changed."""

    def run_release_command(self) -> None:
        """Run the application's RELEASE_COMMAND, unless it has run for this release."""

    def is_current(self, replica: Replica) -> bool:
        """Whether a replica was started with the code and the settings that are wanted now."""

    def prepare_smoke_test(self, serving: Sequence[Replica]) -> bool:
        """Whether visitors try the first new replica; make what they need.

        They do if code, packages or settings differ from those of the replicas that serve.
        """

    def smoke_test(self, replica: Replica | None) -> str:
        """Let visitors ask one replica, or nginx, and return what they say.

        Raises:
            KitError: they find a fault, or too few answers came.
        """

    def lives(self, replica: Replica) -> frozenset[int]:
        """Return the pids of a replica's processes."""

    def start(self, count: int) -> list[Replica]:
        """Start new replicas beside the others. Do not wait; nginx does not use them yet."""

    def ensure_nginx(self) -> bool:
        """Start or reload nginx for all replicas; return whether something changed."""

    def finish(self) -> list[str]:
        """Remove services and files that are no longer wanted; return the services' names."""


def exchange(runtime: Runtime, services: Services) -> list[str]:
    """Change store, replicas, nginx, in this order, and return the names of what changed."""
    known = {replica.name for replica in runtime.replicas()}
    before = runtime.recover()
    changes = sorted(known - {replica.name for replica in before})
    if services.ensure_store():
        changes.append("store")
    services.run_release_command()
    changes += _exchange_replicas(runtime, services, before)
    if services.ensure_nginx():
        changes.append("nginx")
    return [*changes, *services.finish()]


def restart(runtime: Runtime, name: str | None) -> None:
    """Restart one service, or each replica after the one before has answered.

    All else stays as it was started, even if its settings are not given again.
    """
    replicas = runtime.recover()
    if name is not None and name not in runtime.services():
        raise KitError(
            f"SERVICE={name} is not a service of this stack",
            f"choose one of {', '.join(runtime.services())}",
        )
    try:
        for each in [name] if name else [replica.name for replica in replicas]:
            with step(f"restarting {each}"):
                others = [replica for replica in replicas if replica.name != each]
                # SIGTERM alone loses POSTs, so nginx leaves the replica out first.
                if others and len(others) < len(replicas):
                    runtime.route(others)
                runtime.restart_service(each)
                await_ready(runtime, each)
            runtime.state.record_event("restarted", each)
    finally:
        if running := [replica for replica in runtime.replicas() if replica.runs]:
            runtime.route(running)


def await_ready(runtime: Runtime, name: str, probe: Callable[[], Answer] | None = None) -> None:
    """Wait until a service answers to its own probe, or to another one."""
    seconds = runtime.settings.ready_timeout
    answer = readiness.wait(
        probe or runtime.probe(name),
        time.monotonic() + seconds,
        lambda problem: say(f" {problem}; waiting {seconds} s at most …", end=""),
    )
    if not answer.is_ready:
        s = runtime.settings
        make, where = s.make, f"APP={s.app} is looked for in APP_DIR={s.app_dir}"
        raise KitError(
            f"{name} is not ready: {answer.problem}. {runtime.last_words(name)}",
            *([where] if s.app and s.is_foreign else []),
            f"see its log: {make('logs')} SERVICE={name}",
            f"`{make('up')}` goes on from here, `{make('down')}` stops everything",
        )


def _exchange_replicas(
    runtime: Runtime, services: Services, before: Sequence[Replica]
) -> list[str]:
    """Replace the replicas that are not as wanted; return the names that came or went."""
    running = [replica for replica in before if replica.runs]
    kept = [replica for replica in running if services.is_current(replica)]
    kept = kept[: runtime.settings.replicas]
    leaving = [replica for replica in before if replica not in kept]
    for replica in kept:
        await_ready(runtime, replica.name)
    is_tested = bool(running) and services.prepare_smoke_test(running)
    started: list[Replica] = []
    with _undone(runtime, before):
        while missing := runtime.settings.replicas - len(kept) - len(started):
            new = services.start(1 if is_tested else missing)
            started += new
            for replica in new:
                with step(f"{replica.name} ({_counted(runtime.settings.workers, 'worker')})"):
                    await_ready(runtime, replica.name)
            if running:
                _settle(runtime, services, new)
            if is_tested:
                _try(runtime, services, new[0], running)
                is_tested = False
        if leaving:
            runtime.route([*kept, *started])
    if leaving:
        with step(f"stopping {', '.join(replica.name for replica in leaving)}"):
            runtime.stop(leaving)
    return [replica.name for replica in (*started, *leaving)]


@contextmanager
def _undone(runtime: Runtime, before: Sequence[Replica]) -> Iterator[None]:
    """If the block fails or is interrupted, leave the replicas that were there before."""
    try:
        yield
    except BaseException as error:
        if not any(replica.runs for replica in before):
            raise
        say("  going back to the replicas that served before")
        handlers = {number: signal.signal(number, lambda *_: None) for number in INTERRUPTS}
        names = {replica.name for replica in before}
        try:
            runtime.route(before)
            runtime.stop([replica for replica in runtime.replicas() if replica.name not in names])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if not isinstance(error, KitError):
            raise
        raise KitError(
            error.problem,
            *(hint for hint in error.hints if not hint.endswith("stops everything")),
            "correct that, then try again; the replicas that ran before go on serving",
            f"`{runtime.settings.make('down')}` stops everything",
        ) from error


def _try(runtime: Runtime, services: Services, new: Replica, running: Sequence[Replica]) -> None:
    """Let visitors try a new replica, alone and then beside those that run."""
    lives = services.lives(new)
    with step(f"smoke test of {new.name}"):
        said = services.smoke_test(new)
    say(f"    {said}")
    runtime.route([*running, new])
    with step("smoke test of all"):
        said = services.smoke_test(None)
    say(f"    {said}")
    # A worker ends after some thousands of requests, too; its master goes on.
    if lives.isdisjoint(services.lives(new)):
        raise _ended(runtime, new)


def _settle(runtime: Runtime, services: Services, replicas: Sequence[Replica]) -> None:
    """Refuse replicas that end soon after their first answer."""
    lives = {replica: services.lives(replica) for replica in replicas}
    end, asked = time.monotonic() + _SETTLE_SECONDS, 0.0
    while asked < end:  # also where answers take their time, the last look comes after it
        time.sleep(0.1)
        asked = time.monotonic()
        for replica, before in lives.items():
            if not before <= services.lives(replica):
                raise _ended(runtime, replica)


def _ended(runtime: Runtime, replica: Replica) -> KitError:
    make = runtime.settings.make
    return KitError(
        f"{replica.name}, or a worker of it, ended after its first answer. "
        + runtime.last_words(replica.name),
        f"see its log: {make('logs')} SERVICE={replica.name}",
        f"`{make('down')}` stops everything",
    )


def _record(
    runtime: Runtime, deployment: Deployment, before: Sequence[Replica], *, was_running: bool
) -> None:
    s, state = runtime.settings, runtime.state
    replicas = _counted(s.replicas, "replica")
    had = sum(replica.runs for replica in before)
    if had and had != s.replicas:
        state.record_event("scaled", "app", f"{had} to {replicas}")
    detail = f"{replicas} of {_workers(s)}, {deployment.code}"
    state.record_event("changed" if was_running else "started", "stack", detail)


def _report(runtime: Runtime, deployment: Deployment, seconds: float) -> None:
    s = runtime.settings
    names = ", ".join(replica.name for replica in runtime.replicas())
    summary = {
        "replicas": f"{names}: {_workers(s)}{' each' if s.replicas > 1 else ''}",
        **deployment.summary(),
        "state": str(runtime.state.root),
    }
    say(f"\n{s.url} is ready after {seconds:.1f} s\n")
    for name, text in summary.items():
        say(f"  {name:10} {text}")
    if s.is_foreign:
        for seen in deployment.observe():
            say(f"  {'seen':10} {seen}")
    verbs = " | ".join(s.make(verb) for verb in ("open", "status", "logs", "down"))
    say(f"\nNext: {verbs}")


def _workers(settings: Settings) -> str:
    return _counted(settings.workers, f"{settings.worker_class} worker")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
