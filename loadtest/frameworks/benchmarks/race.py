"""`make bench-race`: what concurrent requests of one session lose and revive.

Two races, over every kind of session on the same Gunicorn and the same store, with every kind of
worker:

- 401 additions of one item to one session, 16 in flight on 4 worker processes. Lost is what was
  acknowledged and is not in the cart.
- A logout while 3 requests of the same browser are in flight that read the session before it and
  add to the cart after it. Revived: after all answers came, the browser is logged in again.
  Replayed: the cookie as it was before the logout still logs in.
"""

import argparse
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import redis

from . import record, servers
from .browser import Browser
from .calls import BENCH, Calls
from .carts import GATE_SECONDS, application
from .console import BenchError, print_table, run, say
from .kinds import Kind

KINDS: Final = (Kind.COOKIE, Kind.FLASK_SESSION, Kind.UNSTICKY_PLAIN, Kind.UNSTICKY)
WORKER_CLASSES: Final = ("sync", "gthread", "gevent")
ADDITIONS: Final = 401
IN_FLIGHT: Final = 16
PROCESSES: Final = 4

LATE_WRITERS: Final = 3
"""One process less than there are: a sync worker must be left for the logout."""

_OK = 200
_NO_CONTENT = 204
_REFUSED = 409


@dataclass(frozen=True)
class Additions:
    """Outcome of one race of additions; all but `lost` are answers to the client."""

    acknowledged: int
    refused: int
    failed: int
    counted: int

    @property
    def lost(self) -> int:
        """What was acknowledged and is not there; below zero if something was added twice."""
        return self.acknowledged - self.counted


@dataclass(frozen=True)
class Revivals:
    """Outcome of several logouts with writers in flight."""

    logouts: int
    revived: int
    replayed: int
    statuses: dict[int, int]
    """How the late writers were answered, and how often."""


@dataclass(frozen=True)
class Round:
    """Both races once."""

    worker_class: str
    kind: Kind
    additions: Additions
    revivals: Revivals


def race_additions(server: Path, calls: Calls) -> Additions:
    """Add `ADDITIONS` times, the first alone, because it makes the session."""
    browser = Browser(server)
    statuses = [_add(browser, calls, calls.raced[0])]
    left = iter(range(1, ADDITIONS))
    take_one = threading.Lock()

    def client() -> None:
        while True:
            with take_one:
                if (number := next(left, None)) is None:
                    return
            statuses.append(_add(browser, calls, calls.raced[number % len(calls.raced)]))

    _in_parallel([client] * IN_FLIGHT)
    count = Counter(statuses)
    return Additions(
        acknowledged=count[_OK],
        refused=count[_REFUSED],
        failed=len(statuses) - count[_OK] - count[_REFUSED],
        counted=browser.ask("GET", calls.cart).body["count"],
    )


def race_logouts(server: Path, calls: Calls, store: redis.Redis, logouts: int) -> Revivals:
    """Log out with writers in flight, `logouts` times, each in a browser of its own."""
    revived = replayed = 0
    statuses: Counter[int] = Counter()
    for _ in range(logouts):
        browser = Browser(server)
        _expect_ok(browser, calls.items, {"sku": calls.raced[0]})
        _expect_ok(browser, calls.login, calls.credentials)
        before = browser.cookies()
        statuses += _log_out_amid_writers(browser, calls, store)
        revived += _is_logged_in(browser, calls)
        replayed += _is_logged_in(Browser(server, before), calls)
    return Revivals(logouts, revived, replayed, dict(statuses))


def _add(browser: Browser, calls: Calls, sku: str) -> int:
    return browser.ask("POST", calls.items, {"sku": sku}).status


def _is_logged_in(browser: Browser, calls: Calls) -> bool:
    return browser.ask("GET", calls.whose).body["user"] is not None


