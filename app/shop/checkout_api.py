"""The checkout call of the JSON API."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from shop import checkout
from shop.current import current_session
from shop.idempotency import idempotent

routes = Blueprint("checkout_api", __name__, url_prefix="/api/checkout")


@routes.post("")
@idempotent
def check_out() -> tuple[Response, int]:
    """Make an order of the cart; no body is needed."""
    order = checkout.check_out(current_session())
    return jsonify(checkout.document(order)), 201
