"""The store under a Flask application, as browsers use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ... import ConfigurationError, StoreUnavailable, session
from ..places import PATIENCE, Place
from ..promises import not_kept, promise

PROMISE = "P12"


def served(place: Place, slow: Callable[[], None] = lambda: None) -> tuple[Flask, Any]:
    """Return an application whose sessions are in the store, and its Unsticky."""
    app = Flask("site")
    app.testing = True
    sessions = place.serve(app, UNSTICKY_DEADLINE=PATIENCE)

    @app.get("/")
    def show() -> dict[str, Any]:
        cart = dict(session.map("cart").items())
        return {"cart": cart, "theme": session.get("theme"), "user": session.user}

    @app.post("/add/<item>")
    def add(item: str) -> dict[str, int]:
        return {item: session.map("cart").incr(item)}

    @app.post("/theme/<name>")
    def theme(name: str) -> dict[str, str]:
        session["theme"] = name
        return {"theme": name}

    @app.post("/login/<name>")
    def login(name: str) -> str:
        session.bind(name)
        return ""

    @app.post("/logout")
    def logout() -> str:
        session.destroy()
        return ""

    @app.post("/slow")
    def run() -> str:
        slow()
        return ""

    return app, sessions


def twin(app: Flask, client: FlaskClient) -> FlaskClient:
    """Return a client with the cookie that another one has now."""
    cookie = client.get_cookie("session")
    assert cookie is not None
    other = app.test_client()
    other.set_cookie("session", cookie.value)
    return other


def test_a_session_is_kept_from_request_to_request(place: Place) -> None:
    """What one request stored is there in the next one, and begins with the first change."""
    app, _ = served(place)
    client = app.test_client()
    client.get("/")
    assert client.get_cookie("session") is None
    client.post("/add/tea")
    client.post("/theme/dark")
    assert client.get("/").json == {"cart": {"tea": 1}, "theme": "dark", "user": None}
    assert app.test_client().get("/").json == {"cart": {}, "theme": None, "user": None}


@promise("P1")
def test_two_requests_change_different_fields(place: Place) -> None:
    """A request that loaded the session before another one changed it takes nothing back."""

    def slow() -> None:
        assert session.get("theme") is None
        other.post("/add/tea")
        other.post("/add/milk")
        session["theme"] = "dark"

    app, _ = served(place, slow)
    client = app.test_client()
    client.post("/add/tea")
    other = twin(app, client)
    assert client.post("/slow").status_code == 200
    shown: Any = client.get("/").json
    assert (shown["cart"], shown["theme"]) == ({"tea": 2, "milk": 1}, "dark")


@promise("P1")
def test_two_requests_change_the_same_field(place: Place) -> None:
    """The second one is answered with 409, and nothing of it is stored."""

    def slow() -> None:
        before = session["theme"]
        other.post("/theme/light")
        session["theme"] = f"{before}er"

    app, _ = served(place, slow)
    client = app.test_client()
    client.post("/theme/dark")
    other = twin(app, client)
    assert client.post("/slow").status_code == 409
    shown: Any = client.get("/").json
    assert shown["theme"] == "light"


@promise("P2")
def test_a_logout_holds_for_requests_under_way(place: Place) -> None:
    """A request that loaded the session before the logout cannot bring it back."""

    def slow() -> None:
        assert session["theme"] == "dark"
        other.post("/logout")
        session["theme"] = "back"

    app, _ = served(place, slow)
    client = app.test_client()
    client.post("/theme/dark")
    other, late = twin(app, client), twin(app, client)
    assert client.post("/slow").status_code == 409
    shown: Any = late.get("/").json
    assert shown["theme"] is None


@promise("P10")
def test_a_user_lists_and_ends_sessions(place: Place) -> None:
    """A login binds the session; the user's list has it, and ends one or all."""
    app, sessions = served(place)
    if "users" in getattr(sessions.state.store, "lacks", ()):
        not_kept("users")
    clients = [app.test_client() for _ in range(3)]
    for client in clients:
        client.post("/add/tea")
        client.post("/login/ann")
    shown = [client.get("/").json for client in clients]
    assert shown == [{"cart": {"tea": 1}, "theme": None, "user": "ann"}] * 3
    listed = sessions.of("ann")
    assert len(listed) == 3
    assert sessions.revoke(listed[0].handle)
    assert len(sessions.of("ann")) == 2
    assert sessions.revoke_all("ann") == 2
    users: Any = [client.get("/").json for client in clients]
    assert [each["user"] for each in users] == [None] * 3


@promise("P11")
def test_what_the_store_lacks_is_refused(place: Place) -> None:
    """A login in a store without users is an error that says so, and stores nothing."""
    app, sessions = served(place)
    if "users" not in getattr(sessions.state.store, "lacks", ()):
        pytest.skip("the store lacks nothing")
    client = app.test_client()
    client.post("/theme/dark")
    with pytest.raises(ConfigurationError, match="lacks 'users'"):
        client.post("/login/ann")
    with pytest.raises(ConfigurationError, match="lacks 'users'"):
        sessions.of("ann")
    shown: Any = client.get("/").json
    assert shown == {"cart": {}, "theme": "dark", "user": None}


@promise("P9")
def test_a_failing_store_is_answered_with_503(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cookie stays, and the session is there when the store is back."""
    app, sessions = served(place)
    client = app.test_client()
    client.post("/theme/dark")

    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        for name in ("read", "write"):
            patched.setattr(sessions.state.store, name, fail)
        answers = [client.get("/"), client.post("/theme/light")]
    assert [(each.status_code, each.headers.get("Set-Cookie")) for each in answers] == [
        (503, None),
        (503, None),
    ]
    shown: Any = client.get("/").json
    assert shown["theme"] == "dark"
