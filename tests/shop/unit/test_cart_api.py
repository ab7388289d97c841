"""The cart calls, line by line of the contract."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient
from shop.catalog import BY_SKU

from tests.shop.unit.expect import EMPTY_CART, expect_no_session, expect_problem, quantities
from tests.shop.unit.valkey import Valkey


def test_an_empty_cart_needs_no_session(browser: FlaskClient) -> None:
    """Looking at the cart without a session shows it empty and creates none."""
    response = browser.get("/api/cart")
    assert (response.status_code, response.json) == (200, EMPTY_CART)
    expect_no_session(response)


def test_a_cart_adds_up(browser: FlaskClient) -> None:
    """The cart has its lines by sku, with the catalog's names and prices, and right sums."""
    browser.post("/api/cart/items", json={"sku": "tea", "qty": 2})
    browser.post("/api/cart/items", json={"sku": "honey", "qty": 3})
    honey, tea = BY_SKU["honey"], BY_SKU["tea"]
    assert browser.get("/api/cart").json == {
        "items": [
            {"sku": "honey", "name": honey.name, "qty": 3, "price_cents": honey.price_cents},
            {"sku": "tea", "name": tea.name, "qty": 2, "price_cents": tea.price_cents},
        ],
        "count": 5,
        "total_cents": 3 * honey.price_cents + 2 * tea.price_cents,
    }


def test_adding_adds(browser: FlaskClient) -> None:
    """Each add counts onto the line and answers with the cart; qty is 1 where not given."""
    assert quantities(browser.post("/api/cart/items", json={"sku": "tea", "qty": 2})) == {"tea": 2}
    assert quantities(browser.post("/api/cart/items", json={"sku": "tea"})) == {"tea": 3}
    assert quantities(browser.get("/api/cart")) == {"tea": 3}


def test_a_line_holds_at_most_99(browser: FlaskClient) -> None:
    """An add that would pass 99 is a 409 and changes nothing; up to 99 it is served."""
    browser.post("/api/cart/items", json={"sku": "tea", "qty": 98})
    expect_problem(browser.post("/api/cart/items", json={"sku": "tea", "qty": 2}), 409)
    assert quantities(browser.get("/api/cart")) == {"tea": 98}
    assert quantities(browser.post("/api/cart/items", json={"sku": "tea", "qty": 1})) == {"tea": 99}


def test_adds_at_the_same_moment(shop: Flask) -> None:
    """Of 40 adds to one line at the same moment none is lost."""
    first = shop.test_client()
    first.post("/api/cart/items", json={"sku": "tea", "qty": 1})
    cookie = first.get_cookie("sid")
    assert cookie is not None

    def add(_: int) -> int:
        client = shop.test_client()
        client.set_cookie("sid", cookie.value)
        return client.post("/api/cart/items", json={"sku": "tea"}).status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(add, range(40))) == {200}
    assert quantities(first.get("/api/cart")) == {"tea": 41}


def test_setting_a_line(browser: FlaskClient) -> None:
    """PUT sets the quantity whatever it was, twice with the same effect."""
    browser.post("/api/cart/items", json={"sku": "tea", "qty": 5})
    for _ in range(2):
        assert quantities(browser.put("/api/cart/items/tea", json={"qty": 2})) == {"tea": 2}
    assert quantities(browser.get("/api/cart")) == {"tea": 2}


def test_setting_a_line_starts_a_cart(browser: FlaskClient) -> None:
    """PUT without a session creates one."""
    assert quantities(browser.put("/api/cart/items/tea", json={"qty": 99})) == {"tea": 99}
    assert quantities(browser.get("/api/cart")) == {"tea": 99}


def test_setting_to_nothing_removes(browser: FlaskClient) -> None:
    """PUT 0 removes the line, also where there is none."""
    browser.post("/api/cart/items", json={"sku": "tea"})
    for _ in range(2):
        assert quantities(browser.put("/api/cart/items/tea", json={"qty": 0})) == {}
    assert quantities(browser.get("/api/cart")) == {}


def test_deleting_a_line(browser: FlaskClient) -> None:
    """DELETE of a line removes it and leaves the others; again, it answers the same."""
    browser.post("/api/cart/items", json={"sku": "tea"})
    browser.post("/api/cart/items", json={"sku": "honey"})
    for _ in range(2):
        assert quantities(browser.delete("/api/cart/items/tea")) == {"honey": 1}
    assert quantities(browser.get("/api/cart")) == {"honey": 1}


