"""Every JSON call, and the two health checks; docs/http-api.md is their contract."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response, jsonify
from unsticky import session

from shop import accounts, cart, catalog, orders
from shop.accounts import passwords
from shop.context import current_shop, served_by
from shop.http.idempotency import idempotent
from shop.http.parsing import Fields, json_object
from shop.logs import rfc3339

routes = Blueprint("api", __name__)


@routes.get("/api/products")
def list_products() -> Response:
    """List the catalog. The session is not touched."""
    return jsonify([asdict(product) for product in catalog.PRODUCTS])


@routes.get("/api/cart")
def show_cart() -> Response:
    """Show the cart."""
    return jsonify(cart.document())


@routes.post("/api/cart/items")
@idempotent
def add_to_cart() -> Response:
    """Add `qty` (1 to 99, by default 1) of `sku`; return the cart."""
    fields = Fields(json_object())
    sku = fields.text("sku")
    qty = fields.integer("qty", 1, cart.MOST_PER_LINE, default=1)
    fields.check()
    cart.add(sku, qty)
    return jsonify(cart.document())


@routes.put("/api/cart/items/<sku>")
def set_line(sku: str) -> Response:
    """Set a line to `qty` (0 to 99), 0 removes it; return the cart."""
    fields = Fields(json_object())
    qty = fields.integer("qty", 0, cart.MOST_PER_LINE)
    fields.check()
    cart.put(sku, qty)
    return jsonify(cart.document())


@routes.delete("/api/cart/items/<sku>")
def remove_line(sku: str) -> Response:
    """Remove a line if it is there; return the cart."""
    cart.put(sku, 0)
    return jsonify(cart.document())


@routes.delete("/api/cart")
def clear_cart() -> Response:
    """Empty the cart; return it."""
    cart.clear()
    return jsonify(cart.document())


@routes.post("/api/checkout")
@idempotent
def check_out() -> tuple[Response, int]:
    """Make an order of the cart; no body is needed."""
    return jsonify(orders.check_out().document()), 201


@routes.get("/api/orders")
def list_orders() -> Response:
    """List the orders, the newest first."""
    return jsonify([order.document() for order in orders.orders()])


@routes.post("/api/login")
def log_in() -> Response:
    """Log in as `username` with `password`."""
    fields = Fields(json_object())
    user = fields.secret("username", accounts.LENGTHS)
    password = fields.secret("password", accounts.LENGTHS)
    fields.check()
    accounts.log_in(user, password)
    return jsonify(user=user)


@routes.post("/api/logout")
def log_out() -> Response:
    """End the session, if there is one."""
    accounts.log_out()
    return Response(status=204)


@routes.put("/api/password")
def change_password() -> Response:
    """Change the password from `current` to `new`; all other sessions of the user end."""
    fields = Fields(json_object())
    current = fields.secret("current", accounts.LENGTHS)
    new = fields.secret("new", passwords.LENGTHS)
    fields.check()
    accounts.change_password(current, new)
    return Response(status=204)


@routes.get("/api/session")
def show_session() -> Response:
    """Show the session and count this call in it; the one GET that creates a session."""
    hits = session.incr("hits")
    return jsonify(
        handle=session.handle,
        created=session.created and rfc3339(session.created),
        hits=hits,
        user=session.user,
        served_by=served_by(),
    )


@routes.get("/api/sessions")
def list_sessions() -> Response:
    """List the user's sessions, the oldest first."""
    return jsonify(
        [
            {
                "handle": device.handle,
                "created": rfc3339(device.created),
                "last_seen": rfc3339(device.last_seen),
                "label": device.label,
                "current": device.handle == session.handle,
            }
            for device in accounts.devices()
        ]
    )


@routes.delete("/api/sessions")
def end_other_sessions() -> Response:
    """End all of the user's sessions but this one."""
    accounts.end_other_devices()
    return Response(status=204)


@routes.delete("/api/sessions/<handle>")
def end_session(handle: str) -> Response:
    """End one of the user's sessions."""
    accounts.end_device(handle)
    return Response(status=204)


@routes.get("/livez")
def livez() -> Response:
    """Answer that this worker serves requests, whether or not the store does."""
    return _healthy()


@routes.get("/readyz")
def readyz() -> Response:
    """Answer that the store takes writes; a read-only store would still answer a ping.

    If it does not, the session library's error becomes a 503 with the reason.
    """
    current_shop().sessions.ping()
    return _healthy()


def _healthy() -> Response:
    response = jsonify(status="ok")
    response.headers["Cache-Control"] = "no-store"
    return response
