"""Visitors of a shop in this process, whose requests take turns."""

from collections.abc import Callable

import pytest
from flask import Flask

from tests.shop.conftest import NewShop
from tests.shop.races.turns import take_turns
from tests.support.shop.client import ShopClient

Visit = Callable[[], ShopClient]


@pytest.fixture(name="shop")
def _shop(new_shop: NewShop, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """A shop without a thread that calls the store beside the requests."""
    take_turns(monkeypatch)
    return new_shop(demo=True)


@pytest.fixture(name="visit")
def _visit(shop: Flask) -> Visit:
    """Make visitors."""
    return lambda: ShopClient(shop)
