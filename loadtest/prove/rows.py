"""The rows of the page: what is done to the stack, and the same to a stock server."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from loadtest.errors import LoadTestError
from loadtest.prove import visitors
from loadtest.prove.stacks import Kit, Stock
from loadtest.prove.visitors import Tally, Visit


@dataclass(frozen=True, kw_only=True)
class Options:
    """How long and how often.

    Attributes:
        seconds: of load, where nothing else says when a row ends.
        deploys: of the row of that name.
        health_path: what visitors of another application ask.
        soak: seconds of the row of that name.
    """

    seconds: float = 20
    deploys: int = 3
    health_path: str = "/"
    soak: float = 0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one of the two did in one row.

    Attributes:
        done: what was done, in words.
        is_kept: whether all was as promised.
        problems: what was not, in words.
    """

    done: str
    requests: int
    failed: int
    acknowledged: int
    lost: int
    doubled: int
    is_kept: bool
    problems: list[str]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: the verdict is passed, failed or `not run`, with the reason."""

    name: str
    title: str
    verdict: str
    kit: Measured | None
    stock: Measured | None
    why: str = ""

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"make prove ARGS='--only {self.name}'"


class Skipped(Exception):
    """The row cannot be made; the message says why."""


def measured(
    done: str, tally: Tally, *, allows_failures: bool = False, wrong: str = ""
) -> Measured:
    """Return what visitors met; `wrong` is what else was not as promised."""
    problems = [*filter(None, [wrong]), *tally.details]
    is_kept = not (tally.lost or tally.doubled or wrong or (tally.failed and not allows_failures))
    return Measured(
        done=done,
        requests=tally.requests,
        failed=tally.failed,
        lost=tally.lost,
        acknowledged=tally.acknowledged,
        doubled=tally.doubled,
        is_kept=is_kept,
        problems=[] if is_kept else problems,
    )


def continuity(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """12 visitors fill carts on all workers, without sticky routing."""
    _need_shop(kit)
    done = f"{visitors.VISITORS} visitors for {options.seconds:g} s"
    return (
        measured(done, _load(kit.port, visitors.every_method, options)),
        measured(done, _load(stock.port, _stock_cart, options)),
    )


def races(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """Four tabs of a visitor add at the same moment."""
    _need_shop(kit)
    done = f"visits of four tabs for {options.seconds:g} s"
    return (
        measured(done, _load(kit.port, visitors.race, options, 4)),
        measured(done, _load(stock.port, visitors.race, options, 4)),
    )


def revival(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """A logout while two tabs add: the old cookie is the user's no longer."""
    _need_shop(kit)
    done = f"logouts for {options.seconds:g} s (lost: those that ended nothing)"
    return (
        measured(done, _load(kit.port, visitors.leave, options, 3)),
        measured(done, _load(stock.port, visitors.leave, options, 3)),
    )


