"""Flask-Login works as it is, and its logins and logouts are this library's."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask, jsonify, session
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from flask_login import (
    LoginManager,
    UserMixin,
    confirm_login,
    current_user,
    fresh_login_required,
    login_fresh,
    login_required,
    login_user,
    logout_user,
)
from unsticky import Session
from werkzeug.test import TestResponse

from .conftest import NewApp


class _User(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    def __init__(self, name: str) -> None:
        self.id = name


@pytest.fixture(name="app")
def _app(new_app: NewApp, store: str) -> Flask:
    return _with_login(new_app(store))


def _with_login(app: Flask) -> Flask:
    manager = LoginManager(app)
    manager.user_loader(_User)

    @app.get("/untouched")
    def untouched() -> ResponseReturnValue:
        return "the same for everyone"

    @app.get("/set")
    def set_() -> ResponseReturnValue:
        session["theme"] = "dark"
        return ""

    @app.get("/login")
    @app.get("/remember", defaults={"remember": True}, endpoint="remember")
    def login(remember: bool = False) -> ResponseReturnValue:  # noqa: FBT001, FBT002 (a route's default)
        session["before"] = 1
        login_user(_User("ann"), remember=remember)
        session["after"] = 1
        return ""

    @app.get("/logout")
    def logout() -> ResponseReturnValue:
        logout_user()
        return ""

    @app.get("/logout-and-set")
    def logout_and_set() -> ResponseReturnValue:
        logout_user()
        session["theme"] = "light"
        return ""

    @app.get("/confirm")
    def confirm() -> ResponseReturnValue:
        confirm_login()
        return ""

    @app.get("/me")
    @login_required  # type: ignore[untyped-decorator]  # Flask-Login has no types
    def me() -> ResponseReturnValue:
        return jsonify(user=current_user.get_id(), fresh=login_fresh(), data=dict(session))

    @app.get("/fresh")
    @fresh_login_required  # type: ignore[untyped-decorator]  # likewise
    def fresh() -> ResponseReturnValue:
        return ""

    return app


def _sessions(app: Flask, user: str = "ann") -> tuple[Any, ...]:
    listed: tuple[Any, ...] = app.extensions["unsticky"].of(user)
    return listed


def _json(answer: TestResponse) -> Any:
    """Return the body, parsed; None where it is no JSON."""
    return answer.get_json(silent=True)


def _cookie(client: FlaskClient, name: str = "session") -> str | None:
    cookie = client.get_cookie(name)
    return cookie.value if cookie else None


def test_a_login_binds_under_a_new_id_and_keeps_the_data(app: Flask) -> None:
    """Logging in changes the id, enters the user's list, and keeps what was set before."""
    client = app.test_client()
    client.get("/set")
    before = _cookie(client)
    assert client.get("/login", headers={"User-Agent": "a browser"}).status_code == 200
    assert _cookie(client) != before
    answer = client.get("/me", headers={"User-Agent": "a browser"})
    data = _json(answer)["data"]
    assert (_json(answer)["user"], _json(answer)["fresh"]) == ("ann", True)
    assert (data["theme"], data["before"], data["after"]) == ("dark", 1, 1)
    assert "_remember" not in data
    assert [info.label for info in _sessions(app)] == ["a browser"]


def test_the_cookie_from_before_the_login_is_nobody(app: Flask) -> None:
    """A cookie from before the login is not logged in by it (CWE-384)."""
    client, thief = app.test_client(), app.test_client()
    client.get("/set")
    thief.set_cookie("session", _cookie(client) or "")
    client.get("/login")
    assert thief.get("/me").status_code == 401


@pytest.mark.parametrize("logout", ["unbind", "destroy"])
def test_a_logout_ends_the_login(new_app: NewApp, store: str, logout: str) -> None:
    """After a logout the list is empty, and neither the old cookie nor the new one is anybody's.

    What is not the login's stays, unless the application wants it all to end.
    """
    app = _with_login(new_app(store, UNSTICKY_LOGOUT=logout))
    client, thief = app.test_client(), app.test_client()
    client.get("/set")
    client.get("/login")
    thief.set_cookie("session", _cookie(client) or "")
    assert client.get("/logout").status_code == 200
    with client.session_transaction() as held:
        left = {"theme": "dark", "before": 1, "after": 1}
        assert dict(held) == (left if logout == "unbind" else {})
        assert isinstance(held, Session)
        assert held.user is None
    assert client.get("/me").status_code == 401
    assert thief.get("/me").status_code == 401
    assert _sessions(app) == ()


