"""Flask over each kind of session; the views are the same.

`loadtest.frameworks.apps.flask_cart:create_app('unsticky')`, with the store of the benchmark
in REDIS_URL, and the place of the sessions in SESSIONS_URL if they are not there, too.
"""

import os
import uuid
from typing import Any, cast

import redis
from flask import Flask, Response, jsonify, request, session

from loadtest.frameworks import contract
from loadtest.frameworks.apps import cart
from loadtest.frameworks.apps.cart import Refused
from loadtest.frameworks.apps.flask_accounts import Accounts, accounts


class Cart:
    """A dict in the session, as Flask applications keep it."""

    def lines(self) -> dict[str, int]:
        """Return the quantities by sku."""
        lines: dict[str, int] = session.get("cart", {})
        return lines

    def add(self, sku: str, qty: int) -> dict[str, int]:
        """Add to a line, and return the quantities."""
        lines = self.lines()
        cart.add(lines, sku, qty)
        session["cart"] = lines
        return lines


class _ConstantCart(Cart):
    """Three of each sku, every time: the floor of every comparison."""

    def lines(self) -> dict[str, int]:
        return dict.fromkeys(contract.SKUS, 3)

    def add(self, sku: str, qty: int) -> dict[str, int]:
        lines = self.lines()
        cart.add(lines, sku, qty)
        return lines


class _MapCart(Cart):
    """A map of this library's session: the store adds atomically."""

    def lines(self) -> dict[str, int]:
        return dict(_own().map("cart").items())

    def add(self, sku: str, qty: int) -> dict[str, int]:
        from unsticky import OutOfRange

        lines = _own().map("cart")
        try:
            lines.incr(sku, qty, minimum=0, maximum=cart.MOST_PER_LINE)
        except OutOfRange:
            raise cart.full(sku) from None
        return dict(lines.items())


def create_app(kind: str) -> Flask:
    """Return the application over one of the kinds of `install`."""
    app = Flask("peer")
    app.config.update(
        SECRET_KEY=cart.SECRET,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=cart.LIFETIME,
    )
    store = redis.Redis.from_url(os.environ["REDIS_URL"])
    basket = install(app, kind, store)
    _add_cart_calls(app, basket)
    _add_session_calls(app, accounts(kind, app, store))
    _add_oauth_calls(app)

    @app.errorhandler(Refused)
    def refuse(error: Refused) -> tuple[Response, int]:
        return jsonify(error.problem), error.status

    _add_late_call(app, basket, store)
    return app


def create_shop() -> Flask:
    """Return the shop itself, with the one call more that the race of logouts needs."""
    import shop

    app: Flask = shop.create_app()
    _add_late_call(app, _MapCart(), redis.Redis.from_url(os.environ["REDIS_URL"]))
    return app


def install(app: Flask, kind: str, store: redis.Redis) -> Cart:
    """Give the application its sessions, and return the cart that fits them.

    `none` is a constant cart without a session, `unsticky-plain` this library under plain code.
    """
    url = os.environ.get("SESSIONS_URL") or os.environ["REDIS_URL"]
    # Only what a kind needs is imported: the processes are compared.
    match kind:
        case "none":
            return _ConstantCart()
        case "blob":
            from loadtest.frameworks.apps.blob import BlobInterface

            app.session_interface = BlobInterface(store, cart.SECRET.encode(), cart.LIFETIME)
        case "flask-cookie":
            pass
        case "flask-session":
            from loadtest.frameworks.apps import flask_session_stores

            flask_session_stores.install(app, url)
        case "beaker":
            from loadtest.frameworks.apps import beaker_sessions

            beaker_sessions.install(app, url)
        case "unsticky" | "unsticky-plain":
            from unsticky import Unsticky

            app.config["UNSTICKY_STORE"] = url
            if url.startswith("mongodb"):
                # A server that is no mongod can take seconds under load, and 503 ends a benchmark.
                app.config["UNSTICKY_DEADLINE"] = 10
            Unsticky(app)
        case _:
            raise ValueError(f"{kind!r} is no kind of session")
    return _MapCart() if kind == "unsticky" else Cart()


def _add_cart_calls(app: Flask, basket: Cart) -> None:
    @app.get("/api/cart")
    def show() -> dict[str, Any]:
        return cart.shown(basket.lines())

    @app.post("/api/cart/items")
    def add() -> dict[str, Any]:
        return cart.shown(basket.add(*cart.wanted(_body())))


def _add_late_call(app: Flask, basket: Cart, store: redis.Redis) -> None:
    @app.post("/late/<gate>")
    def late(gate: str) -> dict[str, Any]:
        """Add to the cart once the session was read and the driver has opened the gate."""
        basket.lines()
        store.rpush(f"held:{gate}", 1)
        store.blpop([f"go:{gate}"], timeout=contract.GATE_SECONDS)
        return cart.shown(basket.add("milk", 1))


def _add_session_calls(app: Flask, users: Accounts) -> None:
    @app.post("/api/login")
    def login() -> dict[str, Any]:
        user = str(_body()["username"])
        users.login(user)
        return {"user": user}

    @app.post("/api/logout")
    def logout() -> tuple[str, int]:
        users.logout()
        return "", 204

    @app.post("/api/revoke")
    def revoke() -> tuple[str, int]:
        users.revoke(str(_body()["username"]))
        return "", 204

    @app.get("/api/session")
    def whose() -> dict[str, Any]:
        return {"user": session.get("user")}


def _add_oauth_calls(app: Flask) -> None:
    @app.get("/oauth/start")
    def start() -> dict[str, Any]:
        session["oauth_state"] = state = uuid.uuid4().hex
        return {"state": state}

    @app.get("/oauth/callback")
    def callback() -> dict[str, Any]:
        if session.pop("oauth_state", None) != request.args["state"]:
            raise cart.other_state()
        return {}


def _own() -> Any:
    return cast("Any", session)  # Flask types its proxy as its own session


def _body() -> dict[str, Any]:
    return cart.parsed(request.content_type or "", request.get_data())
