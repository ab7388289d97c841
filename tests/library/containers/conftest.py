"""Redis and Valkey in containers, in place of the servers that the contract suite starts."""

from collections.abc import Iterator

import pytest

from tests.support.stacks.containers import STORE_IMAGES, ContainerServer, require_engine
from tests.support.stores.places import AtServer, LimitedStore


@pytest.fixture(name="shared", scope="session")
def _shared() -> Iterator[dict[str, ContainerServer]]:
    """One server of each kind, started when first asked for."""
    require_engine()
    running: dict[str, ContainerServer] = {}
    yield running
    for server in running.values():
        server.stop()


@pytest.fixture(name="server_place", params=STORE_IMAGES)
def _server_place(
    request: pytest.FixtureRequest, shared: dict[str, ContainerServer]
) -> Iterator[AtServer]:
    """Each kind of server, empty."""
    kind = request.param
    if kind not in shared:
        shared[kind] = ContainerServer(kind)
    place = AtServer(kind, shared[kind])
    yield place
    place.close()


@pytest.fixture(name="place")
def _place(server_place: AtServer) -> AtServer:
    """Each kind of server; memory is no container's."""
    return server_place


@pytest.fixture(name="store")
def _store(place: AtServer) -> LimitedStore:
    """A store of each kind, empty."""
    return place.new_store()


@pytest.fixture(name="own_server", params=STORE_IMAGES)
def _own_server(request: pytest.FixtureRequest) -> Iterator[AtServer]:
    """A server of each kind that one test may fill or demote."""
    require_engine()
    server = ContainerServer(request.param)
    place = AtServer(request.param, server)
    try:
        yield place
    finally:
        place.close()
        server.stop()