def test_what_is_set_after_the_logout_stays(app: Flask) -> None:
    """Also in the same request, under the new id."""
    client = app.test_client()
    client.get("/login")
    before = _cookie(client)
    client.get("/logout-and-set")
    assert _cookie(client) not in {None, before}
    with client.session_transaction() as held:
        assert dict(held) == {"before": 1, "after": 1, "theme": "light"}


def test_a_logout_without_a_session_is_harmless(app: Flask) -> None:
    """Logging out twice, or without ever having logged in, is no error."""
    client = app.test_client()
    assert client.get("/logout").status_code == 200
    client.get("/login")
    assert [client.get("/logout").status_code for _ in range(2)] == [200, 200]


def test_a_remembered_user_comes_back_unfresh(app: Flask) -> None:
    """The remember cookie logs in again once the session's cookie is gone, under a new id."""
    client = app.test_client()
    client.get("/remember")
    assert _cookie(client, "remember_token") is not None
    client.delete_cookie("session")
    answer = client.get("/me")
    assert (_json(answer)["user"], _json(answer)["fresh"]) == ("ann", False)
    assert client.get("/fresh").status_code == 401
    assert len(_sessions(app)) == 2
    client.get("/confirm")
    assert client.get("/fresh").status_code == 200


def test_being_remembered_changes_an_anonymous_sessions_id(app: Flask) -> None:
    """The anonymous cookie that a remembered user came with is nobody afterwards (CWE-384)."""
    client, thief = app.test_client(), app.test_client()
    client.get("/remember")
    client.delete_cookie("session")
    client.get("/set")
    planted = _cookie(client) or ""
    thief.set_cookie("session", planted)
    assert _json(client.get("/me"))["data"]["theme"] == "dark"
    assert _cookie(client) != planted
    assert thief.get("/me").status_code == 401


def test_a_remembered_users_parallel_requests_all_succeed(app: Flask) -> None:
    """Many requests with an old session's cookie and a remember cookie: all are the user's."""
    client = app.test_client()
    client.get("/remember")
    client.delete_cookie("session")
    client.get("/set")
    cookies = {name: _cookie(client, name) or "" for name in ("session", "remember_token")}
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())

    def ask(_: int) -> tuple[int, Any]:
        answer = app.test_client(use_cookies=False).get("/me", headers={"Cookie": header})
        return answer.status_code, (_json(answer) or {}).get("user")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(16))) == {(200, "ann")}


def test_a_logout_clears_the_remember_cookie(app: Flask) -> None:
    """After a logout the remember cookie is gone too, so that nobody is logged in again."""
    client = app.test_client()
    client.get("/remember")
    client.get("/logout")
    assert _cookie(client, "remember_token") is None
    assert client.get("/me").status_code == 401


@pytest.mark.parametrize("known", [False, True])
def test_an_untouched_page_costs_nothing(app: Flask, *, known: bool) -> None:
    """Flask-Login looks at the session after every response: no trip, no cookie, no Vary."""
    client = app.test_client()
    if known:
        client.get("/remember")
    state = app.extensions["unsticky"].state

    def spent() -> tuple[int, int]:
        return state.counters.reads, getattr(state.store, "round_trips", 0)

    before = spent()
    answer = client.get("/untouched")
    assert spent() == before
    assert "Set-Cookie" not in answer.headers
    assert "Vary" not in answer.headers


def test_a_session_ended_elsewhere_is_logged_out(app: Flask) -> None:
    """Revoking all sessions of a user logs them out at their next request."""
    clients = [app.test_client() for _ in range(3)]
    for client in clients:
        client.get("/login")
    assert app.extensions["unsticky"].revoke_all("ann") == 3
    assert [client.get("/me").status_code for client in clients] == [401] * 3


