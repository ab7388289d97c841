"""How a Flask application logs in, logs out and ends a user's sessions, over each kind of session.

Libraries that do not know whose session it is note its id at the login, in a set of the store.
"""

from typing import Any, cast

import redis
from flask import Flask, session

from loadtest.frameworks.apps import cart


class Accounts:
    """Those of a session that no server holds."""

    def __init__(self, app: Flask, store: redis.Redis) -> None:
        self._app: Any = app
        self._store: Any = store

    def login(self, user: str) -> None:
        """Log a user in, under a new id if there is one."""
        session["user"] = user

    def logout(self) -> None:
        """End the session."""
        session.clear()

    def revoke(self, user: str) -> None:
        """End all sessions of a user."""
        raise cart.nothing_to_end(user)

    def _note(self, identifier: str, user: str) -> None:
        self._store.sadd(f"sessions of {user}", identifier)

    def _noted(self, user: str) -> list[str]:
        return [name.decode() for name in self._store.smembers(f"sessions of {user}")]


class _OwnAccounts(Accounts):
    """This library's: it knows whose session it is."""

    def login(self, user: str) -> None:
        _session().bind(user)
        super().login(user)

    def logout(self) -> None:
        _session().destroy()

    def revoke(self, user: str) -> None:
        self._app.extensions["unsticky"].revoke_all(user)


class _FlaskSessionAccounts(Accounts):
    def login(self, user: str) -> None:
        self._app.session_interface.regenerate(session)
        super().login(user)
        self._note(_session().sid, user)

    def revoke(self, user: str) -> None:
        sessions = self._app.session_interface
        for sid in self._noted(user):
            # Its only public call that deletes a session which is not the request's own.
            sessions.regenerate(sessions.session_class({"user": user}, sid=sid))


class _BeakerAccounts(Accounts):
    def login(self, user: str) -> None:
        _session().regenerate_id()
        super().login(user)
        self._note(_session().id, user)

    def logout(self) -> None:
        _session().delete()

    def revoke(self, user: str) -> None:
        for identifier in self._noted(user):
            if other := _session().get_by_id(identifier):
                other.delete()
                other.save()


def accounts(kind: str, app: Flask, store: redis.Redis) -> Accounts:
    """Return the accounts over one of the kinds of `flask_cart.install`."""
    kinds = {
        "unsticky": _OwnAccounts,
        "unsticky-plain": _OwnAccounts,
        "flask-session": _FlaskSessionAccounts,
        "beaker": _BeakerAccounts,
    }
    return kinds.get(kind, Accounts)(app, store)


def _session() -> Any:
    return cast("Any", session)  # Flask types its proxy as its own session
