"""Customers of the shop: a guest, and a user who logged in."""

from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.shop.unit.expect import quantities


class Customer:
    """Someone with a session, in as many tabs as they like.

    Args:
        shop: The shop they visit.
        user: Whose session it is; ``None`` for a guest.
    """

    def __init__(self, shop: Flask, user: str | None = None) -> None:
        self.shop = shop
        self.client: FlaskClient = shop.test_client()
        with self.client.session_transaction() as session:
            session["user" if user else "seen"] = user or "once"

    def tab(self) -> FlaskClient:
        """Open another tab, with the cookie that the browser has now."""
        tab = self.shop.test_client()
        cookie = self.client.get_cookie("sid")
        assert cookie is not None
        tab.set_cookie("sid", cookie.value)
        return tab

    def add(self, sku: str, qty: int = 1, key: str | None = None) -> TestResponse:
        """Add to the cart."""
        return self.post("/api/cart/items", {"sku": sku, "qty": qty}, key)

    def check_out(self, key: str | None = None) -> TestResponse:
        """Check out."""
        return self.post("/api/checkout", None, key)

    def post(self, path: str, document: object, key: str | None) -> TestResponse:
        """Send a document, with an Idempotency-Key if one is given."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.tab().post(path, json=document, headers=headers)

    def cart(self) -> dict[str, int]:
        """Return what is in the cart."""
        return quantities(self.tab().get("/api/cart"))

    def orders(self) -> list[dict[str, Any]]:
        """Return the orders as the API shows them."""
        response = self.tab().get("/api/orders")
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json  # type: ignore[assignment]
        return found

    def ordered(self) -> list[dict[str, int]]:
        """Return what each order holds."""
        return [{item["sku"]: item["qty"] for item in order["items"]} for order in self.orders()]
