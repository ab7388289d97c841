"""Ordering, and the pages of orders."""

import pytest

from tests.shop.page import Page
from tests.shop.pages.actions import log_in, order
from tests.support.shop.client import ShopClient


@pytest.mark.parametrize("user", [None, "ada"])
def test_order(client: ShopClient, user: str | None) -> None:
    """The button makes an order of the cart and leads to it; the list has it, the cart is empty."""
    client.fill(tea=2, honey=1)
    if user:
        log_in(client, user)
    response = order(client)
    assert response.status == 303
    (made,) = client.orders()
    assert response.headers["Location"] == f"/orders/{made['order_id']}"
    for path in (response.headers["Location"], "/orders"):
        page = Page(client.get(path))
        assert "2 × Sticky-rice tea €23.20" in page.words
        assert "1 × Forest honey €8.90" in page.words
        assert "Total €32.10" in page.words
        assert made["order_id"] in page.words
        assert [time["datetime"] for time in page.every("time")] == [made["created"]]
    assert client.cart() == {}


def test_order_button_of_each_page(client: ShopClient) -> None:
    """Two orders in a row are two: the key is new with every page."""
    for sku in ("tea", "honey"):
        order(client.fill(**{sku: 1}))
    assert len(client.orders()) == 2


def test_order_empty_cart(client: ShopClient) -> None:
    """Ordering with an empty cart, as from a second window, is a 409 that leads to the orders."""
    client.fill(tea=1)
    other = Page(client.get("/cart"))
    order(client)
    response = other.submit(client, "/checkout")
    assert response.status == 409
    assert '<a class="button main" href="/orders">' in response.text


def test_order_of_other_visitor(client: ShopClient) -> None:
    """An order is shown to no other visitor, and an unknown one to none."""
    path = order(client.fill(tea=1)).headers["Location"]
    assert client.get(path).status == 200
    assert client.visitor().get(path, Accept="text/html").status == 404
    assert client.get("/orders/none", Accept="text/html").status == 404
