"""The same small cart over each kind of session, as an application for Gunicorn.

`APP="bench.carts:create_app('unsticky')"`, with the store's URL in REDIS_URL. The code of the views
is the same for every kind; what differs is where the cart is kept, and for this library that its
cart is a map.
"""

import os
from typing import Any, Protocol

import redis
from flask import Flask, request, session

from .blob import BlobInterface
from .kinds import Kind

EIGHT_LINES = {f"item-{number}": 3 for number in range(1, 9)}
"""A cart as it is when memory is measured: quantities by stock-keeping unit."""

GATE_SECONDS = 5
"""How long a late writer waits at most for the sign to go on."""

_SECRET = "not-secret: signs the cookies of a measurement"


class Cart(Protocol):
    """A cart somewhere."""

    def lines(self) -> dict[str, int]:
        """Return the quantities by stock-keeping unit."""

    def add(self, sku: str) -> dict[str, int]:
        """Add one, and return the quantities."""

    def fill(self, lines: dict[str, int]) -> None:
        """Set the quantities."""


class ConstantCart:
    """No session: the same answer every time."""

    def lines(self) -> dict[str, int]:
        """See `Cart.lines`."""
        return EIGHT_LINES

    def add(self, sku: str) -> dict[str, int]:
        """See `Cart.add`."""
        return {**EIGHT_LINES, sku: EIGHT_LINES.get(sku, 0) + 1}

    def fill(self, lines: dict[str, int]) -> None:
        """See `Cart.fill`."""


class DictCart:
    """A dict in the session, changed as Flask applications do it."""

    def lines(self) -> dict[str, int]:
        """See `Cart.lines`."""
        lines: dict[str, int] = session.get("cart", {})
        return lines

    def add(self, sku: str) -> dict[str, int]:
        """See `Cart.add`."""
        cart = self.lines()
        cart[sku] = cart.get(sku, 0) + 1
        session["cart"] = cart
        return cart

    def fill(self, lines: dict[str, int]) -> None:
        """See `Cart.fill`."""
        session["cart"] = lines


class MapCart:
    """A map of this library's session: every line is a merge unit, adding is atomic."""

    def lines(self) -> dict[str, int]:
        """See `Cart.lines`."""
        return dict(_map().items())

    def add(self, sku: str) -> dict[str, int]:
        """See `Cart.add`."""
        cart = _map()
        cart.incr(sku)
        return dict(cart.items())

    def fill(self, lines: dict[str, int]) -> None:
        """See `Cart.fill`."""
        _map().update(lines)


def application(kind: Kind, store_url: str) -> dict[str, str]:
    """Return the environment in which Gunicorn finds the application of a kind."""
    return {"APP": f"bench.carts:create_app({str(kind)!r})", "REDIS_URL": store_url}


def create_app(name: str) -> Flask:
    """Return the application for the kind of that name."""
    kind = Kind(name)
    app = Flask("bench")
    app.config["SECRET_KEY"] = _SECRET
    store = redis.Redis.from_url(os.environ["REDIS_URL"])
    cart = install(app, kind, store)

    @app.get("/cart")
    def show() -> dict[str, Any]:
        return _shown(cart.lines())

    @app.post("/cart/items")
    def add() -> dict[str, Any]:
        return _shown(cart.add(request.get_json()["sku"]))

    @app.put("/cart")
    def fill() -> dict[str, Any]:
        lines = request.get_json()
        cart.fill(lines)
        return _shown(lines)

    @app.post("/login")
    def login() -> dict[str, Any]:
        session["user"] = request.get_json()["user"]
        return {}

    @app.get("/me")
    def me() -> dict[str, Any]:
        return {"user": session.get("user")}

    @app.post("/logout")
    def logout() -> dict[str, Any]:
        session.clear()
        return {}

    @app.post("/late/<gate>")
    def late(gate: str) -> dict[str, Any]:
        """Add to the cart, but only after the session was read and the driver gave a sign."""
        user = session.get("user")
        store.rpush(f"held:{gate}", 1)
        store.blpop([f"go:{gate}"], timeout=GATE_SECONDS)
        return {**_shown(cart.add("late")), "user": user}

    return app


def install(app: Flask, kind: Kind, store: redis.Redis) -> Cart:
    """Give the application its sessions, and return the cart that fits them."""
    # Only what a kind needs is imported: the processes are compared.
    match kind:
        case Kind.NONE:
            return ConstantCart()
        case Kind.COOKIE:
            return DictCart()
        case Kind.BLOB:
            lifetime = int(app.permanent_session_lifetime.total_seconds())
            app.session_interface = BlobInterface(store, _SECRET.encode(), lifetime)
            return DictCart()
        case Kind.FLASK_SESSION:
            from flask_session import Session

            app.config.update(SESSION_TYPE="redis", SESSION_REDIS=store)
            Session(app)
            return DictCart()
        case Kind.UNSTICKY | Kind.UNSTICKY_PLAIN:
            from unsticky import Unsticky

            app.config["UNSTICKY_STORE"] = os.environ["REDIS_URL"]
            Unsticky(app)
            return MapCart() if kind is Kind.UNSTICKY else DictCart()


def _map() -> Any:
    return session.map("cart")  # type: ignore[attr-defined]  # Flask types its proxy as its own session


def _shown(lines: dict[str, int]) -> dict[str, Any]:
    return {"items": lines, "count": sum(lines.values())}
