"""Who visits: a guest or a user, and since when that is known."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from shop.current import current_session, current_shop
from shop.problems import Problem


def current_user() -> str | None:
    """Return the user's name; ``None`` for a guest. Without a cookie it costs nothing."""
    return cast("str | None", current_session().get("user"))


def required_user() -> str:
    """Return the user's name.

    Raises:
        Problem: 401 ``login-required`` for a guest.
    """
    user = current_user()
    if user is None:
        raise login_required()
    return user


def login_required() -> Problem:
    """Return what a guest is told where only a user may go on."""
    return Problem(401, "This is for users only: log in.", code="login-required")


def require_recent_login() -> None:
    """Refuse what only somebody may do who has just shown that they know the password.

    A session that somebody left open, or whose cookie was stolen, must not be enough to lock its
    owner out (ASVS 5.0, 7.5.1). The time of the login is the session's, which nothing else renews.

    Raises:
        Problem: 401 ``recent-login-required`` if the login is older than RECENT_LOGIN_SECONDS.
    """
    at = current_session().created
    most = current_shop().settings.recent_login_seconds
    if at is None or (datetime.now(UTC) - at).total_seconds() > most:
        detail = f"For this the login must be at most {most} s old: log in again, then repeat it."
        raise Problem(401, detail, code="recent-login-required")
