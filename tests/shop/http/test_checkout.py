"""Checkout and the list of orders."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.shop.expect import assert_problem
from tests.support.shop.client import ShopClient, quantities


def test_checkout(customer: ShopClient) -> None:
    """The order has what was in the cart, which is empty then, and is the first in the list."""
    before = customer.orders()
    prices = {p["sku"]: (p["name"], p["price_cents"]) for p in customer.get("/api/products").json()}
    customer.fill(tea=2, honey=3)
    answer = customer.check_out()
    assert answer.status == 201
    order = answer.json()
    assert order.keys() == {"order_id", "created", "items", "total_cents"}
    assert [
        (item["sku"], item["qty"], (item["name"], item["price_cents"])) for item in order["items"]
    ] == [("honey", 3, prices["honey"]), ("tea", 2, prices["tea"])]
    assert order["total_cents"] == 3 * prices["honey"][1] + 2 * prices["tea"][1]
    assert order["created"].endswith("Z")
    age = datetime.now(UTC) - datetime.fromisoformat(order["created"])
    assert abs(age) < timedelta(seconds=10)
    assert customer.cart() == {}
    assert customer.orders() == [order, *before]


def test_checkout_empty(client: ShopClient) -> None:
    """An empty cart cannot be ordered: without a session, with one, and after an order."""
    assert_problem(client.check_out(), 409, "cart-empty")
    assert client.cookie is None
    client.session()
    assert_problem(client.check_out(), 409, "cart-empty")
    client.fill(tea=1)
    assert client.check_out().status == 201
    assert_problem(client.check_out(), 409, "cart-empty")
    assert client.ordered() == [{"tea": 1}]


def test_checkout_concurrent(customer: ShopClient) -> None:
    """Of twenty checkouts at once one makes the order, and the others find the cart empty."""
    before = customer.orders()
    customer.fill(tea=5)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: customer.tab().check_out(), range(20)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 19
    (order,) = (answer.json() for answer in answers if answer.status == 201)
    assert quantities(order) == {"tea": 5}
    assert customer.orders() == [order, *before]


def test_orders_newest_first(customer: ShopClient) -> None:
    """Each checkout is an order, and the last one comes first."""
    for sku in ("tea", "honey", "jam"):
        customer.fill(**{sku: 1}).check_out()
    assert customer.ordered()[:3] == [{"jam": 1}, {"honey": 1}, {"tea": 1}]
    assert len({order["order_id"] for order in customer.orders()[:3]}) == 3


@pytest.mark.usefixtures("no_new_session")
def test_orders_without_session(client: ShopClient) -> None:
    """A visitor without a session has no orders, and gets no session for asking."""
    answer = client.get("/api/orders")
    assert (answer.status, answer.json()) == (200, [])
    assert "Set-Cookie" not in answer.headers


def test_orders_of_user(client: ShopClient) -> None:
    """A user's order is listed in the user's other sessions, and not for another user."""
    other, grace = client.visitor().logged_in("ada"), client.visitor().logged_in("grace")
    order = client.logged_in("ada").fill(wax=3).check_out().json()
    assert client.orders()[0] == other.orders()[0] == order
    assert order not in grace.orders()
    client.log_out()
    assert client.orders() == []
    assert client.logged_in("ada").orders()[0] == order


def test_orders_of_guest(client: ShopClient) -> None:
    """A guest's order stays with the session through a login, until the logout."""
    order = client.fill(wax=3).check_out().json()
    assert client.logged_in("ada").orders()[0] == order
    assert order not in client.visitor().logged_in("ada").orders()
    assert client.visitor().orders() == []
    later = client.fill(tea=1).check_out().json()
    assert client.orders()[:2] == [later, order]
    client.log_out()
    found = client.logged_in("ada").orders()
    assert later in found
    assert order not in found
