"""Who makes the request: a guest or a user, and since when that is known."""

from __future__ import annotations

from unsticky import session

from shop.context import current_shop
from shop.http.problems import Problem


def required_user() -> str:
    """Return the user's name.

    Raises:
        Problem: 401 `login-required` for a guest.
    """
    if session.user is None:
        raise login_required()
    return session.user


def login_required() -> Problem:
    """Return the problem of a guest at a call that is for users."""
    return Problem(401, "This is for users only: log in.", code="login-required")


def require_recent_login() -> None:
    """Refuse what needs a user who has just shown that they know the password.

    A session that was left open, or whose cookie was stolen, must not be enough to lock its owner
    out (ASVS 5.0, 7.5.1). Only a login renews the time of creation of a session.

    Raises:
        Problem: 401 `recent-login-required` if the login is older than RECENT_LOGIN_SECONDS.
    """
    shop, at = current_shop(), session.created
    most = shop.settings.recent_login_seconds
    # By the store's clock, which also tells when the session was created.
    seconds, microseconds = shop.store.ask("TIME")
    now = int(seconds) + int(microseconds) / 1_000_000
    if at is None or now - at.timestamp() > most:
        detail = f"For this the login must be at most {most} s old: log in again, then repeat it."
        raise Problem(401, detail, code="recent-login-required")