def _log_out_amid_writers(browser: Browser, calls: Calls, store: redis.Redis) -> Counter[int]:
    gate = uuid4().hex
    statuses: list[int] = []

    def log_out() -> None:
        for _ in range(LATE_WRITERS):
            if store.blpop([f"held:{gate}"], timeout=GATE_SECONDS) is None:
                raise BenchError(f"a late writer did not come to its gate in {GATE_SECONDS} s")
        _expect_ok(browser, calls.logout)
        store.rpush(f"go:{gate}", *range(LATE_WRITERS))

    def write_late() -> None:
        statuses.append(browser.ask("POST", calls.late + gate).status)

    _in_parallel([write_late] * LATE_WRITERS + [log_out])
    return Counter(statuses)


def _expect_ok(browser: Browser, path: str, body: object = None) -> None:
    status = browser.ask("POST", path, body).status
    if status not in {_OK, _NO_CONTENT}:
        raise BenchError(f"POST {path} was answered {status}: the race needs it to succeed")


def _in_parallel(tasks: Sequence[Callable[[], None]]) -> None:
    errors: list[Exception] = []

    def guarded(task: Callable[[], None]) -> None:
        try:
            task()
        except Exception as error:  # noqa: BLE001 (raised again below)
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def main() -> None:
    """Race, print the table, keep the raw data."""
    options = _options()
    rounds = [
        each for worker_class in options.worker_classes for each in _raced(worker_class, options)
    ]
    say(
        f"\n{ADDITIONS} additions, {IN_FLIGHT} in flight, {PROCESSES} worker processes; "
        f"{options.logouts} logouts with {LATE_WRITERS} writers in flight each; "
        f"least-most of {options.rounds} rounds"
    )
    header = ("session", "workers", "acknowledged", "refused", "lost", "revived", "replayed")
    rows = []
    for worker_class in options.worker_classes:
        for kind in options.only:
            own = [r for r in rounds if (r.worker_class, r.kind) == (worker_class, kind)]
            rows.append(_row(kind, worker_class, own))
    print_table(header, rows)
    path = record.save(
        "race",
        {
            "options": vars(options),
            "rounds": [asdict(each) | {"lost": each.additions.lost} for each in rounds],
        },
    )
    say(f"\nraw data: {path}")


def _raced(worker_class: str, options: argparse.Namespace) -> list[Round]:
    workers = servers.Workers(worker_class, PROCESSES)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        store = stack.enter_context(servers.store(folder))
        apps = {
            kind: stack.enter_context(
                servers.gunicorn(kind, application(kind, store.url), workers, folder)
            )
            for kind in options.only
        }
        client = redis.Redis.from_url(store.url)
        rounds = []
        for number in range(1, options.rounds + 1):
            say(f"{worker_class}, round {number} of {options.rounds}")
            for kind, app in apps.items():
                additions = race_additions(app.socket, BENCH)
                revivals = race_logouts(app.socket, BENCH, client, options.logouts)
                rounds.append(Round(worker_class, kind, additions, revivals))
        client.close()
        return rounds


def _row(kind: Kind, worker_class: str, rounds: Sequence[Round]) -> tuple[str, ...]:
    failed = max(each.additions.failed for each in rounds)
    if failed:
        raise BenchError(f"{failed} additions failed with {kind}: the race is not comparable")
    return (
        kind,
        worker_class,
        _range([each.additions.acknowledged for each in rounds]),
        _range([each.additions.refused for each in rounds]),
        _range([each.additions.lost for each in rounds]),
        _range([each.revivals.revived for each in rounds]),
        _range([each.revivals.replayed for each in rounds]),
    )


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-race", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--logouts", type=int, default=10, help="in each round")
    parser.add_argument("--only", nargs="+", type=Kind, choices=KINDS, default=list(KINDS))
    parser.add_argument(
        "--worker-classes", nargs="+", choices=WORKER_CLASSES, default=list(WORKER_CLASSES)
    )
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
