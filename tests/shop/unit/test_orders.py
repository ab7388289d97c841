"""Orders: what they keep, and what becomes of a checkout that got half-way."""

import json

import pytest
from flask import Flask
from shop import orders
from shop.catalog import BY_SKU
from shop.store import key
from unsticky import StoreUnavailable

from tests.shop.conftest import NewShop
from tests.support.shop.client import ShopClient
from tests.support.stores.cluster import Cluster
from tests.support.stores.servers import Server


def test_order_keeps_its_prices(client: ShopClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the catalog changes later does not change an order."""
    order = client.fill(tea=1).check_out().json()
    monkeypatch.delitem(BY_SKU, "tea")
    assert client.orders() == [order]


def test_listing_no_orders_stores_nothing(new_shop: NewShop, server: Server) -> None:
    """A session without orders gets no record."""
    client = ShopClient(new_shop())
    client.session()
    assert client.orders() == []
    assert client.check_out().status == 409
    assert server.keys("shop:*") == []
    assert len(server.keys("*:s:*")) == 1


@pytest.mark.parametrize("many", [orders.MOST_LISTED + 4, 2 * orders.MOST_LISTED])
def test_newest_orders_are_listed(client: ShopClient, server: Server, many: int) -> None:
    """Of many orders the newest are listed; of twice as many the others are forgotten."""
    client.logged_in("ada")
    record = key("orders", "user ada")
    for number in range(many):
        content = {"created": f"2026-01-01T00:00:00.{number:06}+00:00", "lines": []}
        server.raw.hset(record, str(number), json.dumps(content))
    newest = client.fill(tea=1).check_out().json()["order_id"]
    older = range(many - 1, many - orders.MOST_LISTED, -1)
    assert [order["order_id"] for order in client.orders()] == [newest, *map(str, older)]
    forgets = many == 2 * orders.MOST_LISTED
    assert server.raw.hlen(record) == (orders.MOST_LISTED if forgets else many + 1)


def test_only_guests_orders_expire(client: ShopClient, server: Server) -> None:
    """A guest's orders are kept for a while after the last one, a user's for good."""
    client.fill(tea=1).check_out()
    (of_guest,) = server.keys("shop:*:orders")
    assert 0 < server.raw.ttl(of_guest) <= orders.GUEST_LIFETIME.total_seconds()
    client.logged_in("ada").fill(tea=1).check_out()
    assert server.raw.ttl(key("orders", "user ada")) == -1


def _half_way(client: ShopClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check out, but let the order not be written down."""

    def fail(*_: object) -> None:
        raise StoreUnavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(orders, "write_down", fail)
        answer = client.check_out()
    assert (answer.status, answer.json()["code"]) == (503, "outcome-unknown")
    assert "Retry-After" not in answer.headers
    assert client.cart() == {}


@pytest.mark.parametrize("user", [None, "ada"])
def test_half_done_checkout_is_finished_by_list(
    client: ShopClient, monkeypatch: pytest.MonkeyPatch, user: str | None
) -> None:
    """A failure after the cart was taken does not invite a second try; the list has the order."""
    if user:
        client.logged_in(user)
    _half_way(client.fill(tea=2), monkeypatch)
    assert client.fill(jam=1).ordered() == [{"tea": 2}]
    assert client.ordered() == [{"tea": 2}]
    assert client.cart() == {"jam": 1}


def test_half_done_checkout_stays_its_owners(
    client: ShopClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest's checkout that is finished after a login is the guest's order, as it was begun."""
    _half_way(client.fill(tea=2), monkeypatch)
    assert client.logged_in("ada").ordered() == [{"tea": 2}]
    assert client.visitor().logged_in("ada").ordered() == []


@pytest.mark.parametrize("ends_by", ["logout", "login of another user"])
def test_half_done_checkout_outlives_session(
    client: ShopClient, monkeypatch: pytest.MonkeyPatch, ends_by: str
) -> None:
    """A user's checkout is finished before the session ends."""
    _half_way(client.logged_in("ada").fill(tea=2), monkeypatch)
    if ends_by == "logout":
        client.log_out()
    else:
        client.logged_in("grace")
        assert client.ordered() == []
    assert client.visitor().logged_in("ada").ordered() == [{"tea": 2}]


def test_order_is_written_once(shop: Flask) -> None:
    """An order that is written down again stays as it is, with its lines and its time."""
    with shop.test_request_context("/"):
        first = orders.write_down("order one user ada", {"tea": 2})
        again = orders.write_down("order one user ada", {"jam": 1})
    assert again == first


def test_a_cluster_keeps_what_one_server_keeps(new_shop: NewShop) -> None:
    """Carts, orders, passwords, limits and the page of workers work with slots on three servers."""
    cluster = Cluster()
    try:
        client = ShopClient(new_shop(redis_url=cluster.url, demo=True, served_by=True))
        other = client.visitor().fill(jam=1).logged_in("ada")
        client.fill(tea=2).logged_in("ada")
        assert client.check_out().status == 201
        assert client.ordered() == other.ordered() == [{"tea": 2}]
        assert other.cart() == {"jam": 1}
        assert client.log_in("grace", "wrong").status == 401
        assert client.change_password("ada", "Lovelace 1815").status == 204
        assert other.get("/api/sessions").status == 401
        assert client.visitor().log_in("ada", "Lovelace 1815").status == 200
        assert "app-1" in client.get("/status").text
    finally:
        cluster.stop()
