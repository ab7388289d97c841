"""Redis and Valkey in containers, in place of the servers that the contract suite starts."""

import os
from collections.abc import Iterator

import pytest
from testcontainers.core.container import DockerContainer

from tests.library.contract.places import AtServer
from tests.support.containers import require_engine
from tests.support.servers import Server, patient

_IMAGES = {
    "redis": (os.environ.get("REDIS_IMAGE") or "redis:8.2", "redis-server"),
    "valkey": (os.environ.get("VALKEY_IMAGE") or "valkey/valkey:9.1", "valkey-server"),
}


class ContainerServer(Server):
    """A server in a container, on a port of this host, without a file on disk."""

    def __init__(self, kind: str) -> None:
        image, program = _IMAGES[kind]
        self._container = DockerContainer(image).with_exposed_ports(6379)
        self._container.with_command([program, "--save", "", "--protected-mode", "no"])
        try:
            self._container.start()
            port = self._container.get_exposed_port(6379)
            self.url = f"redis://127.0.0.1:{port}/0"
            self.raw = patient(self.url)
            self.raw.ping()
        except BaseException:
            # A failed start is never ended by the library itself.
            self._container.stop()
            raise

    def stop(self) -> None:
        """End the server; what it held is lost."""
        self.raw.close()
        self._container.stop()


@pytest.fixture(name="shared", scope="session")
def _shared() -> Iterator[dict[str, ContainerServer]]:
    """One server of each kind, started when first asked for."""
    require_engine()
    running: dict[str, ContainerServer] = {}
    yield running
    for server in running.values():
        server.stop()


@pytest.fixture(name="server_place", params=_IMAGES)
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


@pytest.fixture(name="own_server", params=_IMAGES)
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
