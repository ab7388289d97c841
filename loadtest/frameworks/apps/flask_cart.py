"""Flask: its own cookie, Flask-Session, or this library; the views are the same.

`peers.apps.flask_cart:create_app('unsticky')`, with the store's URL in REDIS_URL.
"""

import os
from typing import Any, Protocol, cast

import redis
from flask import Flask, Response, jsonify, request, session

from peers.apps import cart
from peers.apps.cart import Refused

KINDS = ("flask-cookie", "flask-session", "unsticky")


class Cart(Protocol):
    """A cart in the session of this request."""

    def lines(self) -> dict[str, int]:
        """Return the quantities by sku."""

    def add(self, sku: str, qty: int) -> None:
        """Add to a line.

        Raises:
            Refused: 409, it would hold too many.
        """

    def put(self, sku: str, qty: int) -> None:
        """Set a line; 0 removes it."""

    def clear(self) -> None:
        """Remove all lines."""


class DictCart:
    """A dict in the session, as Flask applications keep it."""

    def lines(self) -> dict[str, int]:
        """See `Cart.lines`."""
        lines: dict[str, int] = session.get("cart", {})
        return lines

    def add(self, sku: str, qty: int) -> None:
        """See `Cart.add`."""
        lines = self.lines()
        cart.add(lines, sku, qty)
        session["cart"] = lines

    def put(self, sku: str, qty: int) -> None:
        """See `Cart.put`."""
        lines = self.lines()
        cart.put(lines, sku, qty)
        session["cart"] = lines

    def clear(self) -> None:
        """See `Cart.clear`."""
        session.pop("cart", None)


class MapCart:
    """A map of this library's session: adding is atomic, in the store."""

    def lines(self) -> dict[str, int]:
        """See `Cart.lines`."""
        return dict(_own().map("cart").items())

    def add(self, sku: str, qty: int) -> None:
        """See `Cart.add`."""
        from unsticky import OutOfRange

        try:
            _own().map("cart").incr(sku, qty, minimum=0, maximum=cart.MOST_PER_LINE)
        except OutOfRange:
            raise cart.full(sku) from None

    def put(self, sku: str, qty: int) -> None:
        """See `Cart.put`."""
        lines = _own().map("cart")
        if qty:
            lines[sku] = qty
        else:
            lines.pop(sku, None)

    def clear(self) -> None:
        """See `Cart.clear`."""
        _own().map("cart").clear()


def create_app(kind: str) -> Flask:
    """Return the application over one of `KINDS`."""
    app = Flask("peer")
    app.config.update(
        SECRET_KEY=cart.SECRET,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=cart.LIFETIME,
    )
    store = redis.Redis.from_url(os.environ["REDIS_URL"])
    basket = _installed(app, kind, store)
    _add_cart_calls(app, basket)
    _add_session_calls(app, kind)

    @app.errorhandler(Refused)
    def refuse(error: Refused) -> tuple[Response, int]:
        return jsonify(error.problem), error.status

    @app.post("/late/<gate>")
    def late(gate: str) -> dict[str, Any]:
        """Add to the cart, but only after the session was read and the driver gave a sign."""
        basket.lines()
        store.rpush(f"held:{gate}", 1)
        store.blpop([f"go:{gate}"], timeout=cart.GATE_SECONDS)
        basket.add("milk", 1)
        return cart.shown(basket.lines())

    return app


def _add_cart_calls(app: Flask, basket: Cart) -> None:
    @app.get("/api/cart")
    def show() -> dict[str, Any]:
        return cart.shown(basket.lines())

    @app.post("/api/cart/items")
    def add() -> dict[str, Any]:
        basket.add(*cart.wanted(_body()))
        return cart.shown(basket.lines())

    @app.put("/api/cart/items/<sku>")
    def put(sku: str) -> dict[str, Any]:
        basket.put(cart.known(sku), cart.quantity(_body(), 0))
        return cart.shown(basket.lines())

    @app.delete("/api/cart/items/<sku>")
    def remove(sku: str) -> dict[str, Any]:
        basket.put(cart.known(sku), 0)
        return cart.shown(basket.lines())

    @app.delete("/api/cart")
    def clear() -> dict[str, Any]:
        basket.clear()
        return cart.shown(basket.lines())


def _add_session_calls(app: Flask, kind: str) -> None:
    @app.post("/api/login")
    def login() -> dict[str, Any]:
        user = str(_body()["username"])
        _log_in(app, kind, user)
        return {"user": user}

    @app.post("/api/logout")
    def logout() -> tuple[str, int]:
        if kind == "unsticky":
            _own().destroy()
        else:
            session.clear()
        return "", 204

    @app.get("/api/session")
    def whose() -> dict[str, Any]:
        return {"user": session.get("user")}


def _installed(app: Flask, kind: str, store: redis.Redis) -> Cart:
    """Give the application its sessions, and return the cart that fits them."""
    # Only what a kind needs is imported: the processes are compared.
    match kind:
        case "flask-cookie":
            return DictCart()
        case "flask-session":
            from flask_session import Session

            app.config.update(SESSION_TYPE="redis", SESSION_REDIS=store)
            Session(app)
            return DictCart()
        case "unsticky":
            from unsticky import Unsticky

            app.config["UNSTICKY_STORE"] = os.environ["REDIS_URL"]
            Unsticky(app)
            return MapCart()
        case _:
            raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")


def _log_in(app: Flask, kind: str, user: str) -> None:
    """Enter a user, under a new id where there is one."""
    if kind == "unsticky":
        _own().bind(user)
    elif kind == "flask-session" and session:
        cast("Any", app.session_interface).regenerate(session)
    session["user"] = user


def _own() -> Any:
    return cast("Any", session)  # Flask types its proxy as its own session


def _body() -> dict[str, Any]:
    return cart.parsed(request.content_type or "", request.get_data())
