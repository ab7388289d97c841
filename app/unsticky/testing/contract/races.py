"""Several processes that use one session, and processes that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from ...cookie import Reference
from ...stores.base import Add, Operation
from ..places import CAPS, LIFETIMES, LimitedStore, Made, make
from ..promises import not_kept
from ..worker import COUNTER, opened

PROMISE = "P1"


def start(place: Made, factory: str, where: Reference, *more: str) -> subprocess.Popen[str]:
    """Start a process that adds to the counter of a session."""
    package = __name__.rpartition(".contract.")[0]
    command = [sys.executable, "-m", f"{package}.worker", factory, place.folder, where.handle]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [*map(str, command), *more], env=environment, stdout=subprocess.PIPE, text=True
    )


def begin(place: Made, factory: str) -> tuple[LimitedStore, Reference]:
    """Return a store by the machine's clock, and a session in it, whose counter is 1."""
    if "processes" in getattr(place.new_store().store, "lacks", ()):
        not_kept("processes")
    store = LimitedStore(opened(factory, place.folder, CAPS), LIFETIMES)
    return store, make(store)


def count(store: LimitedStore, where: Reference) -> int:
    """Return the counter."""
    return int((store.record(where).fields or {})[COUNTER])


@pytest.mark.parametrize("how", ["spawn", "fork"])
def test_processes_and_threads_lose_no_addition(place: Made, factory: str, how: str) -> None:
    """400 additions by 4 processes of 4 threads are all made, and none is refused."""
    store, where = begin(place, factory)
    running = [
        start(place, factory, where, "25", "4", how) for _ in range(4 if how == "spawn" else 1)
    ]
    said = Counter(
        line.split()[0] for each in running for line in each.communicate()[0].splitlines()
    )
    assert said == {"?": 400, "1": 400}
    assert count(store, where) == 401
    store.close()


def test_killed_processes_add_exactly_once(place: Made, factory: str) -> None:
    """What was answered before kill -9 is there; what was not is applied once if it is resent."""
    store, where = begin(place, factory)
    begun: set[str] = set()
    for _ in range(3):
        running = [start(place, factory, where, "100000", "2", "spawn") for _ in range(2)]
        lines = [each.stdout.readline() for each in running if each.stdout is not None]
        time.sleep(0.3)  # so that each is killed in the middle of its additions
        for each in running:
            each.kill()
        lines += [
            line for each in running for line in each.communicate()[0].splitlines(keepends=True)
        ]
        said = [line.split() for line in lines if line.endswith("\n")]
        assert {word for word, _ in said} <= {"?", "1"}
        named, answered = ({name for word, name in said if word == kind} for kind in "?1")
        assert answered
        assert count(store, where) - 1 >= len(begun) + len(answered)
        for name in named - answered:
            store.apply(where, (Add(COUNTER, 1),), Operation(bytes.fromhex(name), 1))
        begun |= named
        assert count(store, where) - 1 == len(begun)
    store.close()
