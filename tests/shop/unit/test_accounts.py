"""Accounts: what depends on settings or addresses, and a change of the password step by step."""

import time

import pytest
from flask import Flask
from shop.accounts import account, limits
from shop.accounts.account import Account

from tests.shop.conftest import NewShop
from tests.support.shop.client import ShopClient
from tests.support.stores.servers import Server

_NEW = "Lovelace 1815"


@pytest.mark.parametrize("user", ["ada", "grace", "linus"])
def test_no_demo_has_no_demo_users(new_shop: NewShop, user: str) -> None:
    """A shop that is no demo has none of its users."""
    assert ShopClient(new_shop()).log_in(user).status == 401


def test_rate_limit_counts_each_address(shop: Flask) -> None:
    """Another address is not locked out, and not by failed changes of the password either."""
    client = ShopClient(shop).logged_in("ada")
    for _ in range(limits.MOST_FAILURES):
        assert client.change_password("guess", _NEW).status == 401
    assert client.change_password("guess", _NEW).status == 429
    assert client.visitor().log_in("ada").status == 429
    assert client.visitor().log_in("ada", X_Forwarded_For="192.0.2.7").status == 200


def test_rate_limit_counts_ipv6_networks(shop: Flask) -> None:
    """A client cannot escape the limit through the many IPv6 addresses that it has."""
    addresses = [f"2001:db8::{number:x}" for number in range(1, 12)]
    client = ShopClient(shop)
    statuses = [client.log_in("ada", "wrong", X_Forwarded_For=each).status for each in addresses]
    assert statuses == [401] * limits.MOST_FAILURES + [429]


def test_rate_limit_ends_with_its_window(shop: Flask, server: Server) -> None:
    """The window begins with the first failure, and a later one does not extend it."""
    client = ShopClient(shop)
    client.log_in("ada", "wrong")
    (counter,) = server.keys("shop:*:failures")
    assert limits.WINDOW_SECONDS - 60 < server.raw.ttl(counter) <= limits.WINDOW_SECONDS
    server.raw.expire(counter, 2)
    for _ in range(limits.MOST_FAILURES - 1):
        assert client.log_in("ada", "wrong").status == 401
    answer = client.log_in("ada")
    assert (answer.status, answer.headers["Retry-After"] in {"1", "2"}) == (429, True)
    server.raw.delete(counter)
    assert client.log_in("ada").status == 200


def test_old_login_must_be_repeated(new_shop: NewShop) -> None:
    """What needs a recent login refuses an old one, also one in use; logging in again helps."""
    client = ShopClient(new_shop(demo=True, recent_login_seconds=1)).logged_in("ada")
    deadline = time.monotonic() + 10
    while (answer := client.send("DELETE", "/api/sessions")).status == 204:
        assert time.monotonic() < deadline
    for refused in (
        answer,
        client.send("DELETE", "/api/sessions/x"),
        client.change_password("ada", _NEW),
    ):
        assert (refused.status, refused.json()["code"]) == (401, "recent-login-required")
    assert len(client.sessions()) == 1
    assert client.logged_in("ada").change_password("ada", _NEW).status == 204


def test_account_changes_by_version(shop: Flask) -> None:
    """A change sets hash and version and is pending; one of another version changes nothing."""
    with shop.app_context():
        assert account.read("ada") == Account()
        changed = Account("hash one", 1, revoke_pending=True)
        assert account.change("ada", 0, "hash one")
        assert account.read("ada") == changed
        assert account.read("grace") == Account()
        assert not account.change("ada", 0, "hash two")
        assert not account.change("ada", 5, "hash two")
        assert account.read("ada") == changed
        # Sent again, as over a connection that broke, it is the same change.
        assert account.change("ada", 0, "hash one")


def test_account_notes_its_own_version(shop: Flask) -> None:
    """The end of an earlier change does not finish a later one."""
    with shop.app_context():
        account.change("ada", 0, "hash one")
        account.change("ada", 1, "hash two")
        account.note_revoked("ada", 1)
        assert account.read("ada").revoke_pending
        account.note_revoked("ada", 2)
        assert account.read("ada") == Account("hash two", 2, revoke_pending=False)
        account.note_revoked("grace", 0)
        assert account.read("grace") == Account()


def test_longest_password(shop: Flask) -> None:
    """A password of 256 characters is accepted."""
    client = ShopClient(shop).logged_in("ada")
    assert client.change_password("ada", "x" * 256).status == 204
    assert client.visitor().log_in("ada", "x" * 256).status == 200
