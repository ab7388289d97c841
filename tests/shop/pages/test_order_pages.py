"""Ordering, and the pages of orders."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.shop.expect import expect_no_session, quantities
from tests.shop.pages.actions import HTML, log_in, order
from tests.shop.pages.page import Page


def test_orders_empty(browser: FlaskClient) -> None:
    """Without an order the page says so, without a session."""
    response = browser.get("/orders")
    assert "You have no orders yet." in response.text
    expect_no_session(response)


@pytest.mark.parametrize("user", [None, "ada"])
def test_order(browser: FlaskClient, user: str | None) -> None:
    """The button makes an order of the cart and leads to it; the list has it, the cart is empty."""
    browser.post("/cart/add", data={"sku": "tea", "qty": "2"})
    browser.post("/cart/add", data={"sku": "honey"})
    if user:
        log_in(browser, user)
    response = order(browser)
    assert response.status_code == 303
    (made,) = browser.get("/api/orders").json  # type: ignore[misc]
    assert response.headers["Location"] == f"/orders/{made['order_id']}"
    for path in (response.headers["Location"], "/orders"):
        page = Page(browser.get(path))
        assert "2 × Sticky-rice tea €23.20" in page.words
        assert "1 × Forest honey €8.90" in page.words
        assert "Total €32.10" in page.words
        assert made["order_id"] in page.words
        assert [time["datetime"] for time in page.every("time")] == [made["created"]]
    assert quantities(browser.get("/api/cart")) == {}


def test_order_button_pressed_again(browser: FlaskClient) -> None:
    """The same button pressed again, also much later, leads to the same order and takes nothing."""
    browser.post("/cart/add", data={"sku": "tea"})
    key = {"idempotency_key": Page(browser.get("/cart")).field("idempotency_key")["value"]}
    first = browser.post("/checkout", data=key)
    browser.post("/cart/add", data={"sku": "honey"})
    again = browser.post("/checkout", data=key)
    assert (again.status_code, again.headers["Location"]) == (303, first.headers["Location"])
    assert quantities(browser.get("/api/cart")) == {"honey": 1}
    assert len(browser.get("/api/orders").json) == 1  # type: ignore[arg-type]


def test_order_button_of_each_page(browser: FlaskClient) -> None:
    """Two orders in a row are two: the key is new with every page."""
    for sku in ("tea", "honey"):
        browser.post("/cart/add", data={"sku": sku})
        order(browser)
    assert len(browser.get("/api/orders").json) == 2  # type: ignore[arg-type]


def test_order_empty_cart(browser: FlaskClient) -> None:
    """Ordering with an empty cart, as from a second window, is a 409 that leads to the orders."""
    browser.post("/cart/add", data={"sku": "tea"})
    other = Page(browser.get("/cart")).field("idempotency_key")["value"]
    order(browser)
    response = browser.post("/checkout", data={"idempotency_key": other}, headers=HTML)
    assert response.status_code == 409
    assert '<a class="button main" href="/orders">' in response.text


def test_order_of_other_visitor(shop: Flask) -> None:
    """An order is shown to no other visitor, and an unknown one to none."""
    browser, other = shop.test_client(), shop.test_client()
    browser.post("/cart/add", data={"sku": "tea"})
    path = order(browser).headers["Location"]
    assert browser.get(path).status_code == 200
    assert other.get(path, headers=HTML).status_code == 404
    assert browser.get("/orders/none", headers=HTML).status_code == 404
