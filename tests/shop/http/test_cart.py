"""The catalog and the cart."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.shop.expect import assert_problem
from tests.support.shop.client import ShopClient, quantities

_EMPTY = {"items": [], "count": 0, "total_cents": 0}


def test_products_list(client: ShopClient) -> None:
    """The catalog is a list of products, the same for everyone."""
    client.fill(tea=1)
    answer = client.get("/api/products")
    assert answer.headers["Content-Type"] == "application/json"
    assert "Set-Cookie" not in answer.headers
    assert "cookie" not in answer.headers.get("Vary", "").lower()
    products = answer.json()
    assert len(products) >= 8
    skus = [product["sku"] for product in products]
    assert skus == sorted(set(skus))
    for product in products:
        assert product.keys() == {"sku", "name", "price_cents", "description"}
        assert type(product["price_cents"]) is int
        assert product["price_cents"] > 0
        assert all(product.values())


@pytest.mark.usefixtures("no_new_session")
def test_cart_empty(client: ShopClient) -> None:
    """Looking at the cart without a session shows it empty and creates none."""
    answer = client.get("/api/cart")
    assert (answer.status, answer.json()) == (200, _EMPTY)
    assert "Set-Cookie" not in answer.headers


def test_cart_totals(customer: ShopClient) -> None:
    """The cart has its lines by sku, with the catalog's names and prices, and right sums."""
    catalog = {product["sku"]: product for product in customer.get("/api/products").json()}
    customer.fill(tea=3, honey=1)
    added = customer.add("jam", 2)
    items = [
        {"sku": sku, "qty": qty, **{name: catalog[sku][name] for name in ("name", "price_cents")}}
        for sku, qty in (("honey", 1), ("jam", 2), ("tea", 3))
    ]
    total = sum(item["qty"] * item["price_cents"] for item in items)
    expected = {"items": items, "count": 6, "total_cents": total}
    assert (added.status, added.json()) == (200, expected)
    assert customer.get("/api/cart").json() == expected


def test_cart_add(client: ShopClient) -> None:
    """Each add counts onto the line and answers with the cart; qty is 1 if it is not given."""
    assert quantities(client.add("tea", 2).json()) == {"tea": 2}
    answer = client.post("/api/cart/items", sku="tea")
    assert quantities(answer.json()) == client.cart() == {"tea": 3}


def test_cart_add_limit(customer: ShopClient) -> None:
    """An add that would pass 99 is a 409 and changes nothing; up to 99 it is served."""
    customer.fill(tea=98)
    assert_problem(customer.add("tea", 2), 409)
    assert customer.cart() == {"tea": 98}
    assert quantities(customer.add("tea").json()) == {"tea": 99}


def test_cart_add_concurrent(customer: ShopClient) -> None:
    """Of 40 adds to one line at the same moment none is lost."""
    customer.fill(tea=1)
    with ThreadPoolExecutor(8) as threads:
        statuses = threads.map(lambda _: customer.tab().add("tea").status, range(40))
        assert set(statuses) == {200}
    assert customer.cart() == {"tea": 41}


def test_cart_set(client: ShopClient) -> None:
    """PUT sets the line whatever it was, creates the session if need be, and 0 removes the line."""
    for qty, cart in ((7, {"tea": 7}), (7, {"tea": 7}), (99, {"tea": 99}), (0, {}), (0, {})):
        answer = client.set_quantity("tea", qty)
        assert answer.status == 200
        assert quantities(answer.json()) == client.cart() == cart


def test_cart_remove(customer: ShopClient) -> None:
    """Removing a line leaves the others; removing again answers the same."""
    customer.fill(tea=1, honey=1)
    for _ in range(2):
        answer = customer.send("DELETE", "/api/cart/items/tea")
        assert quantities(answer.json()) == customer.cart() == {"honey": 1}
    for _ in range(2):
        answer = customer.send("DELETE", "/api/cart")
        assert (answer.status, answer.json()) == (200, _EMPTY)
    assert customer.cart() == {}


@pytest.mark.usefixtures("no_new_session")
def test_cart_remove_without_session(client: ShopClient) -> None:
    """Removing what cannot be there creates no session."""
    for answer in (
        client.set_quantity("tea", 0),
        client.send("DELETE", "/api/cart/items/tea"),
        client.send("DELETE", "/api/cart"),
    ):
        assert (answer.status, answer.json()) == (200, _EMPTY)
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("user", [None, "ada"])
def test_cart_per_session(client: ShopClient, user: str | None) -> None:
    """What is in one session's cart is not in another's, also if both are of one user."""
    other = client.visitor()
    if user:
        client.logged_in(user)
        other.logged_in(user)
    client.fill(tea=1)
    other.fill(honey=1)
    assert (client.cart(), other.cart()) == ({"tea": 1}, {"honey": 1})


def test_cart_unknown_fields(client: ShopClient) -> None:
    """A field that a call does not have is named in a 422, and nothing is changed."""
    answer = client.fill(tea=1).post("/api/cart/items", sku="jam", quantity=5)
    assert_problem(answer, 422)
    (error,) = answer.json()["errors"]
    assert error["field"] == "quantity"
    assert "qty, sku" in error["detail"]
    assert client.cart() == {"tea": 1}
