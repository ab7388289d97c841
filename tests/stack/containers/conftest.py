"""Stacks in containers for the tests of this folder; none is left behind."""

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


@pytest.fixture(name="stack", scope="session")
def _stack(new_stack: StartContainers) -> ContainerStack:
    """The containers of two replicas with two workers that tests share which leave them so."""
    stack = new_stack(REPLICAS="2", WORKERS="2")
    stack.up()
    return stack


@pytest.fixture(name="own_stack", scope="module")
def _own_stack(new_stack: StartContainers) -> Iterator[ContainerStack]:
    """Containers of two replicas with two workers, which one module may break and repair."""
    stack = new_stack(REPLICAS="2", WORKERS="2")
    stack.up()
    yield stack
    error = stack.dispose()
    assert not error, error
