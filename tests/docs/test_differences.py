"""Sentences of docs/differences.md that no other suite holds, shown on a plain application."""

import json
import re
from secrets import token_hex
from typing import Any

import pytest
from flask import Flask, Response, render_template_string
from flask.sessions import SecureCookieSession
from flask.testing import FlaskClient
from unsticky import Session, SessionError, Unserializable, Unsticky, session

from tests.support.checkout import ROOT

_PAGE = ROOT / "docs" / "differences.md"


def _application(**arguments: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY=token_hex(), UNSTICKY_STORE="memory://")
    Unsticky(app, **arguments)
    return app


def test_the_attributes_that_templates_see_are_listed() -> None:
    """The page names every public attribute that Flask's own session does not have."""
    sentence = re.search(r"attributes more than Flask's: (.+?)\. ", _PAGE.read_text(), re.DOTALL)
    assert sentence
    public = {name for name in dir(Session) if not name.startswith("_")}
    ours = public - set(dir(SecureCookieSession)) - set(SecureCookieSession.__annotations__)
    assert set(re.findall(r"`(\w+)`", sentence[1])) == ours


def test_a_template_sees_a_key_before_an_attribute() -> None:
    """In a template `session.user` is the key; in code it is whom `bind` named."""
    with _application().test_request_context():
        session["user"] = "the key"
        assert session.user is None
        assert render_template_string("{{ session.user }}|{{ session['user'] }}") == (
            "the key|the key"
        )


def test_the_session_is_no_dict() -> None:
    """What needs a dict is given one; its keys come in the order of their names."""
    with _application().test_request_context():
        session.update(b=1, ab=2, a=3)
        assert not isinstance(session, dict)
        assert json.dumps(dict(session)) == '{"a": 3, "ab": 2, "b": 1}'


def test_keys_are_str() -> None:
    """Another key is refused where it is set, and absent where it is looked for."""
    with _application().test_request_context():
        held: Any = session
        assert held.get(5) is None
        with pytest.raises(Unserializable, match="session keys are str, not int: 5"):
            held[5] = 1
        with pytest.raises(KeyError):
            held.pop(5)


@pytest.fixture(name="handled")
def _handled() -> list[str]:
    """What the application's handlers saw, and what `on_error` did."""
    return []


@pytest.fixture(name="client", params=["own handler", "on_error alone"])
def _client(request: pytest.FixtureRequest, handled: list[str]) -> FlaskClient:
    """A client of an application with handlers, whose session holds a list."""

    def on_error(error: SessionError) -> Response:
        handled.append(f"on_error {error.code}")
        return Response("", error.status)

    def handle(error: SessionError) -> tuple[str, int]:
        handled.append(f"handler {error.code}")
        return "", error.status

    def handle_500(_: Exception) -> tuple[str, int]:
        handled.append("500")
        return "", 500

    app = _application(on_error=on_error)
    app.register_error_handler(500, handle_500)
    if request.param == "own handler":
        app.register_error_handler(SessionError, handle)
    client = app.test_client()
    with client.session_transaction() as stored:
        stored["list"] = []

    @app.post("/view")
    def in_the_view() -> str:
        session.incr("n", 1, maximum=0)
        return ""

    @app.post("/commit")
    def at_the_commit() -> str:
        session["list"].append("mine")
        other = app.test_client()
        cookie = client.get_cookie("session")
        assert cookie is not None
        other.set_cookie("session", cookie.value)
        with other.session_transaction() as stored:
            stored["list"] = ["another's"]
        return ""

    @app.post("/mistake")
    def a_mistake() -> str:
        session["list"].append(object())
        return ""

    return client


def test_which_handler_sees_what(
    request: pytest.FixtureRequest, client: FlaskClient, handled: list[str]
) -> None:
    """A handler of the application's own sees what is met in the view; `on_error` the rest."""
    own = "own handler" in request.node.name
    answers = [client.post(path).status_code for path in ("/view", "/commit", "/mistake")]
    assert answers == [409, 409, 500]
    first = "handler out-of-range" if own else "on_error out-of-range"
    assert handled == [first, "on_error session-conflict", "500"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("application/json", "application/problem+json"),
        ("*/*", "application/problem+json"),
    ],
)
def test_browsers_get_a_page(accept: str, kind: str) -> None:
    """Who prefers HTML is shown a page, others a problem document."""
    app = _application()
    app.add_url_rule(
        "/",
        "refused",
        lambda: str(session.incr("n", maximum=0)),
    )
    answer = app.test_client().get("/", headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (409, kind)


def test_an_emptied_session_ends_unless_it_is_bound() -> None:
    """As in Flask the cookie is deleted; a user's session stays until the logout."""
    app = _application()
    for bound in (False, True):
        client = app.test_client()
        with client.session_transaction() as stored:
            stored["a"] = 1
            if bound:
                stored.bind("ann")  # type: ignore[attr-defined]
        with client.session_transaction() as stored:
            del stored["a"]
        assert (client.get_cookie("session") is not None) == bound
