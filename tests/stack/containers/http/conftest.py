"""The shop in containers, in place of those that the HTTP suite starts."""

from collections.abc import Iterator

import pytest

from tests.shop.http.conftest import (  # noqa: F401  (fixtures of the suite, with this place)
    _client,
    _customer,
    _no_new_session,
)
from tests.shop.http.places import Place, in_containers
from tests.shop.http.test_idempotency import _key  # noqa: F401  (likewise)
from tests.support.containers import ContainerStack, StartContainers


@pytest.fixture(name="stack", scope="session", params=["redis", "valkey"])
def _stack(request: pytest.FixtureRequest, new_stack: StartContainers) -> Iterator[ContainerStack]:
    """Containers of two replicas with one worker, with the one store and then with the other."""
    overlays = {"OVERLAYS": "valkey"} if request.param == "valkey" else {}
    stack = new_stack(WORKERS="1", **overlays)
    stack.up()
    yield stack
    error = stack.dispose()
    assert not error, error


@pytest.fixture(name="place")
def _place(stack: ContainerStack) -> Place:
    """The shop in containers."""
    return in_containers(stack)
