"""Flask-Login's logins bind the session to the user, its logouts unbind it.

Without this an application on Flask-Login would keep the id that it had before the login (CWE-384),
and its users' sessions could be neither listed nor revoked.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from flask import Flask, request, session

from .errors import SessionGone
from .session import Session

_FIELDS: Final = ("_user_id", "_fresh", "_id", "_remember_seconds")
"""What Flask-Login removes at a logout."""


def follow_flask_login(app: Flask) -> None:
    """Follow the signals of Flask-Login for `app`, if that package is installed.

    `UNSTICKY_FLASK_LOGIN = False` switches this off: for applications that call `session.bind`
    themselves, with the stamp of the credential that they checked.
    """
    if not app.config.get("UNSTICKY_FLASK_LOGIN", True):
        return
    try:
        signals: Any = import_module("flask_login.signals")
    except ImportError:
        return
    # Not weak: nobody else holds these functions.
    signals.user_logged_in.connect(_logged_in, app, weak=False)
    signals.user_loaded_from_cookie.connect(_remembered, app, weak=False)
    signals.user_logged_out.connect(_logged_out, app, weak=False)
    signals.user_login_confirmed.connect(_confirmed, app, weak=False)
    signals.session_protected.connect(_protected, app, weak=False)


def _logged_in(_: Flask, user: object) -> None:
    """Bind to the user, under a new id; what the session holds and was just given stays."""
    del user  # the name by which Flask-Login will find it again counts
    held = _held()
    held.bind(str(held["_user_id"]), label=request.headers.get("User-Agent", ""))


def _remembered(app: Flask, user: object) -> None:
    """Bind as at a login: the remember cookie just gave this session its user.

    Several requests with the same two cookies may arrive at once. One of them moves the session;
    the others are served as the user whom their remember cookie names, and store nothing.
    """
    try:
        _logged_in(app, user)
    except SessionGone:
        _held()._unit.detach()  # noqa: SLF001 (the library's own)


def _logged_out(app: Flask, user: object) -> None:
    """Unbind the session: the visitor keeps what is not the login's, such as language and cart.

    With `UNSTICKY_LOGOUT = "destroy"` it ends, but for what Flask-Login needs to clear its cookie.
    """
    del user
    held = _held()
    if app.config.get("UNSTICKY_LOGOUT") != "destroy":
        held.unbind(*_FIELDS)
        return
    remember = held.get("_remember")
    held.destroy()
    if remember is not None:
        held["_remember"] = remember


def _confirmed(_: Flask) -> None:
    """Give the session a new id: the user proved again who they are (OWASP: renew the id)."""
    _held().rotate()


def _protected(_: Flask) -> None:
    """Unbind where Flask-Login's "strong" protection took the user out of the session."""
    held = _held()
    try:
        if "_user_id" not in held and held.user is not None:  # it is told of strangers, too
            held.unbind(*_FIELDS)
    except SessionGone:
        # A parallel request of the same browser was first.
        held._unit.detach()  # noqa: SLF001 (the library's own)


def _held() -> Session:
    held: Session = session._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (werkzeug's documented way to the object behind a proxy)
    return held
