"""The cart calls of the JSON API. Each answers with the cart as it is afterwards."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from shop.body import json_object
from shop.cart import MOST_PER_LINE, Cart
from shop.current import current_session
from shop.fields import Fields
from shop.idempotency import idempotent

routes = Blueprint("cart_api", __name__, url_prefix="/api/cart")


@routes.get("")
def show() -> Response:
    """Show the cart."""
    return _answer(Cart(current_session()))


@routes.post("/items")
@idempotent
def add() -> Response:
    """Add ``qty`` (1 to 99, by default 1) of ``sku``."""
    fields = Fields(json_object())
    sku = fields.text("sku")
    qty = fields.integer("qty", 1, MOST_PER_LINE, default=1)
    fields.check()
    cart = Cart(current_session())
    cart.add(sku, qty)
    return _answer(cart)


@routes.put("/items/<sku>")
def put(sku: str) -> Response:
    """Set a line to ``qty`` (0 to 99); 0 removes it."""
    fields = Fields(json_object())
    qty = fields.integer("qty", 0, MOST_PER_LINE)
    fields.check()
    cart = Cart(current_session())
    cart.put(sku, qty)
    return _answer(cart)


@routes.delete("/items/<sku>")
def remove(sku: str) -> Response:
    """Remove a line, if it is there."""
    cart = Cart(current_session())
    cart.remove(sku)
    return _answer(cart)


@routes.delete("")
def clear() -> Response:
    """Empty the cart."""
    cart = Cart(current_session())
    cart.clear()
    return _answer(cart)


def _answer(cart: Cart) -> Response:
    return jsonify(cart.document())
