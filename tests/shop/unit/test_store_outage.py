"""What the shop answers while its store hangs or is gone, and after."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from shop import Settings, create_app

from tests.shop.conftest import SECRET, close
from tests.shop.unit.customers import Customer
from tests.shop.expect import expect_no_session, expect_problem, quantities
from tests.shop.unit.valkey import Valkey

# After a store that hung, calls fail at once for a moment, lest each waits.
_RECOVERY_SECONDS = 5.0

_NEEDS_THE_STORE = [
    ("GET", "/api/cart"),
    ("POST", "/api/cart/items"),
    ("PUT", "/api/cart/items/tea"),
    ("DELETE", "/api/cart/items/tea"),
    ("DELETE", "/api/cart"),
    ("GET", "/api/session"),
    ("GET", "/api/sessions"),
    ("POST", "/api/logout"),
    ("GET", "/readyz"),
]


@pytest.fixture(name="own_valkey")
def _own_valkey() -> Iterator[Valkey]:
    """A Valkey that a test may break."""
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        server = Valkey(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(name="customer")
def _customer(own_valkey: Valkey) -> Iterator[FlaskClient]:
    """Somebody with tea in the cart."""
    shop = create_app(Settings(secret_key=SECRET, redis_url=own_valkey.url, replica="app-1"))
    client = shop.test_client()
    assert client.post("/api/cart/items", json={"sku": "tea"}).status_code == 200
    yield client
    close(shop)


@pytest.mark.parametrize("fault", ["gone", "hangs"])
@pytest.mark.parametrize(("method", "path"), _NEEDS_THE_STORE)
def test_calls_that_need_the_store(
    own_valkey: Valkey, customer: FlaskClient, fault: str, method: str, path: str
) -> None:
    """Without the store a call is a 503 within 2 s that says when to come back; no cookie goes."""
    if fault == "gone":
        own_valkey.stop()
    else:
        own_valkey.pause()
    body = {"sku": "tea", "qty": 1} if method in {"POST", "PUT"} else None
    before = time.monotonic()
    response = customer.open(path, method=method, json=body)
    assert time.monotonic() - before < 2
    problem = expect_problem(response, 503)
    expect_no_session(response)
    if problem.get("code") != "outcome-unknown":
        assert int(response.headers["Retry-After"]) >= 1


def test_calls_that_do_not(own_valkey: Valkey, customer: FlaskClient) -> None:
    """Liveness and the catalog do without the store."""
    own_valkey.stop()
    assert customer.get("/livez").status_code == 200
    assert customer.get("/api/products").status_code == 200


def test_the_shelf_stays_open(own_valkey: Valkey, customer: FlaskClient) -> None:
    """The shelf shows its products without the store, and says that the cart is out of reach."""
    assert "out of reach" not in customer.get("/").text
    own_valkey.stop()
    response = customer.get("/")
    assert response.status_code == 200
    assert "out of reach" in response.text
    assert "Sticky rice" in response.text
    expect_no_session(response)


def test_a_page_says_it(own_valkey: Valkey, customer: FlaskClient) -> None:
    """A page that needs the store is a 503 page with Retry-After."""
    own_valkey.stop()
    response = customer.get("/cart", headers={"Accept": "text/html"})
    assert (response.status_code, response.mimetype) == (503, "text/html")
    assert int(response.headers["Retry-After"]) >= 1
    assert '<a class="button main" href="/cart">Try again</a>' in response.text


def test_afterwards(own_valkey: Valkey, customer: FlaskClient) -> None:
    """When the store answers again the shop does too, and the cart is as it was."""
    own_valkey.pause()
    expect_problem(customer.get("/api/cart"), 503)
    own_valkey.resume()
    _wait_until_ready(customer)
    assert quantities(customer.get("/api/cart")) == {"tea": 1}


def test_an_empty_store_afterwards(own_valkey: Valkey, customer: FlaskClient) -> None:
    """A store that came back empty serves at once: new carts can begin."""
    own_valkey.stop()
    expect_problem(customer.get("/api/cart"), 503)
    own_valkey.start()
    _wait_until_ready(customer)
    assert quantities(customer.get("/api/cart")) == {}
    assert quantities(customer.post("/api/cart/items", json={"sku": "tea"})) == {"tea": 1}


@pytest.mark.parametrize("fault", ["gone", "hangs"])
def test_a_logout_that_was_not_carried_out(own_valkey: Valkey, fault: str) -> None:
    """Without the store a logout is reported as failed, and the cookie stays for another try."""
    settings = Settings(secret_key=SECRET, redis_url=own_valkey.url, replica="app-1", demo=True)
    shop = create_app(settings)
    ada = shop.test_client()
    assert ada.post("/api/login", json={"username": "ada", "password": "ada"}).status_code == 200
    if fault == "gone":
        own_valkey.stop()
    else:
        own_valkey.pause()
    response = ada.post("/api/logout")
    expect_problem(response, 503)
    expect_no_session(response)
    assert int(response.headers["Retry-After"]) >= 1
    assert "Clear-Site-Data" not in response.headers
    if fault == "hangs":
        own_valkey.resume()
        _wait_until_ready(ada)
        assert ada.post("/api/logout").status_code == 204  # carried out by now, or then
        assert ada.get("/api/sessions").status_code == 401
    close(shop)


@pytest.mark.parametrize("fault", ["gone", "hangs"])
def test_a_login_without_the_store(own_valkey: Valkey, customer: FlaskClient, fault: str) -> None:
    """Without the store nobody is told that their password is wrong: 503, and no cookie goes."""
    if fault == "gone":
        own_valkey.stop()
    else:
        own_valkey.pause()
    response = customer.post("/api/login", json={"username": "ada", "password": "ada"})
    expect_problem(response, 503)
    expect_no_session(response)
    assert int(response.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("user", [None, "ada"])
def test_a_checkout_that_got_half_way(own_valkey: Valkey, user: str | None) -> None:
    """Once the cart is taken, a failure invites to no second try; the order is there afterwards."""
    shop = create_app(Settings(secret_key=SECRET, redis_url=own_valkey.url, replica="app-1"))
    customer = Customer(shop, user)
    customer.add("tea", 2)
    # All that takes the cart, and not the list in which the order is to be written down.
    own_valkey.allow("unsticky:*", "shop:*:cart", "shop:*:orders", "shop:*:outbox")
    response = customer.check_out()
    assert expect_problem(response, 503)["code"] == "outcome-unknown"
    assert "Retry-After" not in response.headers
    own_valkey.allow("*")
    assert customer.cart() == {}
    assert customer.ordered() == [{"tea": 2}]
    close(shop)


def test_a_password_change_that_got_half_way(own_valkey: Valkey) -> None:
    """Once the password is another, a failure invites to no second try; the next login ends it."""
    settings = Settings(secret_key=SECRET, redis_url=own_valkey.url, replica="app-1", demo=True)
    shop = create_app(settings)
    ada, other = shop.test_client(), shop.test_client()
    for client in (ada, other):
        client.post("/api/login", json={"username": "ada", "password": "ada"})
    # All but the list of the user's sessions.
    own_valkey.allow("unsticky:*:s:*", "unsticky:*:o:*", "shop:*")
    response = ada.put("/api/password", json={"current": "ada", "new": "Lovelace 1815"})
    assert expect_problem(response, 503)["code"] == "outcome-unknown"
    assert "Retry-After" not in response.headers
    own_valkey.allow("*")
    fresh = shop.test_client()
    login = fresh.post("/api/login", json={"username": "ada", "password": "Lovelace 1815"})
    assert login.status_code == 200
    assert other.get("/api/sessions").status_code == 401
    close(shop)


def _wait_until_ready(client: FlaskClient) -> None:
    end = time.monotonic() + _RECOVERY_SECONDS
    while (response := client.get("/readyz")).status_code != 200:
        assert time.monotonic() < end, response.text
        time.sleep(0.02)
