"""Check a name and a password, and limit how often they may be tried."""

from __future__ import annotations

from flask import request
from unsticky import session

from shop.accounts import account, attempts, demo, hashing, passwords
from shop.accounts.account import Account
from shop.context import client_of, current_shop
from shop.http.problems import Problem

LENGTHS = range(passwords.LENGTHS[-1] + 1)
"""In characters, of names and passwords that are tried."""


def check(user: str, password: str) -> Account:
    """Return the user's account if this is the password.

    An unknown user and a wrong password get the same answer after the same time.

    Raises:
        Problem: 401 `wrong-credentials`; 429 with `Retry-After`: `too-many-logins` after too many
            failures of one client, `logins-busy` while the replica hashes others.
    """
    wrong = Problem(401, "The name or the password is wrong.", code="wrong-credentials")
    # Nobody has such a name or password, and to normalize a long text takes seconds.
    if len(user) not in LENGTHS or len(password) not in LENGTHS:
        raise wrong
    client = client_of(request.remote_addr or "")
    with hashing.place():
        if wait := attempts.count(user, client):
            raise Problem(
                429,
                f"Too many failed logins: try again in {wait} s.",
                code="too-many-logins",
                headers={"Retry-After": str(wait)},
            )
        found = account.read(user)
        if not passwords.matches(password, _hash(user, found)):
            raise wrong
    attempts.forget(user, client)
    return found


def settle(user: str, found: Account, *, trusted: bool = False) -> bool:
    """Finish a password change whose worker died: end the sessions from before it.

    Args:
        user: The name.
        found: The account as it was just read.
        trusted: Whether the session of this request stays in any case, because its user has just
            shown the new password. Else it stays if it was made with that.

    Returns:
        Whether the session of this request still lives.
    """
    if not found.revoke_pending:
        return True
    stays = trusted or session.get("version") == found.version
    keep = session if stays else None
    current_shop().sessions.revoke_all(user, keep=keep, stamp=found.version)
    account.settle(user, found.version)
    return stays


def _hash(user: str, found: Account) -> str | None:
    # The shop has no registration: its users are the demo's.
    if not (current_shop().settings.demo and user in demo.USERS):
        return None
    return found.password_hash or demo.PASSWORD_HASHES[user]
