"""Log in, log out, change the password."""

from contextlib import suppress

from flask import request
from unsticky import OutcomeUnknown, SessionError, StoreUnavailable, session

from shop import orders
from shop.accounts import account, credentials, limits, passwords, resends
from shop.accounts.label import browser_name
from shop.context import current_shop
from shop.errors import PasswordChanged
from shop.session_keys import PASSWORD_VERSION


def log_in(user: str, password: str) -> None:
    """Make this the session of a user, under a new id, with all that it holds.

    If the session belongs to another user, it ends first.

    Raises:
        PasswordRefused: As `credentials.check` raises it.
        SessionError: As the session library raises it, such as `SessionGone` if another login of
            the same session came first: the browser holds that one's cookie.
    """
    found = credentials.check(user, password)
    if session.user not in {None, user}:
        log_out()
    credentials.finish_change(user, found, trusted=True)
    bind(user, found.version)


def log_out() -> None:
    """End the session with all that it holds; the browser is told to forget what it stored.

    Raises:
        SessionError: It was not carried out; the session may still live.
    """
    # A cart that was already taken for an order would be lost with the session.
    with suppress(SessionError):
        orders.write_down_taken()
    session.destroy()


def change_password(current: str, new: str) -> None:
    """Give the user another password and end all their other sessions; this one gets a new id.

    A login that has already checked the old password cannot survive it. If the worker dies in
    between, nginx's resend of the request does the rest, or the next login.

    Args:
        current: The password as the user gives it.
        new: The new one, its length one of `passwords.NEW_LENGTHS`.

    Raises:
        LoginRequired: The visitor is a guest.
        RecentLoginRequired: The login is too old.
        PasswordRefused: As `credentials.check` raises it.
        PasswordChanged: Another change came first.
        SessionError: As the session library raises it; `OutcomeUnknown` also if the password was
            changed and sessions from before may still live.
    """
    plan = resends.noted()
    if plan is None or not account.is_changed(*plan):
        plan = _change(current, new)
    elif session.user is None:
        return  # The first run gave the session a new id, and the browser did not get its cookie.
    user, version = plan[0], plan[1] + 1
    try:
        current_shop().sessions.revoke_all(user, keep=session, stamp=version)
        bind(user, version)
        account.note_revoked(user, version)
    except StoreUnavailable as error:
        # It would say that nothing was changed, but the password is the new one.
        message = "the password was changed; the next login ends the sessions from before"
        raise OutcomeUnknown(message) from error


def _change(current: str, new: str) -> tuple[str, int, str]:
    """Set the password alone; return the user, the version before, and the new hash."""
    user = credentials.required_user()
    credentials.require_recent_login()
    found = credentials.check(user, current)
    credentials.finish_change(user, found)
    with limits.place_to_hash():
        password_hash = passwords.hashed(new)
    user, version, password_hash = resends.note((user, found.version, password_hash))
    if not account.change(user, version, password_hash):
        text = "Another request changed the password meanwhile; this one changed nothing."
        raise PasswordChanged(text)
    return user, version, password_hash


def bind(user: str, version: int) -> None:
    """Make this the session of a user whose password has this version, under a new id."""
    session[PASSWORD_VERSION] = version
    label = browser_name(request.headers.get("User-Agent", ""))
    session.bind(user, stamp=version, label=label)