@pytest.mark.parametrize("mode", ["basic", "strong"])
def test_another_browser_with_the_same_cookie_is_noticed(
    new_app: NewApp, store: str, mode: str
) -> None:
    """Flask-Login's session protection works: another browser is unfresh, or logged out."""
    app = _with_login(new_app(store, SESSION_PROTECTION=mode))
    client = app.test_client()
    client.get("/login", headers={"User-Agent": "one"})
    answer = client.get("/me", headers={"User-Agent": "another"})
    if mode == "basic":
        assert (answer.status_code, _json(answer)["fresh"]) == (200, False)
    else:
        assert answer.status_code == 401
        assert client.get("/me", headers={"User-Agent": "one"}).status_code == 401


def test_it_can_be_switched_off(new_app: NewApp, store: str) -> None:
    """With UNSTICKY_FLASK_LOGIN off, logging in and out leaves the id to the application."""
    app = _with_login(new_app(store, UNSTICKY_FLASK_LOGIN=False))
    client = app.test_client()
    client.get("/set")
    before = _cookie(client)
    client.get("/login")
    assert _cookie(client) == before
    assert _json(client.get("/me"))["user"] == "ann"
    client.get("/logout")
    assert client.get("/me").status_code == 401
    with client.session_transaction() as held:
        assert held["theme"] == "dark"


def test_two_applications_do_not_mix(new_app: NewApp, store: str) -> None:
    """Each application's logins bind in its own store, though signals are the process's."""
    apps = [_with_login(new_app(store)) for _ in range(2)]
    client: FlaskClient = apps[0].test_client()
    client.get("/login")
    assert [len(_sessions(app)) for app in apps] == [1, 0]


def test_two_tabs_log_in_at_once(app: Flask) -> None:
    """Two logins of one anonymous session: one succeeds, the other is told; none is half-way."""
    client = app.test_client()
    client.get("/set")
    header = {"Cookie": f"session={_cookie(client)}"}

    def login(_: int) -> int:
        return app.test_client(use_cookies=False).get("/login", headers=header).status_code

    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(pool.map(login, range(2)))
    assert statuses in ([200, 200], [200, 409])
    assert len(_sessions(app)) == 1


def test_a_confirmed_login_changes_the_id(app: Flask) -> None:
    """The user proved again who they are: the id from before it is dead (OWASP)."""
    client, thief = app.test_client(), app.test_client()
    client.get("/remember")
    client.delete_cookie("session")
    client.get("/me")
    thief.set_cookie("session", _cookie(client) or "")
    before = _cookie(client)
    client.get("/confirm")
    assert _cookie(client) != before
    assert thief.get("/me").status_code == 401
    assert client.get("/me").status_code == 200


def test_strong_protection_ends_the_login(app: Flask) -> None:
    """Another browser came with the cookie: Flask-Login ends the login, and so does the library."""
    app.config["SESSION_PROTECTION"] = "strong"
    app.login_manager.session_protection = "strong"  # type: ignore[attr-defined]
    client = app.test_client()
    client.get("/login", headers={"User-Agent": "one"})
    assert len(_sessions(app)) == 1
    assert client.get("/me", headers={"User-Agent": "another"}).status_code == 401
    assert _sessions(app) == ()


def test_a_stranger_keeps_the_id(app: Flask) -> None:
    """Flask-Login tells of each anonymous session as of one that it protects."""
    client = app.test_client()
    client.get("/set")
    before = _cookie(client)
    client.get("/me")
    assert _cookie(client) == before


def test_strong_protection_meets_no_conflict(app: Flask) -> None:
    """All of a page's parallel requests find nobody, whichever of them ended the login."""
    app.login_manager.session_protection = "strong"  # type: ignore[attr-defined]
    client = app.test_client()
    client.get("/login", headers={"User-Agent": "one"})
    header = f"session={_cookie(client)}"

    def ask(_: int) -> int:
        headers = {"Cookie": header, "User-Agent": "another"}
        return app.test_client(use_cookies=False).get("/me", headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(16))) == {401}
