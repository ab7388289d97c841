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

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What a stack is made of. Not `.env`: the developer's own settings are not the tests'.
_PARTS = ("Makefile", "app", "compose", "loadtest", "nginx", "requirements", "pyproject.toml")
# The stores that container suites run with, in the names of their tests.
_STORES = ("redis", "valkey")


def pytest_configure(config: pytest.Config) -> None:
    """Clean up after SIGTERM and SIGHUP too, as after Ctrl-C.

    SIGINT, because a shell that starts the tests in the background lets them ignore it, and the
    verbs that they start would inherit that: a test would wait for ever for one to be interrupted.
    """
    if config.pluginmanager.hasplugin("dsession"):
        _wait_for_processes_of_tests()

    def interrupt(number: int, _: FrameType | None) -> None:
        # Nothing interrupts the cleaning up. Not SIG_IGN, which its verbs would inherit.
        for other in _INTERRUPTS:
            signal.signal(other, lambda *_: None)
        if config.pluginmanager.hasplugin("dsession"):
            _interrupt_processes_of_tests(number)
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in _INTERRUPTS:
        signal.signal(number, interrupt)


def _wait_for_processes_of_tests() -> None:
    """Give pytest-xdist's processes the time to end their stacks; it kills them after 10 s."""
    from xdist.workermanage import NodeManager

    NodeManager.EXIT_TIMEOUT = 120


def _interrupt_processes_of_tests(number: int) -> None:
    import psutil

    for child in psutil.Process().children():
        child.send_signal(number)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say which tests stay together if several processes run them (pytest-xdist)."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    """Return the name of the group whose tests run in one process, one after the other.

    Everything that starts stacks stays in one process: it shares some, and none gets the load of
    another. All other tests of a file stay together, as they may share servers; those of a suite
    that runs again in containers stay with their kind of store.
    """
    path = item.path.relative_to(ROOT).as_posix()
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if "new_stack" in getattr(item, "fixturenames", ()) or "through nginx" in given:
        return "stacks"
    kinds = [value for value in given if value in _STORES] if "/containers/" in path else []
    return "/".join([path, *kinds])


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
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(
                source, into / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True
            )
        else:
            shutil.copy2(source, into / part)


@pytest.fixture(name="new_stack", scope="session")
def _new_stack(checkout: Path) -> Iterator[StartStack]:
    """Make stacks that are not started yet; remove every one of them afterwards."""
    # Only here: the unit tests run without what the stacks need.
    from tests.support.stack import Stack, stacks

    yield from stacks(Stack, checkout)


@pytest.fixture(name="stack", scope="session")
def _stack(new_stack: StartStack) -> "Stack":
    """The stack of 2 replicas with 2 workers each that tests share which leave it as it is."""
    stack = new_stack(REPLICAS="2", WORKERS="2")
    stack.up()
    return stack


@pytest.fixture(name="own_stack", scope="module")
def _own_stack(new_stack: StartStack) -> Iterator["Stack"]:
    """A stack of two replicas with two workers, which one module may break and repair."""
    stack = new_stack(REPLICAS="2", WORKERS="2")
    stack.up()
    yield stack
    error = stack.dispose()
    assert not error, error
