"""The races: what concurrent requests of one session lose and revive.

- 401 additions to one cart, 16 in flight on 4 worker processes. Lost is what was acknowledged and
  is not in the cart.
- A logout while 3 requests of the same browser are in flight, which read the session before it and
  add to the cart after it. Revived: after all answers, the browser is logged in again. Replayed:
  the cookie from before the logout still logs in.
"""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import redis

from loadtest.console import say, show
from loadtest.errors import LoadTestError
from loadtest.frameworks import contract, raw
from loadtest.frameworks.benchmarks.spread import least_most
from loadtest.frameworks.benchmarks.testbed import serving
from loadtest.frameworks.client import Browser
from loadtest.frameworks.peers import Peer

PEERS: Final = ("flask-cookie", "flask-session", "unsticky-plain", "unsticky")
WORKER_CLASSES: Final = ("sync", "gthread", "gevent")
ADDITIONS: Final = 401
IN_FLIGHT: Final = 16
PROCESSES: Final = 4

LATE_WRITERS: Final = 3
"""One fewer than the processes: a sync worker must be free for the logout."""

_READS = 5
_OK = 200
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
class Raced:
    """One peer through both races in one round; without a worker class, it has its own workers."""

    round: int
    peer: str
    worker_class: str
    additions: Additions
    revivals: Revivals

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it, with the number of lost additions."""
        return {**asdict(self), "lost": self.additions.lost}


def measure(
    peers: Sequence[Peer], *, number: int, logouts: int, worker_classes: Sequence[str]
) -> None:
    """Race with each worker class, print the table, and keep the raw data.

    A peer with its own server races once, whatever the worker classes of Gunicorn are.

    Raises:
        LoadTestError: a peer cannot be started, or fails.
    """
    own = [peer for peer in peers if peer.server != "gunicorn"]
    others = [peer for peer in peers if peer.server == "gunicorn"]
    raced = []
    for worker_class in worker_classes if others else ():
        raced += rounds(others, number, logouts, worker_class)
    raced += rounds(own, number, logouts) if own else []
    say(
        f"\n{ADDITIONS} additions, {IN_FLIGHT} in flight, {PROCESSES} worker processes; {logouts} "
        f"logouts with {LATE_WRITERS} writers in flight each; least-most of {number} rounds"
    )
    header = ("session", "workers", "acknowledged", "refused", "lost", "revived", "replayed")
    entries = dict.fromkeys((each.peer, each.worker_class) for each in raced)
    rows = [
        _row(entry, [each for each in raced if (each.peer, each.worker_class) == entry])
        for entry in entries
    ]
    show([header, *rows])
    options = {"rounds": number, "logouts": logouts, "worker_classes": worker_classes}
    raw.save("race", {"options": options, "rounds": [each.document() for each in raced]})


def rounds(peers: Sequence[Peer], number: int, logouts: int, worker_class: str = "") -> list[Raced]:
    """Run peers, each with 4 processes, and let them race so many times.

    Raises:
        LoadTestError: a peer cannot be started, or fails.
    """
    raced = []
    with serving(peers, PROCESSES, worker_class) as (store, apps, _):
        for place in range(1, number + 1):
            say(f"race {place} of {number} {worker_class}".rstrip())
            for peer, app in apps.items():
                additions = race_additions(app.socket)
                if additions.failed:
                    raise LoadTestError(f"{additions.failed} additions failed with {peer.name}")
                with redis.Redis.from_url(peer.database(store)) as client:
                    revivals = race_logouts(app.socket, client, logouts)
                raced.append(Raced(place, peer.name, worker_class, additions, revivals))
    return raced


def race_additions(server: Path) -> Additions:
    """Add `ADDITIONS` times, the first alone, because it makes the session."""
    browser = Browser(server)
    skus = [contract.RACED[number % len(contract.RACED)] for number in range(ADDITIONS)]

    def add(sku: str) -> int:
        return browser.ask("POST", contract.ITEMS, {"sku": sku}).status

    first = add(skus[0])
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        count = Counter([first, *threads.map(add, skus[1:])])
    return Additions(
        acknowledged=count[_OK],
        refused=count[_REFUSED],
        failed=count.total() - count[_OK] - count[_REFUSED],
        counted=_counted(browser),
    )


def _counted(browser: Browser) -> int:
    """Return how much is in the cart; a server that is overloaded by the race may need a moment."""
    for _ in range(_READS):
        status, body = browser.ask("GET", contract.CART)
        if status == _OK:
            return int(body["count"])
        time.sleep(1)
    raise LoadTestError(f"GET {contract.CART} was answered {status} after the race")


def race_logouts(server: Path, store: redis.Redis, logouts: int) -> Revivals:
    """Log out with writers in flight, `logouts` times, each time in a new browser."""
    revived = replayed = 0
    statuses: Counter[int] = Counter()
    for _ in range(logouts):
        browser = Browser(server)
        browser.expect("POST", contract.ITEMS, {"sku": contract.RACED[0]})
        browser.expect("POST", contract.LOGIN, contract.CREDENTIALS)
        before = browser.cookies()
        statuses += _log_out_amid_writers(browser, store)
        revived += _is_logged_in(browser)
        replayed += _is_logged_in(Browser(server, before))
    return Revivals(logouts, revived, replayed, dict(statuses))


def _is_logged_in(browser: Browser) -> bool:
    return browser.ask("GET", contract.SESSION).body["user"] is not None


def _log_out_amid_writers(browser: Browser, store: redis.Redis) -> Counter[int]:
    gate = uuid4().hex
    with ThreadPoolExecutor(LATE_WRITERS) as threads:
        writers = [
            threads.submit(browser.ask, "POST", contract.LATE + gate) for _ in range(LATE_WRITERS)
        ]
        for _ in writers:
            if store.blpop([f"held:{gate}"], timeout=contract.GATE_SECONDS) is None:
                raise LoadTestError(f"no late writer came to its gate in {contract.GATE_SECONDS} s")
        browser.expect("POST", contract.LOGOUT)
        store.rpush(f"go:{gate}", *range(LATE_WRITERS))
        return Counter(writer.result().status for writer in writers)


def _row(entry: tuple[str, str], raced: Sequence[Raced]) -> tuple[str, ...]:
    peer, worker_class = entry
    additions, revivals = ([each.additions for each in raced], [each.revivals for each in raced])
    return (
        peer,
        worker_class or "its own",
        *(least_most([getattr(each, name) for each in additions])
          for name in ("acknowledged", "refused", "lost")),
        *(least_most([getattr(each, name) for each in revivals])
          for name in ("revived", "replayed")),
    )  # fmt: skip
