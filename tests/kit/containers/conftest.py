"""Stacks in containers for the tests of the verbs; none is left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stacks.containers import ContainerStack, StartContainers, require_engine
from tests.support.stacks.local import stacks


@pytest.fixture(name="new_stack", scope="session")
def _new_stack(checkout: Path) -> Iterator[StartContainers]:
    """Make stacks that are not started yet; remove every one of them afterwards."""
    require_engine()
    yield from stacks(ContainerStack, checkout)
