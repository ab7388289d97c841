"""A password change and a login with the old password, at every interleaving that matters."""

from functools import partial

import pytest
from flask import Flask
from shop.accounts import account

from tests.shop.races.turns import Died, Turn
from tests.support.shop.client import ShopClient
from tests.support.stores.servers import Server

_NEW = "Lovelace 1815"


def _calls_of_a_change(server: Server, client: ShopClient) -> int:
    server.raw.flushall()
    ada = client.visitor().logged_in("ada")
    change = Turn(lambda: ada.change_password("ada", _NEW))
    assert change.finish().status == 204
    return change.calls


def _calls_of_a_login(server: Server, client: ShopClient) -> int:
    server.raw.flushall()
    login = Turn(lambda: client.visitor().log_in("ada"))
    assert login.finish().status == 200
    return login.calls


@pytest.mark.parametrize("first", ["login", "change"])
def test_login_with_old_password_does_not_survive(
    server: Server, client: ShopClient, first: str
) -> None:
    """Wherever one waits for the other, no session that the old password made survives."""
    changes, logins = _calls_of_a_change(server, client), _calls_of_a_login(server, client)
    verified = 0
    for before_change in range(changes + 1):
        for before_login in range(logins + 1):
            server.raw.flushall()
            late = client.visitor()
            ada, other = (client.visitor().logged_in("ada") for _ in range(2))
            change = Turn(partial(ada.change_password, "ada", _NEW))
            login = Turn(partial(late.log_in, "ada"))
            steps = [(change, before_change), (login, before_login)]
            if first == "login":
                steps.reverse()
            for request, calls in steps:
                request.let_on(calls)
            assert steps[0][0].finish().status in {200, 204, 401}
            assert steps[1][0].finish().status in {200, 204, 401}
            assert change.result.status == 204
            verified += login.result.status == 200
            assert late.user() is None
            assert other.user() is None
            assert ada.user() == "ada"
            assert client.visitor().log_in("ada").status == 401
    assert verified > 3  # logins that went through, only to be ended


def test_second_change_is_refused(client: ShopClient) -> None:
    """Of two changes at once one is carried out, and the other is a 409."""
    ada = client.visitor().logged_in("ada")
    tab = ada.tab()
    changes = [
        Turn(lambda: ada.change_password("ada", _NEW)),
        Turn(lambda: tab.change_password("ada", "Byron 1788")),
    ]
    for change in changes:
        change.let_on(8)  # both have checked the old password
    assert changes[0].finish().status == 204
    answer = changes[1].finish()
    assert (answer.status, answer.json()["code"]) == (409, "password-changed")
    assert client.visitor().log_in("ada", _NEW).status == 200
    assert ada.user() == "ada"


def test_change_that_died_is_finished_by_login(
    server: Server, shop: Flask, client: ShopClient
) -> None:
    """A change whose worker dies is finished by the next login: no session from before survives."""
    for calls in range(1, _calls_of_a_change(server, client) + 1):
        server.raw.flushall()
        ada, other = (client.visitor().logged_in("ada") for _ in range(2))
        change = Turn(partial(ada.tab().change_password, "ada", _NEW), calls)
        assert isinstance(change.finish(), Died)
        with shop.app_context():
            changed = account.read("ada").version == 1
        fresh = client.visitor()
        assert fresh.log_in("ada", "ada").status == (401 if changed else 200)
        if changed:
            assert fresh.log_in("ada", _NEW).status == 200
            with shop.app_context():
                assert not account.read("ada").revoke_pending
            assert (ada.user(), other.user()) == (None, None)
        else:
            assert (ada.user(), other.user()) == ("ada", "ada")
        assert fresh.user() == "ada"


def test_change_that_died_is_finished_by_old_session(shop: Flask, client: ShopClient) -> None:
    """A session from before the change finishes it when it lists its sessions, and ends itself."""
    ada = client.visitor().logged_in("ada")
    with shop.app_context():
        assert account.change("ada", 0, "a hash of no password")
        assert ada.tab().user() is None
        assert not account.read("ada").revoke_pending