def once(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """Each add is sent twice, with one key, while workers are killed: it is there once."""
    _need_shop(kit)
    done = f"a worker killed twice a second for {options.seconds:g} s, clients that hang up"
    with _repeated(kit.kill_worker, 0.5):
        ours = _load(kit.port, partial(visitors.cart, is_hasty=True), options)
    with _repeated(stock.kill_worker, 0.5):
        theirs = _load(stock.port, partial(visitors.cart, keyed=False, is_hasty=True), options)
    return (
        measured(done, ours, allows_failures=True),
        measured(done, theirs, allows_failures=True),
    )


def deploy(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """New code goes in under load."""
    with visitors.visitors(kit.port, _visit(kit, options)) as ours:
        for _ in range(options.deploys):
            kit.change()
            kit.succeed("deploy" if _has(kit, "deploy") else "up")
    with visitors.visitors(stock.port, _stock_cart) as theirs:
        for _ in range(options.deploys):
            stock.deploy()
            time.sleep(2)
    return (
        measured(f"{options.deploys} deployments of changed code", ours),
        measured(f"{options.deploys} restarts", theirs),
    )


def rollback(kit: Kit, _stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """Back to the release before, under load."""
    _need_verb(kit, "rollback")
    with visitors.visitors(kit.port, _visit(kit, options)) as ours:
        kit.change()
        kit.succeed("deploy")
        kit.succeed("rollback")
    return measured("a deployment and a rollback", ours), None


def wrong(kit: Kit, _stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """A release that answers 500 to one call in ten, and one that loses one add in a hundred."""
    _need_verb(kit, "rollback")
    _need_shop(kit)
    undone = []
    with visitors.visitors(kit.port, _visit(kit, options)) as ours:
        for name in ("failing", "losing"):
            with kit.broken(name):
                status, printed = kit.verb("deploy")
            undone.append((name, status != 0 and "smoke test" in printed))
    bad = ", ".join(name for name, was_undone in undone if not was_undone)
    return measured("two wrong releases", ours, wrong=f"{bad}: not undone" if bad else ""), None


def killed(kit: Kit, _stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """The deployment itself is killed at some moment; the next one finishes or undoes it."""
    _need_verb(kit, "rollback")
    left = ""
    with visitors.visitors(kit.port, _visit(kit, options)) as ours:
        for _ in range(options.deploys):
            kit.change()
            process = kit.start_verb("deploy")
            time.sleep(random.uniform(1, 25))
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            status, printed = kit.verb("deploy")
            left = left or (printed[-500:] if status else "")
    done = f"{options.deploys} deployments killed, and made again"
    return measured(done, ours, wrong=left), None


def store(kit: Kit, _stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """The store restarts under load: requests fail, and what was acknowledged is there."""
    _need_shop(kit)
    service = "valkey" if kit.runtime == "local" else "redis"
    with visitors.visitors(kit.port, visitors.cart) as ours:
        time.sleep(options.seconds / 4)
        kit.succeed("restart", SERVICE=service)
        time.sleep(options.seconds / 4)
    return measured("a restart of the store", ours, allows_failures=True), None


_stock_cart = partial(visitors.cart, keyed=False)

Make = Callable[[Kit, Stock, Options], tuple[Measured, Measured | None]]

ROWS: dict[str, Make] = {
    "continuity": continuity,
    "races": races,
    "revival": revival,
    "once": once,
    "deploy": deploy,
    "rollback": rollback,
    "wrong": wrong,
    "killed": killed,
    "store": store,
}
"""Each row by the name that `--only` takes; its docstring is its title."""


def made(name: str, make: Make, kit: Kit, stock: Stock, options: Options) -> Row:
    """Make one row; one that cannot be made never counts as passed."""
    title = (make.__doc__ or "").splitlines()[0]
    try:
        ours, theirs = make(kit, stock, options)
    except Skipped as error:
        return Row(name=name, title=title, verdict="not run", kit=None, stock=None, why=str(error))
    except (LoadTestError, OSError) as error:
        return Row(name=name, title=title, verdict="failed", kit=None, stock=None, why=str(error))
    verdict = "passed" if ours.is_kept else "failed"
    if not ours.requests:
        verdict = "not run"
    return Row(name=name, title=title, verdict=verdict, kit=ours, stock=theirs)


def _load(port: int, visit: Visit, options: Options, number: int = visitors.VISITORS) -> Tally:
    with visitors.visitors(port, visit, number) as tally:
        time.sleep(options.seconds)
    return tally


def _visit(kit: Kit, options: Options) -> Visit:
    return visitors.every_method if kit.is_shop else visitors.path_of(options.health_path)


def _need_shop(kit: Kit) -> None:
    if not kit.is_shop:
        raise Skipped("it needs the shop's cart, and APP_DIR names another application")


def _has(kit: Kit, verb: str) -> bool:
    return f"\n{verb}:" in (kit.checkout / "Makefile").read_text(encoding="utf-8")


def _need_verb(kit: Kit, verb: str) -> None:
    if not _has(kit, verb):
        raise Skipped(f"there is no `make {verb}` yet")


@contextmanager
def _repeated(action: Callable[[], None], seconds: float) -> Iterator[None]:
    """Repeat an action until the block ends.

    Raises:
        Skipped: it cannot be done.
    """
    action_failed: list[LoadTestError] = []
    end = threading.Event()

    def repeat() -> None:
        while not end.wait(seconds):
            try:
                action()
            except LoadTestError as error:
                action_failed.append(error)
                return

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
    if action_failed:
        raise Skipped(action_failed[0].problem)
