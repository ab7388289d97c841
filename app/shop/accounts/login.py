"""Logging in, logging out, and changing the password."""

from __future__ import annotations

from flask import request
from unsticky import OutcomeUnknown, StoreUnavailable, transaction

from shop.accounts import credentials, passwords
from shop.accounts.entering import enter
from shop.accounts.label import browser_name
from shop.accounts.visitor import current_user, login_required, require_recent_login, required_user
from shop.current import current_session, current_shop
from shop.problems import Problem


def log_in(user: str, password: str) -> None:
    """Make this the session of a user; their cart gets what the guest's held.

    A session of the same user gets a new id and counts as logged in just now; one of another user
    ends first.

    Raises:
        Problem: 401 ``wrong-credentials``; 429 ``too-many-logins``; 409 ``login-contended``.
        SessionError: As the session library raises it, such as `SessionGone` where another login
            of the same session won: the browser holds the winner's cookie.
    """
    account = credentials.check(user, password)
    if current_user() not in {None, user}:
        current_session().destroy()
    credentials.settle(user, account, trusted=True)
    enter(user, account.stamp, _label())


def log_out() -> None:
    """End the session, whoever's it is; the browser is told to forget what it stored.

    Raises:
        SessionError: It was not carried out, the session may live on.
    """
    current_session().destroy()


def change_password(current: str, new: str) -> None:
    """Give the user another password and end all their other sessions; this one gets a new id.

    A login that has checked the old password already cannot survive it, and if the worker ends in
    between, the next login finishes the rest.

    Args:
        current: The password as the user says it is.
        new: The new one, its length one of `passwords.LENGTHS`.

    Raises:
        Problem: 401 ``login-required``, ``recent-login-required`` or ``wrong-credentials``; 429
            ``too-many-logins``; 409 ``password-changed`` where another change came first.
        SessionError: As the session library raises it; `OutcomeUnknown` also where the password was
            changed and not all sessions of the old one are known to have ended.
    """
    user = required_user()
    require_recent_login()
    shop, session = current_shop(), current_session()
    account = credentials.check(user, current)
    if not credentials.settle(user, account):
        raise login_required()
    changed = shop.records.accounts.change(user, account.stamp, passwords.hashed(new))
    if changed is None:
        detail = "The password was changed by another request meanwhile; this one changed nothing."
        raise Problem(409, detail, code="password-changed")
    try:
        shop.sessions.revoke_all(user, keep=session, stamp=changed.stamp)
        _renew(user, changed.stamp)
        shop.records.accounts.settle(user, changed.stamp)
    except StoreUnavailable as error:
        # It says that nothing was changed, and the password is the new one.
        message = "the password was changed; the next login ends what sessions of the old one live"
        raise OutcomeUnknown(message) from error


@transaction()
def _renew(user: str, stamp: int) -> str:
    session = current_session()
    session["stamp"] = stamp
    session.bind(user, stamp=stamp, label=_label())
    return ""


def _label() -> str:
    return browser_name(request.headers.get("User-Agent", ""))
