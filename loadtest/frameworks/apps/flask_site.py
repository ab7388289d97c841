"""A small site over each kind of session: a login, a page, orders.

`loadtest.frameworks.apps.flask_site:create_app('unsticky')`, with the store's URL in REDIS_URL. The
code is that of plain Flask applications; only `unsticky` counts orders with `session.incr`.
"""

import os
import time
from typing import Any, Final
from uuid import uuid4

import redis
from flask import Flask, request, session

from loadtest.frameworks.apps import cart
from loadtest.frameworks.apps.flask_cart import install

WORK_SECONDS: Final = 0.003
"""How long a view waits for its database, between reading the session and changing it."""

_CODE_SECONDS = 60


def create_app(kind: str) -> Flask:
    """Return the application over one of the kinds of `flask_cart`."""
    app = Flask("site")
    app.config["SECRET_KEY"] = cart.SECRET
    store = redis.Redis.from_url(os.environ["REDIS_URL"])
    install(app, kind, store)
    _add_login(app, store)
    _add_page(app)
    _add_orders(app, counted_by_store=kind == "unsticky")

    @app.get("/state")
    def state() -> dict[str, Any]:
        return {
            name: session.get(name) for name in ("user", "last_activity", "heartbeat", "orders")
        }

    return app


def _add_login(app: Flask, store: redis.Redis) -> None:
    """Add a login as OAuth clients do it; the store takes the provider's part."""

    @app.get("/")
    def begin() -> dict[str, Any]:
        session["csrf"] = uuid4().hex
        return {}

    @app.get("/login")
    def login() -> dict[str, Any]:
        state = uuid4().hex
        session[f"_state_{state}"] = {"nonce": uuid4().hex}
        return {"state": state}

    @app.get("/callback")
    def callback() -> tuple[dict[str, Any], int]:
        if session.pop(f"_state_{request.args['state']}", None) is None:
            return {"error": "state"}, 400
        if not store.set(f"code:{request.args['code']}", 1, nx=True, ex=_CODE_SECONDS):
            return {"error": "redeemed"}, 400
        _work()
        session["user"] = {"name": "ada", "since": time.time()}
        return {}, 200


def _add_page(app: Flask) -> None:
    """Add a page, its parts and its heartbeat."""

    @app.before_request
    def remember_activity() -> None:
        if request.endpoint == "page":
            session["last_activity"] = time.time()

    @app.get("/page")
    def page() -> dict[str, Any]:
        return {**_part(), "last_activity": session["last_activity"]}

    @app.get("/part")
    def part() -> dict[str, Any]:
        return _part()

    @app.post("/heartbeat")
    def heartbeat() -> dict[str, Any]:
        shown = _part()
        session["heartbeat"] = beat = time.time()
        return {**shown, "heartbeat": beat}


def _add_orders(app: Flask, *, counted_by_store: bool) -> None:
    @app.post("/orders")
    def order() -> dict[str, Any]:
        if counted_by_store:
            _work()
            session.incr("orders")  # type: ignore[attr-defined]  # Flask types its proxy as its own session
        else:
            orders = session.get("orders", 0)
            _work()
            session["orders"] = orders + 1
        return {}


def _part() -> dict[str, Any]:
    user = session.get("user")
    _work()
    return {"user": user}


def _work() -> None:
    time.sleep(WORK_SECONDS)
