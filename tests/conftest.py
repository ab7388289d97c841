"""Stacks for the tests, and the promise that none is left behind."""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from tests.support.checkout import ROOT

if TYPE_CHECKING:
    from tests.support.servers import Servers
    from tests.support.stack import Stack

StartStack = Callable[..., "Stack"]

_CHECKOUT = ROOT
# What a stack is made of. Not `.env`: the developer's own settings are not the tests'.
_PARTS = ("Makefile", "app", "compose", "loadtest", "nginx", "requirements", "pyproject.toml")


def pytest_configure() -> None:
    """Clean up after SIGTERM and SIGHUP too, as after Ctrl-C.

    SIGINT, because a shell that starts the tests in the background lets them ignore it, and the
    verbs that they start would inherit that: a test would wait for ever for one to be interrupted.
    """

    def interrupt(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


@pytest.fixture(name="servers", scope="session")
def _servers() -> Iterator["Servers"]:
    """Start stores, and end those that tests share."""
    from tests.support.servers import Servers

    servers = Servers()
    yield servers
    servers.stop()


@pytest.fixture(name="checkout", scope="session")
def _checkout() -> Iterator[Path]:
    """A copy of the project, so that nobody's edits or ``.env`` reach a running test."""
    with tempfile.TemporaryDirectory(prefix="checkout-") as folder:
        copy_checkout(Path(folder))
        yield Path(folder)


def copy_checkout(into: Path) -> None:
    """Copy what a stack is made of into an existing folder."""
    for part in _PARTS:
        source = _CHECKOUT / part
        if source.is_dir():
            shutil.copytree(
                source, into / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True
            )
        else:
            shutil.copy2(source, into / part)


@pytest.fixture(name="new_stack", scope="session")
def _new_stack(checkout: Path) -> Iterator[StartStack]:
    """Make stacks that are not started yet; end every one of them, whatever became of it."""
    # Only here: the unit tests run without what the stacks need.
    from tests.support.ports import free_port
    from tests.support.stack import Stack

    made: list[Stack] = []

    def make(**settings: str) -> Stack:
        state_dir = Path(tempfile.mkdtemp(prefix="stack-"))
        made.append(Stack(state_dir, free_port(), settings, checkout))
        return made[-1]

    yield make
    errors = [error for stack in made if (error := stack.dispose())]
    assert not errors, "\n".join(errors)


@pytest.fixture(name="stack", scope="session")
def _stack(new_stack: StartStack) -> "Stack":
    """The stack of 2 replicas with 2 workers each that tests share which leave it as it is."""
    stack = new_stack(REPLICAS="2", WORKERS="2")
    stack.up()
    return stack


@pytest.fixture(name="own_stack", scope="module")
def _own_stack(new_stack: StartStack) -> Iterator["Stack"]:
    """A stack of two replicas with two workers, which one module may break and mend again."""
    stack = new_stack(REPLICAS="2", WORKERS="2")
    stack.up()
    yield stack
    error = stack.dispose()
    assert not error, error
