"""Checkout and orders, line by line of the contract, for guests and for users."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from shop.catalog import BY_SKU
from shop.records.orders import MOST_LISTED, Begun
from shop.records.owner import Owner

from tests.shop.unit.customers import Customer
from tests.shop.expect import expect_no_session, expect_problem
from tests.shop.unit.valkey import Valkey


@pytest.fixture(name="customer", params=["guest", "user"])
def _customer(request: pytest.FixtureRequest, shop: Flask) -> Customer:
    """A guest, and a user, on each store."""
    return Customer(shop, "ada" if request.param == "user" else None)


def test_a_checkout_makes_an_order(customer: Customer) -> None:
    """The answer is the order, with names and prices of that moment; the cart is empty then."""
    customer.add("tea", 2)
    customer.add("honey", 3)
    response = customer.check_out()
    assert response.status_code == 201
    order = response.json
    assert order is not None
    honey, tea = BY_SKU["honey"], BY_SKU["tea"]
    assert order.keys() == {"order_id", "created", "items", "total_cents"}
    assert order["items"] == [
        {"sku": "honey", "name": honey.name, "qty": 3, "price_cents": honey.price_cents},
        {"sku": "tea", "name": tea.name, "qty": 2, "price_cents": tea.price_cents},
    ]
    assert order["total_cents"] == 3 * honey.price_cents + 2 * tea.price_cents
    assert order["created"].endswith("Z")
    age = datetime.now(UTC) - datetime.fromisoformat(order["created"])
    assert abs(age) < timedelta(seconds=10)
    assert customer.cart() == {}
    assert customer.orders() == [order]


def test_an_empty_cart_cannot_be_ordered(customer: Customer) -> None:
    """A checkout of an empty cart is a 409, before the first order and after it."""
    problem = expect_problem(customer.check_out(), 409)
    assert problem["code"] == "cart-empty"
    customer.add("tea")
    assert customer.check_out().status_code == 201
    expect_problem(customer.check_out(), 409)
    assert customer.ordered() == [{"tea": 1}]


def test_a_stranger_has_nothing_to_order(browser: FlaskClient) -> None:
    """Without a session checkout is a 409 and the list is empty; neither makes a session."""
    response = browser.post("/api/checkout")
    expect_problem(response, 409)
    expect_no_session(response)
    response = browser.get("/api/orders")
    assert (response.status_code, response.json) == (200, [])
    expect_no_session(response)


@pytest.mark.parametrize("redis_url", ["valkey"], indirect=True)
def test_looking_at_no_orders_stores_nothing(shop: Flask, valkey: Valkey) -> None:
    """A session without orders is left as it is, and gets no record."""
    customer = Customer(shop)
    assert customer.orders() == []
    expect_problem(customer.check_out(), 409)
    assert len(valkey.keys()) == 1
    # What the status page knows of the workers may be written at any time.
    assert [key for key in valkey.keys("shop:*") if not key.startswith("shop:{status}:")] == []


def test_orders_are_listed_newest_first(customer: Customer) -> None:
    """Each checkout is an order of its own, and the last one comes first."""
    for sku in ("tea", "honey", "jam"):
        customer.add(sku)
        customer.check_out()
    assert customer.ordered() == [{"jam": 1}, {"honey": 1}, {"tea": 1}]
    assert len({order["order_id"] for order in customer.orders()}) == 3


def test_twenty_checkouts_at_once_make_one_order(customer: Customer) -> None:
    """One of them is answered with the order, the others that the cart is empty."""
    customer.add("tea", 5)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: customer.check_out(), range(20)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] + [409] * 19
    assert customer.ordered() == [{"tea": 5}]


def test_an_order_keeps_its_prices(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the catalog changes later does not change an order."""
    customer.add("tea")
    order = customer.check_out().json
    monkeypatch.delitem(BY_SKU, "tea")
    assert customer.orders() == [order]


def test_what_a_guest_ordered_stays_theirs(shop: Flask) -> None:
    """A user who logs in with a guest's session has the guest's orders; others have not."""
    guest = Customer(shop)
    guest.add("tea")
    order = guest.check_out().json
    with guest.client.session_transaction() as session:
        session["user"] = "ada"
    assert guest.orders() == [order]
    assert Customer(shop, "ada").orders() == [order]
    assert Customer(shop, "grace").orders() == []
    assert Customer(shop).orders() == []
    guest.add("jam")
    guest.check_out()
    assert guest.ordered() == [{"jam": 1}, {"tea": 1}]


def test_all_of_a_guests_orders_are_adopted(shop: Flask) -> None:
    """Also those beyond what one listing shows."""
    guest = Customer(shop)
    guest.add("tea")
    guest.check_out()
    records = shop.extensions["shop"].records.orders
    with guest.client.session_transaction() as session:
        owner = Owner.guest(session["guest"])
        session["user"] = "ada"
    for number in range(MOST_LISTED + 5):
        records.settle(owner, Begun(f"{number}", {}, number + 1), (), None)
    assert len(guest.orders()) == MOST_LISTED
    assert records.list(owner).orders == ()
    records.forget(Owner.user("ada"), [order["order_id"] for order in guest.orders()])
    assert len(guest.orders()) == 6


def test_a_user_has_one_cart_in_all_sessions(shop: Flask) -> None:
    """What one session adds, sets, removes or orders, the other sees; other users do not."""
    phone, laptop = Customer(shop, "ada"), Customer(shop, "ada")
    other = Customer(shop, "grace")
    assert phone.add("tea", 2).status_code == 200
    answer = laptop.add("tea", 3)
    assert answer.json is not None
    assert [(item["sku"], item["qty"]) for item in answer.json["items"]] == [("tea", 5)]
    laptop.tab().put("/api/cart/items/jam", json={"qty": 7})
    assert phone.cart() == laptop.cart() == {"tea": 5, "jam": 7}
    expect_problem(phone.add("tea", 95), 409)
    phone.tab().put("/api/cart/items/jam", json={"qty": 0})
    laptop.tab().delete("/api/cart/items/honey")
    assert laptop.cart() == {"tea": 5}
    assert other.cart() == {}
    assert laptop.check_out().status_code == 201
    assert phone.cart() == {}
    assert phone.ordered() == [{"tea": 5}]
    phone.add("wax")
    laptop.tab().delete("/api/cart")
    assert phone.cart() == {}


def test_adds_of_two_sessions_at_once(shop: Flask) -> None:
    """Of 40 adds to one line of a user's cart, from two sessions, none is lost."""
    sessions = [Customer(shop, "ada"), Customer(shop, "ada")]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: sessions[number % 2].add("tea"), range(40)))
    assert {answer.status_code for answer in answers} == {200}
    assert sessions[0].cart() == sessions[1].cart() == {"tea": 40}
