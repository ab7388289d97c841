"""A pytest plugin for other projects' suites: every Flask application gets `Unsticky(app)`.

It stands alone, in no package: the suites that load it have packages called `tests` themselves.
It reads:

- `UNSTICKY_FOREIGN_SESSIONS`: `own` leaves the applications alone, `ours` gives them our sessions,
  and `read` also makes the suite's functions that decode the cookie read our store.
- `UNSTICKY_FOREIGN_STORE`: where our sessions are kept.
- `UNSTICKY_FOREIGN_RESULTS`: the file that gets what came of each test, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask, Request
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from werkzeug.http import parse_cookie
from werkzeug.test import Client, TestResponse

_SESSIONS = os.environ.get("UNSTICKY_FOREIGN_SESSIONS", "ours")
_STORE = os.environ.get("UNSTICKY_FOREIGN_STORE", "memory://")
_COOKIE = "session"
_OUTCOMES: dict[str, str] = {}
_GIVEN: list[tuple[Flask, Any]] = []


class Awaiting(SecureCookieSessionInterface):
    """Flask's default, until the first request: then the application gets `Unsticky(app)`.

    As late as that because a suite configures an application after it made it. An application
    with a session interface of its own keeps that.
    """

    def open_session(self, app: Flask, request: Request) -> Any:
        """Open the session by what replaces this."""
        give(app)
        return app.session_interface.open_session(app, request)


def give(app: Flask) -> None:
    """Give the application our sessions, unless it has them or chose its own."""
    if not isinstance(app.session_interface, Awaiting):
        return
    from unsticky import Unsticky

    app.config.setdefault("UNSTICKY_STORE", _STORE)
    app.config.setdefault("SESSION_KEY_PREFIX", f"{uuid4().hex}:")
    sessions = Unsticky(app)
    if _SESSIONS == "read" or not _STORE.startswith("memory:"):
        _GIVEN.append((app, sessions))


def pytest_configure() -> None:
    """Replace Flask's default before any application is made."""
    if _SESSIONS == "own":
        return
    Flask.session_interface = Awaiting()
    call = Flask.__call__

    def give_and_call(app: Flask, environ: Any, start_response: Any) -> Any:
        # Before the request begins, so that the first one passes our middleware, too.
        give(app)
        return call(app, environ, start_response)

    Flask.__call__ = give_and_call  # type: ignore[method-assign,assignment]


def pytest_collection_modifyitems() -> None:
    """Let what decodes a cookie read our store, in every module that imported it."""
    if _SESSIONS != "read":
        return
    readers: dict[str, Callable[..., Any]] = {
        "get_session": session_after,
        "get_existing_session": session_of,
    }
    for name, module in [*sys.modules.items()]:
        if name.startswith("test") or ".test" in name:
            for reader in readers.keys() & vars(module).keys():
                setattr(module, reader, readers[reader])


def session_after(response: TestResponse) -> dict[str, Any] | None:
    """Return what the session holds after a response: the one that it set, or that was sent."""
    for line in response.headers.getlist("Set-Cookie"):
        if value := parse_cookie(line).get(_COOKIE):
            return _read(value)
    value = parse_cookie(response.request.environ.get("HTTP_COOKIE", "")).get(_COOKIE)
    return _read(value) if value else None


def session_of(client: Client) -> dict[str, Any] | None:
    """Return what the session of a client's cookie holds."""
    cookie = client.get_cookie(_COOKIE)
    return _read(cookie.value) if cookie else None


def _read(value: str) -> dict[str, Any] | None:
    app, _ = _GIVEN[-1]
    with app.test_request_context(headers={"Cookie": f"{_COOKIE}={value}"}) as context:
        session: SessionMixin | None = app.session_interface.open_session(app, context.request)
        return dict(session or {}) or None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what came of a test: the worst of its set-up, itself and its clearing away."""
    if report.failed:
        _OUTCOMES[report.nodeid] = "failed"
    elif report.skipped:
        _OUTCOMES.setdefault(report.nodeid, "skipped")
    elif report.when == "call":
        _OUTCOMES.setdefault(report.nodeid, "passed")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close connections, and write what was noted; xdist's workers report to their master."""
    for _, sessions in _GIVEN:
        # Of a library that cannot close them the operating system closes them now.
        getattr(sessions, "close", bool)()
    path = os.environ.get("UNSTICKY_FOREIGN_RESULTS")
    if path and not hasattr(session.config, "workerinput"):
        Path(path).write_text(json.dumps(_OUTCOMES), encoding="utf-8")
