"""Sessions in a dict, each saved as a whole: the last writer wins, and a logout can be undone.

One process with threads. Additions meet in pairs between reading and saving, so that one of each
pair is lost whatever the scheduler does.
"""

import os
import secrets
import threading
from typing import Any

import redis
from flask import Flask, Response, make_response, request

_SESSIONS: dict[str, dict[str, Any]] = {}
_MEETING = threading.Barrier(2)
_ALONE_SECONDS = 0.05


def create_app() -> Flask:
    """Return the application, with the calls of `loadtest.frameworks.contract`."""
    app = Flask("planted")
    gates = redis.Redis.from_url(os.environ["REDIS_URL"])

    @app.get("/api/cart")
    def show() -> dict[str, Any]:
        return {"count": _read().get("count", 0)}

    @app.post("/api/cart/items")
    def add() -> Response:
        session = _read()
        _meet()
        session["count"] = session.get("count", 0) + 1
        return _saved(session)

    @app.post("/api/login")
    def login() -> Response:
        return _saved(_read() | {"user": request.get_json()["username"]})

    @app.get("/api/session")
    def whose() -> dict[str, Any]:
        return {"user": _read().get("user")}

    @app.post("/api/logout")
    def logout() -> Response:
        return _saved({})

    @app.post("/late/<gate>")
    def late(gate: str) -> Response:
        session = _read()
        gates.rpush(f"held:{gate}", 1)
        gates.blpop([f"go:{gate}"], timeout=5)
        return _saved(session)

    return app


def _read() -> dict[str, Any]:
    return dict(_SESSIONS.get(request.cookies.get("id", ""), {}))


def _saved(session: dict[str, Any]) -> Response:
    identifier = request.cookies.get("id") or secrets.token_hex(8)
    _SESSIONS[identifier] = session
    response = make_response({})
    response.set_cookie("id", identifier)
    return response


def _meet() -> None:
    try:
        _MEETING.wait(_ALONE_SECONDS)
    except threading.BrokenBarrierError:
        _MEETING.reset()
