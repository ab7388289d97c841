"""Checking who somebody is: name and password, and how often they may be tried."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from flask import request

from shop.accounts import demo, passwords
from shop.current import current_session, current_shop
from shop.problems import Problem
from shop.records.accounts import Account

LENGTHS = range(passwords.LENGTHS[-1] + 1)
"""In characters, of names and passwords that are tried."""

_IPV6_NETWORK = 64


def check(user: str, password: str) -> Account:
    """Return the account of a user whose password this is.

    An unknown user is told after the same time as a wrong password, in the same words.

    Raises:
        Problem: 401 ``wrong-credentials``, or 429 with ``Retry-After`` after too many failures
            from one address.
    """
    attempts, address = current_shop().records.attempts, _client()
    if wait := attempts.wait_ms(user, address):
        raise _too_many(wait)
    account = current_shop().records.accounts.read(user)
    if not passwords.matches(password, _hash(user, account)):
        attempts.fail(user, address)
        raise Problem(401, "The name or the password is wrong.", code="wrong-credentials")
    attempts.forget(user, address)
    return account


def settle(user: str, account: Account, *, trusted: bool = False) -> bool:
    """Finish a password change whose worker died, so that no session of before lives on.

    Args:
        user: The name.
        account: As it was just read.
        trusted: Whether the session of this request stays in any case, because its user has just
            shown the new password. Else it stays if it was made with that.

    Returns:
        Whether the session of this request still lives.
    """
    if not account.revoke_pending:
        return True
    session, shop = current_session(), current_shop()
    stays = trusted or session.get("stamp") == account.stamp
    shop.sessions.revoke_all(user, keep=session if stays else None, stamp=account.stamp)
    shop.records.accounts.settle(user, account.stamp)
    return stays


def _hash(user: str, account: Account) -> str | None:
    # The shop has no registration: its users are the demo's.
    if not (current_shop().settings.demo and user in demo.USERS):
        return None
    return account.password_hash or demo.PASSWORD_HASHES[user]


def _client() -> str:
    """Return whose failures count together: an address, or the network that one client has."""
    text = request.remote_addr or ""
    try:
        address = ip_address(text)
    except ValueError:
        return text  # a unix socket without a proxy
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, _IPV6_NETWORK), strict=False))
    return str(address)


def _too_many(wait_ms: int) -> Problem:
    seconds = -(-wait_ms // 1000)
    return Problem(
        429,
        f"Too many failed logins: try again in {seconds} s.",
        code="too-many-logins",
        headers={"Retry-After": str(seconds)},
    )