def test_emptying_the_cart(browser: FlaskClient) -> None:
    """DELETE of the cart removes all lines; again, it answers the same."""
    browser.post("/api/cart/items", json={"sku": "tea"})
    browser.post("/api/cart/items", json={"sku": "honey"})
    for _ in range(2):
        response = browser.delete("/api/cart")
        assert (response.status_code, response.json) == (200, EMPTY_CART)
    assert quantities(browser.get("/api/cart")) == {}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/api/cart/items/tea", {"qty": 0}),
        ("DELETE", "/api/cart/items/tea", None),
        ("DELETE", "/api/cart", None),
    ],
)
def test_removing_needs_no_session(
    browser: FlaskClient, method: str, path: str, body: dict[str, int] | None
) -> None:
    """Removing what cannot be there answers 200 and creates no session."""
    response = browser.open(path, method=method, json=body)
    assert (response.status_code, response.json) == (200, EMPTY_CART)
    expect_no_session(response)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/cart/items", {"sku": "glue", "qty": 1}),
        ("POST", "/api/cart/items", {"sku": ""}),
        ("POST", "/api/cart/items", {"sku": "TEA"}),
        ("POST", "/api/cart/items", {"sku": "\ud800"}),
        ("PUT", "/api/cart/items/glue", {"qty": 1}),
        ("PUT", "/api/cart/items/glue", {"qty": 0}),
        ("DELETE", "/api/cart/items/glue", None),
    ],
)
def test_unknown_skus(
    browser: FlaskClient, method: str, path: str, body: dict[str, object] | None
) -> None:
    """A sku that the catalog does not have is a 404, and no session begins with it."""
    response = browser.open(path, method=method, json=body)
    expect_problem(response, 404)
    expect_no_session(response)


@pytest.mark.parametrize(
    "qty", [0, -1, 100, 10**30, True, False, 1.0, 2.5, 1e999, "1", "", None, [1], {"a": 1}]
)
def test_quantities_to_add(browser: FlaskClient, qty: object) -> None:
    """A qty to add that is no integer from 1 to 99 is a 422 that names it, and adds nothing."""
    body = b'{"sku":"tea","qty":1e999}' if qty == 1e999 else None
    response = (
        browser.post("/api/cart/items", data=body, content_type="application/json")
        if body
        else browser.post("/api/cart/items", json={"sku": "tea", "qty": qty})
    )
    problem = expect_problem(response, 422)
    assert [error["field"] for error in problem["errors"]] == ["qty"]
    assert all(error["detail"] for error in problem["errors"])
    expect_no_session(response)


@pytest.mark.parametrize("body", [{}, {"qty": -1}, {"qty": 100}, {"qty": False}, {"qty": "0"}])
def test_quantities_to_set(browser: FlaskClient, body: dict[str, object]) -> None:
    """A qty to set that is missing or no integer from 0 to 99 is a 422 that names it."""
    response = browser.put("/api/cart/items/tea", json=body)
    problem = expect_problem(response, 422)
    assert [error["field"] for error in problem["errors"]] == ["qty"]
    expect_no_session(response)


@pytest.mark.parametrize("sku", [1, None, True, ["tea"], {}])
def test_skus_that_are_no_strings(browser: FlaskClient, sku: object) -> None:
    """A sku that is not a string is a 422; a wrong qty beside it is told in the same answer."""
    problem = expect_problem(browser.post("/api/cart/items", json={"sku": sku, "qty": 0}), 422)
    assert {error["field"] for error in problem["errors"]} == {"sku", "qty"}


def test_a_missing_sku(browser: FlaskClient) -> None:
    """A body without a sku is a 422 that names it."""
    problem = expect_problem(browser.post("/api/cart/items", json={}), 422)
    assert problem["errors"] == [{"field": "sku", "detail": "must be a string; it is missing"}]


def test_fields_that_nobody_asked_for(browser: FlaskClient) -> None:
    """Other fields are ignored, so that clients of a newer release can use an older one."""
    response = browser.post("/api/cart/items", json={"sku": "tea", "wrapping": "paper"})
    assert quantities(response) == {"tea": 1}


def test_carts_are_apart(shop: Flask) -> None:
    """What one browser has in the cart, another does not see."""
    one, other = shop.test_client(), shop.test_client()
    one.post("/api/cart/items", json={"sku": "tea"})
    other.post("/api/cart/items", json={"sku": "honey"})
    assert quantities(one.get("/api/cart")) == {"tea": 1}
    assert quantities(other.get("/api/cart")) == {"honey": 1}


@pytest.mark.parametrize("redis_url", ["valkey"], indirect=True)
def test_nothing_is_stored_for_nothing(browser: FlaskClient, valkey: Valkey) -> None:
    """Looking, failing and removing leave no session in the store; the first add makes one."""
    for path in ("/", "/cart", "/api/cart", "/api/products", "/livez", "/readyz", "/none"):
        expect_no_session(browser.get(path))
    browser.delete("/api/cart")
    browser.post("/api/cart/items", json={"sku": "glue"})
    browser.post("/api/cart/items", json={"sku": "tea", "qty": 100})
    browser.post("/api/cart/items", json={"sku": "tea"}, headers={"Origin": "http://evil.test"})
    browser.post("/cart/clear")
    assert valkey.keys() == []
    browser.post("/api/cart/items", json={"sku": "tea"})
    assert len(valkey.keys()) == 1
