"""The shop, broken on purpose, for load tests to find. Tests copy it beside the shop."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask
from shop import create_app
from unsticky.maps import SessionMap
from werkzeug.datastructures import ImmutableDict

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Kept open, and with it the lock, for as long as the worker lives.
_held: list[Any] = []


def last_writer_wins() -> Flask:
    """Return a shop that reads quantities, changes them and overwrites what is there."""

    def incr(self: SessionMap, key: Any, delta: int = 1, **_: Any) -> int:
        value = int(self.get(key, 0))
        # As long as a view may take that compares a quantity with a stock, for example.
        time.sleep(0.005)
        self[key] = value + delta
        return int(self[key])

    SessionMap.incr = incr  # type: ignore[method-assign]
    defaults = {**Flask.default_config, "UNSTICKY_CONFLICT": "overwrite"}
    Flask.default_config = ImmutableDict(defaults)
    return create_app()


def own_secret() -> Flask:
    """Return a shop that signs with another secret in one worker of every second replica."""
    if _is_second_replica() and _is_chosen():
        os.environ.pop("SECRET_KEY_FILE", None)
        os.environ["SECRET_KEY"] = secrets.token_hex(32)
    return create_app()


def dropped_cookies() -> Flask:
    """Return a shop in which every second replica removes the cookies of its answers."""
    app = create_app()
    if _is_second_replica():
        app.wsgi_app = _without_cookies(app.wsgi_app)  # type: ignore[method-assign, assignment]
    return app


def revived() -> Flask:
    """Return a shop whose logout ends nothing."""
    app = create_app()
    app.view_functions = {
        name: (lambda: ("", 204)) if name.endswith("log_out") else view
        for name, view in app.view_functions.items()
    }
    return app


def _without_cookies(inner: WSGIApplication) -> WSGIApplication:
    def outer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[..., object]:
            kept = [(name, value) for name, value in headers if name.lower() != "set-cookie"]
            return start_response(status, kept, *rest)

        return inner(environ, start)

    return outer


def _is_second_replica() -> bool:
    # After a deployment, replicas have other numbers.
    return int(os.environ["REPLICA"].removeprefix("app-")) % 2 == 0


def _is_chosen() -> bool:
    file = Path(os.environ["BIND"].removeprefix("unix:")).with_name("chosen").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _held.append(file)
    return True
