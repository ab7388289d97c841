"""The catalog."""

from flask.testing import FlaskClient
from shop.catalog import PRODUCTS

from tests.shop.unit.expect import expect_no_session


def test_the_list(browser: FlaskClient) -> None:
    """The catalog is a list of at least 8 products with sku, name, whole cents, description."""
    response = browser.get("/api/products")
    assert response.status_code == 200
    assert response.mimetype == "application/json"
    products = response.json
    assert isinstance(products, list)
    assert len(products) >= 8
    for product in products:
        assert product.keys() == {"sku", "name", "price_cents", "description"}
        assert type(product["price_cents"]) is int
        assert product["price_cents"] > 0
        assert all(product.values())


def test_skus_are_unique() -> None:
    """No two products share a sku, and the shelf is in the order of the skus."""
    skus = [product.sku for product in PRODUCTS]
    assert skus == sorted(set(skus))


def test_no_session_is_touched(browser: FlaskClient) -> None:
    """The catalog is the same for everyone: no cookie is sent, none is asked for."""
    browser.post("/api/cart/items", json={"sku": "tea"})
    response = browser.get("/api/products")
    expect_no_session(response)
    assert "Cookie" not in response.headers.get("Vary", "")
