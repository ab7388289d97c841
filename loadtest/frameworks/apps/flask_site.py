"""A small site as browsers load it, over each kind of session, as an application for Gunicorn.

`APP="bench.pages:create_app('unsticky')"`, with the store's URL in REDIS_URL. The code is what
plain Flask applications have. Only with `unsticky` are orders counted by `session.incr`.
"""

import os
import time
from typing import Any, Final
from uuid import uuid4

import redis
from flask import Flask, request, session

from .carts import install
from .kinds import Kind

WORK_SECONDS: Final = 0.003
"""What a view waits for its database, between reading the session and changing it."""

_CODE_SECONDS = 60
_SECRET = "not-secret: signs the cookies of a measurement"


def application(kind: Kind, store_url: str) -> dict[str, str]:
    """Return the environment in which Gunicorn finds the application of a kind."""
    return {"APP": f"bench.pages:create_app({str(kind)!r})", "REDIS_URL": store_url}


def create_app(name: str) -> Flask:
    """Return the application for the kind of that name."""
    kind = Kind(name)
    app = Flask("bench")
    app.config["SECRET_KEY"] = _SECRET
    store = redis.Redis.from_url(os.environ["REDIS_URL"])
    install(app, kind, store)
    _add_login(app, store)
    _add_page(app)
    _add_orders(app, counted_by_store=kind is Kind.UNSTICKY)

    @app.get("/state")
    def state() -> dict[str, Any]:
        return {
            name: session.get(name) for name in ("user", "last_activity", "heartbeat", "orders")
        }

    return app


def _add_login(app: Flask, store: redis.Redis) -> None:
    """Add a login as OAuth clients do it; the provider's part is played by the store."""

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
