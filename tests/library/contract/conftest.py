"""The stores, each behind the same face."""

from collections.abc import Iterator

import pytest

from tests.support.stores.places import AtServer, InFakeredis, InSqlite, LimitedStore, Memory, Place
from tests.support.stores.servers import SERVERS, Servers


@pytest.fixture(name="place", params=["memory", "sqlite", *SERVERS, "fakeredis", "mongodb"])
def _place(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Place]:
    """Each kind of store, empty."""
    if request.param in {"memory", "sqlite"}:
        kept = Memory() if request.param == "memory" else InSqlite()
        yield kept
        kept.close()
        return
    if request.param == "mongodb":
        from tests.support.stores.mongodb import AtMongo

        mongo = AtMongo(servers.mongodb())
        yield mongo
        mongo.close()
        return
    if request.param == "fakeredis":
        place: AtServer = InFakeredis()
    else:
        place = AtServer(request.param, servers.running(request.param))
    yield place
    place.close()


@pytest.fixture(name="store")
def _store(place: Place) -> LimitedStore:
    """A store of each kind, empty."""
    return place.new_store()


@pytest.fixture(name="server_place", params=sorted({*SERVERS, "sentinel"}))
def _server_place(request: pytest.FixtureRequest, servers: Servers) -> Iterator[AtServer]:
    """Each kind of server, empty; also one that Sentinel names, which other tests do without."""
    place = AtServer(request.param, servers.running(request.param))
    yield place
    place.close()


@pytest.fixture(name="own_server", params=SERVERS)
def _own_server(request: pytest.FixtureRequest, servers: Servers) -> Iterator[AtServer]:
    """A server of each kind that one test may fill or demote."""
    server = servers.new(request.param)
    place = AtServer(request.param, server)
    try:
        yield place
    finally:
        place.close()
        server.stop()
