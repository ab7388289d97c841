"""Every JSON call, and the two health checks; docs/http-api.md is their contract."""

from dataclasses import asdict

from flask import Blueprint, Response, jsonify
from unsticky import session

from shop import accounts, cart, catalog, orders
from shop.context import current_shop, served_by
from shop.http.idempotency import idempotent, operation_name
from shop.http.parsing import integer, json_object, read, secret, text
from shop.logs import rfc3339
from shop.session_keys import HITS

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
    rules = {"sku": text, "qty": integer(1, cart.MOST_PER_LINE)}
    cart.add(**read(json_object(), rules, qty=1))
    return jsonify(cart.document())


@routes.put("/api/cart/items/<sku>")
def set_line(sku: str) -> Response:
    """Set a line to `qty` (0 to 99), 0 removes it; return the cart."""
    cart.put(sku, **read(json_object(), {"qty": integer(0, cart.MOST_PER_LINE)}))
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
    return jsonify(orders.check_out(operation_name()).document()), 201


@routes.get("/api/orders")
def list_orders() -> Response:
    """List the orders, the newest first."""
    return jsonify([order.document() for order in orders.orders()])


@routes.post("/api/login")
def log_in() -> Response:
    """Log in as `username` with `password`."""
    tried = secret(accounts.TRIED_LENGTHS)
    fields = read(json_object(), {"username": tried, "password": tried})
    accounts.log_in(fields["username"], fields["password"])
    return jsonify(user=fields["username"])


@routes.post("/api/logout")
def log_out() -> Response:
    """End the session, if there is one."""
    accounts.log_out()
    return Response(status=204)


@routes.put("/api/password")
def change_password() -> Response:
    """Change the password from `current` to `new`; all other sessions of the user end."""
    rules = {"current": secret(accounts.TRIED_LENGTHS), "new": secret(accounts.NEW_LENGTHS)}
    accounts.change_password(**read(json_object(), rules))
    return Response(status=204)


@routes.get("/api/session")
def show_session() -> Response:
    """Show the session and count this call in it; the one GET that creates a session."""
    hits = session.incr(HITS)
    return jsonify(
        handle=session.handle,
        created=session.created and rfc3339(session.created),
        hits=hits,
        user=session.user,
        served_by=served_by(),
    )


@routes.get("/api/sessions")
def show_sessions() -> Response:
    """List the user's sessions, the oldest first."""
    return jsonify(
        [
            {
                "handle": listed.handle,
                "created": rfc3339(listed.created),
                "last_seen": rfc3339(listed.last_seen),
                "label": listed.label,
                "current": listed.handle == session.handle,
            }
            for listed in accounts.list_sessions()
        ]
    )


@routes.delete("/api/sessions")
def end_other_sessions() -> Response:
    """End all of the user's sessions but this one."""
    accounts.end_other_sessions()
    return Response(status=204)


@routes.delete("/api/sessions/<handle>")
def end_session(handle: str) -> Response:
    """End one of the user's sessions."""
    accounts.end_session(handle)
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
