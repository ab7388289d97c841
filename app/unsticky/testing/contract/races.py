"""Several processes that use one session, and processes that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from ...cookie import Reference
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
    said = Counter(line for each in running for line in each.communicate()[0].split())
    assert said == {"1": 400}
    assert count(store, where) == 401
    store.close()


def test_killed_processes_take_back_no_addition(place: Made, factory: str) -> None:
    """What was answered before kill -9 is there; of each thread at most one addition more."""
    store, where = begin(place, factory)
    answered = 0
    for _ in range(3):
        running = [start(place, factory, where, "100000", "2", "spawn") for _ in range(2)]
        for each in running:
            assert each.stdout is not None
            assert each.stdout.readline() == "1\n"
        time.sleep(0.2)
        for each in running:
            each.kill()
        said = Counter(line for each in running for line in each.communicate()[0].split())
        assert set(said) <= {"1"}
        answered += len(running) + said["1"]
    assert answered <= count(store, where) - 1 <= answered + 12
    store.close()
