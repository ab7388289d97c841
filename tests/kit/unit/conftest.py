"""A state folder for the tests of the kit's parts."""

from pathlib import Path

import pytest
from kit.state import StateFolder


@pytest.fixture(name="state")
def _state(tmp_path: Path) -> StateFolder:
    """The folder of a stack that was never started."""
    state = StateFolder(tmp_path / "state")
    state.claim()
    state.create()
    return state
