"""Shops, and browsers to visit them."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from shop import Settings, create_app

from tests.shop.unit.valkey import Valkey
from tests.support.cheap_passwords import cheapen

SECRET = "a0b1c2d3e4f5a6b7c8d9"

NewShop = Callable[..., Flask]


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords as the shop does, but at a hundredth of the cost."""
    cheapen(monkeypatch.setattr)


@pytest.fixture(name="valkey_server", scope="session")
def _valkey_server() -> Iterator[Valkey]:
    """A Valkey server for the whole run."""
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        server = Valkey(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(name="valkey")
def _valkey(valkey_server: Valkey) -> Valkey:
    """An empty Valkey."""
    valkey_server.flush()
    return valkey_server


@pytest.fixture(name="redis_url", params=["memory", "valkey"])
def _redis_url(request: pytest.FixtureRequest) -> str | None:
    """Where the shop keeps sessions: in memory, and in a Valkey."""
    if request.param == "memory":
        return None
    valkey: Valkey = request.getfixturevalue("valkey")
    return valkey.url


@pytest.fixture(name="new_shop")
def _new_shop(redis_url: str | None) -> Iterator[NewShop]:
    """Make a shop with settings of its own, on each store."""
    made: list[Flask] = []

    def make(**settings: Any) -> Flask:
        given = {"secret_key": SECRET, "redis_url": redis_url, "replica": "app-1", **settings}
        made.append(create_app(Settings(**given)))
        return made[-1]

    yield make
    for shop in made:
        close(shop)


def close(shop: Flask) -> None:
    """Close a shop's connections to its store."""
    shop.extensions["unsticky"].state.store.close()
    shop.extensions["shop"].records.close()


@pytest.fixture(name="shop")
def _shop(new_shop: NewShop) -> Flask:
    """A shop that says who serves, on each store."""
    return new_shop(served_by=True)


@pytest.fixture(name="browser")
def _browser(shop: Flask) -> FlaskClient:
    """Somebody who visits the shop and keeps its cookie."""
    return shop.test_client()
