"""Flask-Login's logins bind the session to the user, and its logouts unbind it.

Without this, a session would keep its id through the login (CWE-384), and the sessions of a user
could be neither listed nor revoked.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from flask import Flask, request

from .errors import SessionGone
from .session import session

_FIELDS: Final = ("_user_id", "_fresh", "_id", "_remember_seconds")
"""What Flask-Login removes at a logout."""


def follow_flask_login(app: Flask) -> None:
    """Follow the signals of Flask-Login for `app`, if that package is installed.

    `UNSTICKY_FLASK_LOGIN = False` switches this off, for applications that call `session.bind`
    themselves with the version of the credential that they checked.
    """
    if not app.config.get("UNSTICKY_FLASK_LOGIN", True):
        return
    try:
        signals: Any = import_module("flask_login.signals")
    except ImportError:
        return
    # Not weak: nothing else holds these functions.
    signals.user_logged_in.connect(_logged_in, app, weak=False)
    signals.user_loaded_from_cookie.connect(_remembered, app, weak=False)
    signals.user_logged_out.connect(_logged_out, app, weak=False)
    signals.user_login_confirmed.connect(_confirmed, app, weak=False)
    signals.session_protected.connect(_protected, app, weak=False)


def _logged_in(_: Flask, user: object) -> None:
    """Bind the session to the user, under a new id; its data stays."""
    del user  # what counts is the name by which Flask-Login will find the user again
    session.bind(str(session["_user_id"]), label=request.headers.get("User-Agent", ""))


def _remembered(app: Flask, user: object) -> None:
    """Bind the session as at a login: the remember cookie has just given it a user.

    Several requests with the same two cookies may arrive at once. One of them gives the session its
    new id. The others are served as the user of the remember cookie, and store nothing.
    """
    try:
        _logged_in(app, user)
    except SessionGone:
        session._unit.detach()  # noqa: SLF001 (the library's own)


def _logged_out(app: Flask, user: object) -> None:
    """Unbind the session. The visitor keeps what does not belong to the login, such as a cart.

    With `UNSTICKY_LOGOUT = "destroy"` the session ends, except for the key by which Flask-Login
    clears its cookie.
    """
    del user
    if app.config.get("UNSTICKY_LOGOUT") != "destroy":
        session.unbind(*_FIELDS)
        return
    remember = session.get("_remember")
    session.destroy()
    if remember is not None:
        session["_remember"] = remember


def _confirmed(_: Flask) -> None:
    """Give the session a new id: the user logged in again (OWASP: renew the id)."""
    session.rotate()


def _protected(_: Flask) -> None:
    """Unbind if Flask-Login's "strong" protection took the user out of the session."""
    try:
        # The signal also comes for visitors who were not logged in.
        if "_user_id" not in session and session.user is not None:
            session.unbind(*_FIELDS)
    except SessionGone:
        # Another request of the same browser was faster.
        session._unit.detach()  # noqa: SLF001 (the library's own)
