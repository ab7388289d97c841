"""The shop in containers, in place of those that the HTTP suite starts."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shop.http.places import Place, of_stack
from tests.support.ports import free_port
from tests.support.stacks.containers import ContainerStack, require_engine


@pytest.fixture(name="stack", scope="session", params=["redis", "valkey"])
def _stack(request: pytest.FixtureRequest, checkout: Path) -> Iterator[ContainerStack]:
    """Containers of two replicas with one worker, with the one store and then with the other."""
    require_engine()
    settings = {"REPLICAS": "2", "WORKERS": "1"}
    if request.param == "valkey":
        settings["OVERLAYS"] = "valkey"
    state_dir = Path(tempfile.mkdtemp(prefix="containers-"))
    stack = ContainerStack(state_dir, free_port(), settings, checkout)
    try:
        stack.up()
        yield stack
    finally:
        error = stack.dispose()
    assert not error, error


@pytest.fixture(name="place")
def _place(stack: ContainerStack) -> Place:
    """The shop in containers."""
    return of_stack(stack, store=False)
