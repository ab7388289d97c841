"""Stacks in containers for the tests of this folder, and the promise that none is left behind."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.containers import ContainerStack, require_engine
from tests.support.ports import free_port

StartContainers = Callable[..., ContainerStack]


@pytest.fixture(name="new_stack", scope="session")
def _new_stack(checkout: Path) -> Iterator[StartContainers]:
    """Make stacks that are not started yet; end every one of them, whatever became of it."""
    require_engine()
    made: list[ContainerStack] = []

    def make(**settings: str) -> ContainerStack:
        state_dir = Path(tempfile.mkdtemp(prefix="containers-"))
        made.append(ContainerStack(state_dir, free_port(), settings, checkout))
        return made[-1]

    yield make
    errors = [error for stack in made if (error := stack.dispose())]
    assert not errors, "\n".join(errors)


@pytest.fixture(name="stack", scope="session")
def _stack(new_stack: StartContainers) -> ContainerStack:
    """The containers of two replicas with two workers that tests share which leave them so."""
    stack = new_stack(REPLICAS="2", WORKERS="2")
    stack.up()
    return stack


@pytest.fixture(name="own_stack", scope="module")
def _own_stack(new_stack: StartContainers) -> Iterator[ContainerStack]:
    """Containers of two replicas with two workers, which one module may break and mend again."""
    stack = new_stack(REPLICAS="2", WORKERS="2")
    stack.up()
    yield stack
    error = stack.dispose()
    assert not error, error
