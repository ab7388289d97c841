"""An application whose one view does what a test wants, and its visitors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flask import Flask
from flask.testing import FlaskClient
from unsticky import Unsticky, session
from werkzeug.test import TestResponse

from tests.support.stores.places import Memory

HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR


@dataclass
class Site:
    """An application with one view, at all paths.

    Attributes:
        app: the application.
        sessions: its sessions.
    """

    app: Flask
    sessions: Unsticky
    _view: Callable[[], object] = str

    def __post_init__(self) -> None:
        """Add the view."""
        for path in ("/", "/<path:_>"):
            methods = ["GET", "POST"]
            self.app.add_url_rule(path, "view", self._answer, defaults=None, methods=methods)

    def visit(
        self, client: FlaskClient, view: Callable[[], object], **request: Any
    ) -> TestResponse:
        """Send a request that `view` answers, with what it returns or with nothing."""
        self._view = view
        return client.open(**({"path": "/", "method": "POST"} | request))

    def _answer(self, _: str = "") -> Any:
        return self._view() or ""


MakeSite = Callable[[dict[str, Any]], Site]
"""Makes a site with these settings, which keeps its sessions at the test's server."""


def site_at(place: Memory, settings: dict[str, Any]) -> Site:
    """Return a site that keeps its sessions in memory, with a clock that only the test moves."""
    app = Flask("site")
    return Site(app, place.serve(app, **settings))


def set_value() -> None:
    """Answer a request that begins a session."""
    session["a"] = 1


def log_in() -> None:
    """Answer a request that begins a session of the user ada."""
    session["a"] = 1
    session.bind("ada")


def is_empty() -> str:
    """Answer with whether there is no session: True or False."""
    return str(not dict(session))


def cookies_of(response: TestResponse) -> list[str]:
    """Return the cookies that a response sets or deletes."""
    return response.headers.getlist("Set-Cookie")


def send(client: FlaskClient, cookie: str) -> FlaskClient:
    """Let a client send this session cookie from now on, and return it."""
    client.set_cookie("session", cookie)
    return client
