"""Check a name and a password, and limit how often they may be tried."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from flask import request
from unsticky import session

from shop.accounts import account, attempts, demo, passwords
from shop.accounts.account import Account
from shop.context import current_shop
from shop.problems import Problem

LENGTHS = range(passwords.LENGTHS[-1] + 1)
"""In characters, of names and passwords that are tried."""

_IPV6_NETWORK = 64


def check(user: str, password: str) -> Account:
    """Return the user's account if this is the password.

    An unknown user and a wrong password get the same answer after the same time.

    Raises:
        Problem: 401 `wrong-credentials`, or 429 with `Retry-After` after too many failures from
            one address.
    """
    address = _client()
    if wait := attempts.seconds_to_wait(user, address):
        raise Problem(
            429,
            f"Too many failed logins: try again in {wait} s.",
            code="too-many-logins",
            headers={"Retry-After": str(wait)},
        )
    found = account.read(user)
    if not passwords.matches(password, _hash(user, found)):
        attempts.fail(user, address)
        raise Problem(401, "The name or the password is wrong.", code="wrong-credentials")
    attempts.forget(user, address)
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


def _client() -> str:
    """Return whose failures count together: an address, or the IPv6 network of one client."""
    text = request.remote_addr or ""
    try:
        address = ip_address(text)
    except ValueError:
        return text  # a unix socket without a proxy
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, _IPV6_NETWORK), strict=False))
    return str(address)
