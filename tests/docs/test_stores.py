"""docs/stores.md: the first lines of its table, and what it says of Flask's own sessions."""

import re
from base64 import urlsafe_b64decode
from pathlib import Path
from secrets import token_bytes

import pytest
from flask import Flask, session
from flask.testing import FlaskClient
from unsticky.stores.base import Caps
from unsticky.stores.opening import open_store

from tests.support.checkout import ROOT
from tests.support.pages import rows

_PAGE = ROOT / "docs" / "stores.md"


def _scheme_of(url: str) -> str:
    return url.partition(":")[0]


_TABLE = {cells[0]: cells[1:] for cells in rows(_PAGE, "Which store")}
_URLS = re.findall("`([^`]+)`", " ".join(_TABLE["`UNSTICKY_STORE`"]))
_REST = {"memory": "", "unix": "/run/redis.sock", "redis+sentinel": "one:1/service/0"}
_REST |= {"rediss+sentinel": _REST["redis+sentinel"], "mongodb+srv": "cluster.example/app"}


@pytest.mark.parametrize("scheme", [_scheme_of(url) for url in _URLS])
def test_each_url_names_a_store(scheme: str, tmp_path: Path) -> None:
    """The library opens a store for each scheme of the table."""
    rest = f"/{tmp_path}/db" if scheme == "sqlite" else _REST.get(scheme, "127.0.0.1:1/0")
    store = open_store(f"{scheme}://{rest}", None, "unsticky:", Caps(1, 1))
    assert store.description
    store.close()


def test_the_table_is_complete() -> None:
    """Each question has an answer for each store."""
    assert {len(cells) for cells in _TABLE.values()} == {7}
    assert [name for name, cells in _TABLE.items() if not all(cells)] == []


@pytest.fixture(name="client")
def _client() -> FlaskClient:
    """A client of an application with Flask's own sessions, which is logged in."""
    app = Flask("site")
    app.config.update(SECRET_KEY="key", TESTING=True)

    @app.get("/<name>")
    def keep(name: str) -> str:
        session[name] = True
        return ""

    @app.get("/logout")
    def log_out() -> str:
        session.clear()
        return ""

    client = app.test_client()
    client.get("/ada")
    return client


def _cookie(client: FlaskClient) -> str:
    cookie = client.get_cookie("session")
    assert cookie is not None
    return cookie.value


def test_a_copy_of_flasks_cookie_outlives_the_logout(client: FlaskClient) -> None:
    """And anyone who has it reads it."""
    copy = _cookie(client)
    client.get("/logout")
    assert client.get_cookie("session") is None
    thief = client.application.test_client()
    thief.set_cookie("session", copy)
    with thief.session_transaction() as stored:
        assert "ada" in stored
    assert urlsafe_b64decode(copy.split(".")[0] + "==") == b'{"ada":true}'


def test_flasks_cookie_keeps_the_last_answer_only(client: FlaskClient) -> None:
    """Of two requests at once, the change of the one that is answered first is lost."""
    before, answers = _cookie(client), []
    for name in ("one", "two"):
        client.set_cookie("session", before)
        client.get(f"/{name}")
        answers.append(_cookie(client))
    client.set_cookie("session", answers[-1])
    with client.session_transaction() as stored:
        assert set(stored) == {"ada", "two"}


def test_flasks_cookie_holds_4_kib(client: FlaskClient) -> None:
    """Browsers drop a larger one, of which Werkzeug warns."""
    with pytest.warns(UserWarning, match="too large"), client.session_transaction() as stored:
        stored["bytes"] = token_bytes(3072)
