"""Visitors of a shop in this process, whose requests take turns."""

import pytest
from flask import Flask

from tests.shop.conftest import NewShop
from tests.shop.races.turns import take_turns


@pytest.fixture(name="shop")
def _shop(new_shop: NewShop, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """A shop without a thread that calls the store beside the requests."""
    take_turns(monkeypatch)
    return new_shop(demo=True)
