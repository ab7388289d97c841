"""The rows of the page: what is done to the stack, and the same to a stock server."""

import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import psutil

from loadtest.console import say
from loadtest.errors import LoadTestError
from loadtest.harness.kit import Kit
from loadtest.prove import visitors
from loadtest.prove.row import Make, Measured, Options, Skipped, measured, need_shop
from loadtest.prove.stock import Stock
from loadtest.prove.store import failover, store
from loadtest.prove.visitors import Tally, Visit

_SHOWN = 500
# Of load after each thing that is done to the stock server, so that what it loses later counts.
_BETWEEN_SECONDS = 2
_FEW = 3


@dataclass(frozen=True)
class Fault:
    """A wrong release.

    Attributes:
        build: its name in `wrong.py`; one that is not there does not import.
        named: a pattern of what the deployment has to say of it.
        ready_timeout: seconds that its replicas may take.
    """

    title: str
    build: str
    named: str
    ready_timeout: str = "180"


FAULTS = (
    Fault("does not import", "missing", "ImportError: cannot import name 'missing'", "12"),
    Fault("is never ready", "unready", "is not (ready: /readyz answers|healthy).*503", "12"),
    Fault("answers 500 to one call in ten", "failing", "smoke test failed: errors of "),
    Fault("loses one add in a hundred", "losing", "smoke test failed: lost "),
)


