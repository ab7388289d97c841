"""A user's sessions, one for each device: list them, end one, end all others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shop.accounts import credentials
from shop.accounts.visitor import login_required, require_recent_login, required_user
from shop.current import current_session, current_shop
from shop.problems import Problem


@dataclass(frozen=True)
class Device:
    """One session of a user.

    Attributes:
        handle: Names it; safe to show.
        created: When its user logged in, in UTC.
        last_seen: Likewise; to within a 20th of the time that a session may be idle.
        label: The browser's name.
        current: Whether it is the one that asks.
    """

    handle: str
    created: datetime
    last_seen: datetime
    label: str
    current: bool


def devices() -> list[Device]:
    """Return the user's sessions, the oldest first.

    Raises:
        Problem: 401 ``login-required``.
    """
    return _of(_settled_user())


def end_device(handle: str) -> None:
    """End one of the user's sessions; it may be the one that asks.

    Raises:
        Problem: 401 ``login-required`` or ``recent-login-required``; 404 if the user has no such
            session, be it another's or none.
    """
    user = _settled_user()
    require_recent_login()
    if handle == current_session().handle:
        current_session().destroy()
        return
    own = any(device.handle == handle for device in _of(user))
    if not (own and current_shop().sessions.revoke(handle)):
        raise Problem(404, f"You have no session {handle!r}; GET /api/sessions lists them.")


def end_other_devices() -> int:
    """End all of the user's sessions but the one that asks; return how many.

    Raises:
        Problem: 401 ``login-required`` or ``recent-login-required``.
    """
    user = _settled_user()
    require_recent_login()
    return current_shop().sessions.revoke_all(user, keep=current_session())


def _settled_user() -> str:
    user = required_user()
    if not credentials.settle(user, current_shop().records.accounts.read(user)):
        raise login_required()
    return user


def _of(user: str) -> list[Device]:
    handle = current_session().handle
    return [
        Device(each.handle, each.created, each.last_seen, each.label, each.handle == handle)
        for each in current_shop().sessions.of(user)
    ]
