"""The call of the JSON API that lists orders."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from shop import checkout
from shop.current import current_session

routes = Blueprint("orders_api", __name__, url_prefix="/api/orders")


@routes.get("")
def show() -> Response:
    """List the newest orders first."""
    return jsonify([checkout.document(order) for order in checkout.orders(current_session())])
