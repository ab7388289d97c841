"""A run: eight workers change a few sessions while workers and the store are killed."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.library.history.checker import Outage
from tests.library.history.operations import Operation, read_journals
from tests.library.history.store import DurableStore, Fsync
from tests.library.history.worker import Plan
from tests.support.checkout import ROOT
from tests.support.waiting import wait_until

WORKERS = 8
SLOTS = 2
OPERATIONS = 900
"""The most operations of each worker, so that the sessions stay within their caps."""

DEADLINES: dict[Fsync, float] = {"always": 0.4, "everysec": 0.4, "majority": 2.0, "sqlite": 1.0}
"""The library's limit for one request's store calls, in seconds.

The server that speaks MongoDB's protocol is written in Python, and takes 10 ms for a write.
"""

PAUSE = 1.5
"""How long the store is stopped, in deadlines: so long that answers are lost."""

# How far, in seconds, a store that writes its file in the background may be behind: so long it
# delays a write while the disk is busy with the last one.
_EVERYSEC_BEHIND = 2.0
_PATIENCE = 60.0


class Run:
    """Starts all processes, causes the faults, ends all processes."""

    def __init__(self, store: DurableStore, fsync: Fsync, folder: Path, seed: int) -> None:
        self.outages: list[Outage] = []
        self._store, self._fsync, self._folder = store, fsync, folder
        self._random = random.Random(seed)
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self._incarnations = 0

    def play(self) -> list[Operation]:
        """Cause all faults and return what the workers did."""
        for number in range(WORKERS):
            self._start_worker(number)
        try:
            self._kill_workers(3)
            self._store.pause()
            time.sleep(PAUSE * DEADLINES[self._fsync])
            self._store.resume()
            self._kill_workers(3)
            self._kill_store()
            self._kill_workers(3)
            if self._fsync == "everysec":
                self._cut_power()
            else:
                self._kill_store()
            self._kill_workers(2)
            (self._folder / "stop").touch()
            for worker in self._workers.values():
                assert worker.wait(_PATIENCE) == 0, "a worker failed: see its output"
        finally:
            self._end_workers()
        self._kill_store()
        return read_journals(self._journals())

    def _kill_workers(self, number: int) -> None:
        """Kill some workers, one after the other, and replace each."""
        for _ in range(number):
            self._await_operations(self._random.randint(50, 150))
            place = self._random.randrange(WORKERS)
            worker = self._workers[place]
            worker.kill()
            worker.wait()
            self._start_worker(place)

    def _await_operations(self, number: int) -> None:
        """Wait until the workers have concluded this many more operations."""
        wanted = self._concluded() + number

        def are_there() -> bool:
            for worker in self._workers.values():
                assert worker.poll() in {None, 0}, "a worker failed: see its output"
            return self._concluded() >= wanted

        wait_until(are_there, f"{number} more operations", _PATIENCE)

    def _concluded(self) -> int:
        return sum(path.read_bytes().count(b'"outcome"') for path in self._journals())

    def _journals(self) -> list[Path]:
        return sorted(self._folder.glob("*.journal"))

    def _kill_store(self) -> None:
        """Kill the store and start it again."""
        self._store.stop()
        self._note_outage(time.monotonic())
        self._store.start()

    def _cut_power(self) -> None:
        """Cut the store's power: what the disk does not have yet is lost."""
        durable, size = time.monotonic(), self._store.file_size()
        self._await_operations(100)
        self._store.stop()
        self._note_outage(durable)
        self._store.cut_file(size)
        self._store.start()

    def _note_outage(self, durable: float) -> None:
        """Note that writes acknowledged since `durable` may be undone, if this store allows it."""
        if self._fsync == "everysec":
            self.outages.append(Outage(durable - _EVERYSEC_BEHIND, time.monotonic()))

    def _start_worker(self, number: int) -> None:
        self._incarnations += 1
        plan = Plan(
            name=f"{number}.{self._incarnations}",
            folder=str(self._folder),
            store_url=self._store.url,
            slots=SLOTS,
            operations=OPERATIONS,
            deadline=DEADLINES[self._fsync],
            seed=self._random.randrange(2**32),
        )
        self._workers[number] = subprocess.Popen(
            [sys.executable, "-m", "tests.library.history.worker", plan.argument()],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "app", "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def _end_workers(self) -> None:
        for worker in self._workers.values():
            worker.kill()
            worker.wait()
