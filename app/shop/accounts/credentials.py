"""Who makes the request, how that is proved, and since when it is known."""

from flask import request
from unsticky import session

from shop.accounts import account, demo, limits, passwords
from shop.accounts.account import Account
from shop.context import client_of, current_shop
from shop.errors import LoginRequired, RecentLoginRequired, WrongCredentials
from shop.session_keys import PASSWORD_VERSION

_FOR_USERS = "This is for users only: log in."


def check(user: str, password: str) -> Account:
    """Return the user's account if this is the password.

    An unknown user and a wrong password get the same answer after the same time.

    Raises:
        WrongCredentials: It is not.
        TooManyLogins: This client failed too often.
        LoginsBusy: The replica hashes others.
    """
    wrong = WrongCredentials("The name or the password is wrong.")
    # Nobody has such a name or password, and to normalize a long text takes seconds.
    if not all(len(each) in passwords.TRIED_LENGTHS for each in (user, password)):
        raise wrong
    client = client_of(request.remote_addr or "")
    with limits.place_to_hash():
        limits.count_attempt(user, client)
        found = account.read(user)
        if not passwords.matches(password, _hash(user, found)):
            raise wrong
    limits.forget_attempts(user, client)
    return found


def required_user() -> str:
    """Return the user's name.

    Raises:
        LoginRequired: The visitor is a guest.
    """
    if session.user is None:
        raise LoginRequired(_FOR_USERS)
    return session.user


def require_recent_login() -> None:
    """Refuse what needs a user who has just shown that they know the password.

    A session that was left open, or whose cookie was stolen, must not be enough to lock its owner
    out (ASVS 5.0, 7.5.1). Only a login renews the time of creation of a session.

    Raises:
        RecentLoginRequired: The login is older than RECENT_LOGIN_SECONDS.
    """
    shop, at = current_shop(), session.created
    most = shop.settings.recent_login_seconds
    # By the store's clock, which also tells when the session was created.
    seconds, microseconds = shop.store.ask("TIME")
    now = int(seconds) + int(microseconds) / 1_000_000
    if at is None or now - at.timestamp() > most:
        text = f"For this the login must be at most {most} s old: log in again, then repeat it."
        raise RecentLoginRequired(text)


def finish_change(user: str, found: Account, *, trusted: bool = False) -> None:
    """Finish a change of the password whose worker died: end the sessions from before it.

    Args:
        user: The name.
        found: The account as it was just read.
        trusted: Whether the session of this request stays in any case, because its user has just
            shown the new password. Else it stays if it was made with that.

    Raises:
        LoginRequired: The session of this request was one of them.
    """
    if not found.revoke_pending:
        return
    stays = trusted or session.get(PASSWORD_VERSION) == found.version
    keep = session if stays else None
    current_shop().sessions.revoke_all(user, keep=keep, stamp=found.version)
    account.note_revoked(user, found.version)
    if not stays:
        raise LoginRequired(_FOR_USERS)


def _hash(user: str, found: Account) -> str | None:
    # The shop has no registration: its users are the demo's.
    if not (current_shop().settings.demo and user in demo.USERS):
        return None
    return found.password_hash or demo.PASSWORD_HASHES[user]
