"""Flask-WTF's tokens work as they are, with two tabs at once too."""

import re
import threading

import pytest
from flask import Flask, render_template_string
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from flask_wtf import CSRFProtect, FlaskForm
from wtforms import StringField

from .conftest import NewApp

_PATIENCE = 10.0


class _Form(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    name = StringField()


@pytest.fixture(name="app")
def _app(new_app: NewApp, store: str) -> Flask:
    app = new_app(store)
    CSRFProtect(app)

    @app.route("/form", methods=["GET", "POST"])
    def form() -> ResponseReturnValue:
        held = _Form()
        if held.validate_on_submit():
            return f"hello {held.name.data}"
        _meet()
        return render_template_string("{{ form.hidden_tag() }}", form=held)

    return app


_meeting: list[threading.Barrier] = []


def _meet() -> None:
    """Let the tabs of a test render at the same instant, once each."""
    if _meeting:
        _meeting[0].wait(_PATIENCE)


def _token(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def _send(client: FlaskClient, token: str) -> int:
    return client.post("/form", data={"csrf_token": token, "name": "ann"}).status_code


def test_a_form_passes(app: Flask) -> None:
    """A form that was shown can be sent, more than once."""
    client = app.test_client()
    token = _token(client.get("/form").text)
    assert [_send(client, token) for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("token", ["", "forged"])
def test_a_forged_token_is_refused(app: Flask, token: str) -> None:
    """A form without its token, or with a made-up one, is refused."""
    client = app.test_client()
    client.get("/form")
    assert _send(client, token) == 400


def test_another_sessions_token_is_refused(app: Flask) -> None:
    """A token that was shown to someone else is refused."""
    client, other = app.test_client(), app.test_client()
    client.get("/form")
    assert _send(client, _token(other.get("/form").text)) == 400


def test_two_tabs_opened_one_after_the_other_both_pass(app: Flask) -> None:
    """The second tab's form does not spoil the first one's."""
    client = app.test_client()
    tokens = [_token(client.get("/form").text) for _ in range(2)]
    assert [_send(client, token) for token in tokens] == [200, 200]


def test_two_tabs_opened_at_once_both_pass(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both tabs mint a token when the session has none: both forms can be sent afterwards."""
    client = app.test_client()
    with client.session_transaction() as held:
        held["theme"] = "dark"  # there is a session, without a token yet
    cookie = client.get_cookie("session")
    assert cookie is not None
    # They meet after each has minted its token and before either has stored it; the one whose
    # token came second is run again, alone.
    barrier = threading.Barrier(2)
    met: list[int] = []

    class Once(threading.Barrier):
        def wait(self, timeout: float | None = None) -> int:
            if len(met) == 2:
                return 0
            met.append(1)
            return barrier.wait(timeout)

    monkeypatch.setattr(f"{__name__}._meeting", [Once(2)])
    pages: list[str] = []

    def open_tab() -> None:
        tab = app.test_client(use_cookies=False)
        answer = tab.get("/form", headers={"Cookie": f"session={cookie.value}"})
        pages.append(answer.text)

    tabs = [threading.Thread(target=open_tab) for _ in range(2)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join(_PATIENCE)
    assert len(met) == 2
    assert [_send(client, _token(page)) for page in pages] == [200, 200]
