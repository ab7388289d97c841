"""What a store says that it lacks is refused: at the start where that can be known."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from unsticky import ConfigurationError, Unsticky, session
from unsticky.stores import Caps, MemoryStore


class WithoutUsers(MemoryStore):
    """A store that cannot keep a user's list and a session in step."""

    lacks = frozenset({"users"})


def site(*, login_manager: bool = False, **config: Any) -> Unsticky:
    """Make an application on such a store."""
    app = Flask("site")
    app.config.update(SECRET_KEY="a key", TESTING=True, **config)
    if login_manager:
        vars(app)["login_manager"] = object()
    return Unsticky(app, store=WithoutUsers(Caps(10, 1000)))


@pytest.mark.parametrize(
    "config",
    [
        {"UNSTICKY_MAX_SESSIONS_PER_USER": 3},
        {
            "UNSTICKY_ADOPT": "flask-cookie",
            "UNSTICKY_ADOPT_UNTIL": datetime.now(UTC) + timedelta(days=9),
        },
        {"login_manager": True},
    ],
    ids=["limit", "adopt", "flask-login"],
)
def test_settings_that_need_users_are_refused(config: dict[str, Any]) -> None:
    """The message names the setting, the store and what it lacks."""
    with pytest.raises(ConfigurationError, match=r"needs the sessions of users.*lacks 'users'"):
        site(**config)


@pytest.fixture(name="sessions")
def _sessions() -> Iterator[Unsticky]:
    """An application that follows no login."""
    sessions = site(login_manager=True, UNSTICKY_FLASK_LOGIN=False)
    yield sessions
    sessions.close()


def test_calls_that_need_users_are_refused(sessions: Unsticky) -> None:
    """Nothing is stored by a login that is refused; what needs no user works."""
    app = sessions.state.app

    @app.post("/login")
    def login() -> str:
        session["user"] = "ann"
        session.bind("ann")
        return ""

    @app.post("/logout")
    def logout() -> str:
        session.unbind("user")
        session.rotate()
        return ""

    client = app.test_client()
    with pytest.raises(ConfigurationError, match="bind needs"):
        client.post("/login")
    assert client.get_cookie("session") is None
    with pytest.raises(ConfigurationError, match="lacks 'users'"):
        sessions.of("ann")
    with pytest.raises(ConfigurationError, match="lacks 'users'"):
        sessions.revoke_all("ann")
    assert client.post("/logout").status_code == 200
    assert sessions.revoke_everyone() == 0


def test_a_store_of_one_process_refuses_several() -> None:
    """Whatever its class is."""
    app = Flask("site")
    app.config.update(SECRET_KEY="a key", TESTING=True)
    Unsticky(app, store=type("Own", (MemoryStore,), {})(Caps(10, 1000)))
    with pytest.raises(ConfigurationError, match="several processes"):
        app.test_client().get("/", environ_overrides={"wsgi.multiprocess": True})