def continuity(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """12 visitors fill carts on all workers, without sticky routing."""
    need_shop(kit)
    done = f"{visitors.VISITORS} visitors for {options.seconds:g} s"
    return (
        measured(done, _load(kit.port, visitors.every_method, options)),
        measured(done, _load(stock.port, _stock_cart, options)),
    )


def races(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """Four tabs of a visitor add at the same moment."""
    done = f"visits of four tabs for {options.seconds:g} s"
    return _the_same(kit, stock, options, visitors.race, 4, done)


def revival(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """A logout while two tabs add: the old cookie is the user's no longer."""
    done = f"logouts for {options.seconds:g} s (lost: those that ended nothing)"
    return _the_same(kit, stock, options, visitors.leave, 3, done)


def once(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """Each add is sent twice, with one key, while workers are killed: it is there once."""
    need_shop(kit)
    with _repeated(kit.kill_worker, 0.5) as ours_killed:
        ours = _load(kit.port, partial(visitors.cart, is_hasty=True), options)
    with _repeated(stock.kill_worker, 0.5) as theirs_killed:
        theirs = _load(stock.port, partial(visitors.cart, keyed=False, is_hasty=True), options)
    done = "clients that hang up, and {} workers killed, two a second"
    return (
        measured(done.format(sum(ours_killed)), ours, allows_failures=True),
        measured(done.format(sum(theirs_killed)), theirs, allows_failures=True),
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
            time.sleep(_BETWEEN_SECONDS)
    done = f"{options.deploys} deployments of changed code"
    return measured(done, ours), measured(done, theirs)


def scale(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """Up to five replicas and down to two, under load."""
    with visitors.visitors(kit.port, _visit(kit, options)) as ours:
        for replicas in ("5", "2"):
            kit.succeed("up", REPLICAS=replicas)
            time.sleep(_BETWEEN_SECONDS)
    with visitors.visitors(stock.port, _stock_cart) as theirs:
        for number in (5, 2):
            stock.scale(number)
            time.sleep(_BETWEEN_SECONDS)
    done = "up to 5 replicas and down to 2"
    return measured(done, ours), measured(done, theirs)


def rollback(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """Back to the release before, under load."""
    _need_verb(kit, "rollback")
    with visitors.visitors(kit.port, _visit(kit, options)) as ours:
        for _ in range(options.rollbacks):
            kit.change()
            kit.succeed("deploy")
            kit.succeed("rollback")
    with visitors.visitors(stock.port, _stock_cart) as theirs:
        for _ in range(2 * options.rollbacks):
            stock.deploy()
            time.sleep(_BETWEEN_SECONDS)
    return (
        measured(f"a deployment and a rollback, {options.rollbacks} times", ours),
        measured(f"new code and the old again, {options.rollbacks} times", theirs),
    )


def wrong(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """Wrong releases: each is undone, named correctly, and leaves the old replicas serving."""
    _need_verb(kit, "rollback")
    need_shop(kit)
    missed: list[str] = []
    with visitors.visitors(kit.port, _visit(kit, options), _FEW) as ours:
        counted = [
            f"{fault.title}: {sum([is_undone(kit, fault, missed) for _ in range(options.times)])}"
            for fault in FAULTS
        ]
    with visitors.visitors(stock.port, _stock_cart, _FEW) as theirs:
        stock.deploy(app="loadtest.prove.wrong:failing_stock()")
        time.sleep(options.seconds)
        stock.deploy()
    return (
        measured(
            f"{options.times} of each; undone and named: {', '.join(counted)}",
            ours,
            wrong="\n".join(missed),
        ),
        measured(f"500 to one call in ten for {options.seconds:g} s: nothing undoes it", theirs),
    )


def is_undone(kit: Kit, fault: Fault, missed: list[str]) -> bool:
    """Deploy a wrong release; return whether it was undone and named; `missed` says why not."""
    before = kit.masters()
    with kit.broken(fault.build):
        status, printed = kit.verb("deploy", READY_TIMEOUT=fault.ready_timeout)
    problems = []
    if not status:
        problems.append("not undone")
    elif not re.search(fault.named, printed):
        problems.append("not named")
    if kit.masters() != before:
        problems.append("other replicas serve")
    say(f"         {fault.title}: {', '.join(problems) or 'undone and named'}")
    missed += [f"{fault.title}: {', '.join(problems)}: {printed[-_SHOWN:]}"] * bool(problems)
    return not problems


def killed(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """The deployment itself is killed at some moment; the next one finishes or undoes it."""
    _need_verb(kit, "rollback")
    left, moments = "", list[str]()
    with visitors.visitors(kit.port, _visit(kit, options)) as ours:
        for _ in range(options.deploys):
            kit.change()
            process = kit.start_verb("deploy")
            # From its first step to its last, with the smoke test's seconds.
            time.sleep(seconds := random.uniform(1, 40))
            moments += [f"{seconds:.1f}"] * (process.poll() is None)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            status, printed = kit.verb("deploy")
            left = left or (printed[-_SHOWN:] if status else "")
    if not moments:
        raise Skipped("every deployment ended before it could be killed")
    with visitors.visitors(stock.port, _stock_cart) as theirs:
        stock.kill()
        time.sleep(_BETWEEN_SECONDS)
        stock.deploy()
        time.sleep(_BETWEEN_SECONDS)
    after = f"after {', '.join(moments)} s"
    return (
        measured(f"{len(moments)} deployments killed, and made again: {after}", ours, wrong=left),
        measured("its master killed, and started again after 2 s", theirs),
    )


_stock_cart = partial(visitors.cart, keyed=False)

ROWS: dict[str, Make] = {
    "continuity": continuity,
    "races": races,
    "revival": revival,
    "once": once,
    "deploy": deploy,
    "rollback": rollback,
    "scale": scale,
    "wrong": wrong,
    "killed": killed,
    "store": store,
    "failover": failover,
}
"""Each row by the name that `--only` takes; its docstring is its title."""


def _the_same(
    kit: Kit, stock: Stock, options: Options, visit: Visit, number: int, done: str
) -> tuple[Measured, Measured]:
    need_shop(kit)
    ours, theirs = (_load(port, visit, options, number) for port in (kit.port, stock.port))
    return measured(done, ours), measured(done, theirs)


def _load(port: int, visit: Visit, options: Options, number: int = visitors.VISITORS) -> Tally:
    with visitors.visitors(port, visit, number) as tally:
        time.sleep(options.seconds)
    return tally


def _visit(kit: Kit, options: Options) -> Visit:
    return visitors.every_method if kit.is_shop else visitors.path_of(options.health_path)


def _has(kit: Kit, verb: str) -> bool:
    return f"\n{verb}:" in (kit.checkout / "Makefile").read_text(encoding="utf-8")


def _need_verb(kit: Kit, verb: str) -> None:
    if not _has(kit, verb):
        raise Skipped(f"there is no `make {verb}` yet")


@contextmanager
def _repeated(action: Callable[[], int], seconds: float) -> Iterator[list[int]]:
    """Repeat an action until the block ends; yield what it returned, each time.

    Raises:
        Skipped: it cannot be done.
    """
    returned: list[int] = []
    failed: list[Exception] = []
    end = threading.Event()

    def repeat() -> None:
        try:
            while not end.wait(seconds):
                returned.append(action())
        except (LoadTestError, OSError, psutil.Error) as error:
            failed.append(error)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield returned
    finally:
        end.set()
        thread.join()
    if failed or not sum(returned):
        raise Skipped(str(failed[0]) if failed else "no worker was killed")
