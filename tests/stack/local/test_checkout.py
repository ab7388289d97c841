"""Checkout, orders and Idempotency-Key as in the contract, through nginx and several workers."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

import pytest

from tests.support.client import ask
from tests.support.shop_client import ShopClient
from tests.support.stack import Stack
from tests.support.wire import Answer

_JSON = {"Content-Type": "application/json"}


def _assert_problem(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status, answer
    assert answer.media_type == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == answer.request_id


@pytest.fixture(name="browser", params=["guest", "user"])
def _browser(request: pytest.FixtureRequest, stack: Stack) -> ShopClient:
    """A guest, and a user whose cart is empty."""
    browser = stack.browser()
    if request.param == "user":
        document = {"username": "grace", "password": "grace"}
        assert browser.send("POST", "/api/login", document).status == 200
        assert browser.ask("DELETE", "/api/cart").status == 200
    else:
        browser.session()
    return browser


def _orders(browser: ShopClient) -> list[dict[str, Any]]:
    answer = browser.ask("GET", "/api/orders")
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.json()
    return found


def _keyed(browser: ShopClient, path: str, body: bytes, key: str) -> Answer:
    return browser.ask("POST", path, body, {**_JSON, "Idempotency-Key": key})


def test_checking_out(stack: Stack, browser: ShopClient) -> None:
    """201 with the order, without a body; the cart is empty then, and the order comes first."""
    before = _orders(browser)
    browser.add("tea", 2)
    browser.add("jam", 1)
    answer = browser.ask("POST", "/api/checkout")
    assert (answer.status, answer.media_type) == (201, "application/json")
    order = answer.json()
    assert order.keys() == {"order_id", "created", "items", "total_cents"}
    prices = {
        product["sku"]: product["price_cents"]
        for product in ask(stack.port, "GET", "/api/products").json()
    }
    lines = [(item["sku"], item["qty"], item["price_cents"]) for item in order["items"]]
    assert lines == [("jam", 1, prices["jam"]), ("tea", 2, prices["tea"])]
    assert order["total_cents"] == prices["jam"] + 2 * prices["tea"]
    age = datetime.now(UTC) - datetime.fromisoformat(order["created"])
    assert abs(age) < timedelta(seconds=10)
    assert browser.cart() == {}
    assert _orders(browser) == [order, *before]
    _assert_problem(browser.ask("POST", "/api/checkout"), 409, "cart-empty")
    assert _orders(browser) == [order, *before]


def test_without_a_session(stack: Stack) -> None:
    """No orders, nothing to check out, and no session made by either."""
    answer = ask(stack.port, "GET", "/api/orders")
    assert (answer.status, answer.json()) == (200, [])
    assert "Set-Cookie" not in answer.headers
    answer = ask(stack.port, "POST", "/api/checkout")
    _assert_problem(answer, 409, "cart-empty")
    assert "Set-Cookie" not in answer.headers


def test_wrong_methods(stack: Stack) -> None:
    """A wrong method is a 405 whose Allow lists the right ones."""
    for method, path, allowed in (
        ("GET", "/api/checkout", {"POST", "OPTIONS"}),
        ("POST", "/api/orders", {"GET", "HEAD", "OPTIONS"}),
    ):
        answer = ask(stack.port, method, path)
        assert answer.status == 405
        assert set(answer.headers["Allow"].replace(" ", "").split(",")) == allowed


def test_twenty_checkouts_at_once(browser: ShopClient) -> None:
    """Of twenty on all workers, one makes the order, and the others are 409."""
    browser.add("tea", 5)
    before = _orders(browser)

    def check_out(_: int) -> Answer:
        return browser.tab().ask("POST", "/api/checkout")

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(check_out, range(20)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 19
    (order,) = (answer.json() for answer in answers if answer.status == 201)
    assert _orders(browser) == [order, *before]


def test_the_same_key_again(browser: ShopClient) -> None:
    """The stored answers of an add and of a checkout are replayed, whichever worker is asked."""
    key, body = f'"{token_hex(16)}"', b'{"sku":"tea","qty":2}'
    answers = [_keyed(browser, "/api/cart/items", body, key) for _ in range(6)]
    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [
        None,
        *["true"] * 5,
    ]
    assert browser.cart() == {"tea": 2}
    orders = [_keyed(browser, "/api/checkout", b"", key) for _ in range(6)]
    assert {(answer.status, answer.body) for answer in orders} == {(201, orders[0].body)}
    assert _orders(browser)[0] == orders[0].json()
    assert all("Set-Cookie" not in answer.headers for answer in [*answers[1:], *orders[1:]])


def test_wrong_uses_of_a_key(browser: ShopClient) -> None:
    """Another body is a 422, a malformed key a 400; nothing is added by either."""
    key = token_hex(16)
    assert _keyed(browser, "/api/cart/items", b'{"sku":"tea"}', key).status == 200
    answer = _keyed(browser, "/api/cart/items", b'{"sku":"jam"}', key)
    _assert_problem(answer, 422, "idempotency-key-reused")
    answer = _keyed(browser, "/api/cart/items", b'{"sku":"jam"}', "two words")
    _assert_problem(answer, 400, "idempotency-key-malformed")
    assert browser.cart() == {"tea": 1}


def test_a_key_in_flight(browser: ShopClient) -> None:
    """Sent many times at once it is added once; who is told to wait is told how long."""
    key = token_hex(16)

    def add(_: int) -> Answer:
        return _keyed(browser.tab(), "/api/cart/items", b'{"sku":"tea"}', key)

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(add, range(40)))
    for answer in answers:
        if answer.status != 200:
            _assert_problem(answer, 409, "idempotency-key-in-flight")
            assert 1 <= int(answer.headers["Retry-After"]) <= 5
    assert len({answer.body for answer in answers if answer.status == 200}) == 1
    assert browser.cart() == {"tea": 1}


def test_a_guests_order_is_the_users(stack: Stack) -> None:
    """Who checks out and then logs in finds the order, in another session, too."""
    guest, other = stack.browser(), stack.browser()
    guest.add("wax", 3)
    order = guest.ask("POST", "/api/checkout").json()
    for browser in (guest, other):
        document = {"username": "linus", "password": "linus"}
        assert browser.send("POST", "/api/login", document).status == 200
    assert _orders(guest)[0] == order
    assert _orders(other)[0] == order
