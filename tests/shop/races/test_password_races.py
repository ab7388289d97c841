"""A password change and a login with the old password, at every interleaving that matters."""

from functools import partial

import pytest
from flask import Flask

from tests.shop.accounts.conftest import Visit
from tests.shop.accounts.turns import Died, Turn, take_turns
from tests.support.servers import Server

_NEW = "Lovelace 1815"


@pytest.fixture(autouse=True)
def _turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests take turns."""
    take_turns(monkeypatch)


def _calls_of_a_change(server: Server, visit: Visit) -> int:
    server.raw.flushall()
    ada = visit()
    ada.log_in("ada")
    change = Turn(lambda: ada.change_password("ada", _NEW))
    assert change.finish().status == 204
    return change.calls


def _calls_of_a_login(server: Server, visit: Visit) -> int:
    server.raw.flushall()
    login = Turn(lambda: visit().log_in("ada"))
    assert login.finish().status == 200
    return login.calls


@pytest.mark.parametrize("first", ["login", "change"])
def test_a_login_with_the_old_password(server: Server, visit: Visit, first: str) -> None:
    """Wherever either waits for the other, no session that the old password made survives."""
    changes, logins = _calls_of_a_change(server, visit), _calls_of_a_login(server, visit)
    verified = 0
    for before_change in range(changes + 1):
        for before_login in range(logins + 1):
            server.raw.flushall()
            ada, late, other = visit(), visit(), visit()
            ada.log_in("ada")
            other.log_in("ada")
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
            assert visit().log_in("ada").status == 401
    assert verified > 3  # logins that went through, only to be ended


def test_two_changes(visit: Visit) -> None:
    """Of two changes at once one is carried out, and the other one is told so."""
    ada = visit()
    ada.log_in("ada")
    tab = ada.tab()
    changes = [
        Turn(lambda: ada.change_password("ada", _NEW)),
        Turn(lambda: tab.change_password("ada", "Byron 1788")),
    ]
    for change in changes:
        change.let_on(4)  # both have checked the old password
    assert changes[0].finish().status == 204
    answer = changes[1].finish()
    assert (answer.status, answer.json()["code"]) == (409, "password-changed")
    assert visit().log_in("ada", _NEW).status == 200
    assert ada.user() == "ada"


def test_deaths(server: Server, shop: Flask, visit: Visit) -> None:
    """A change whose worker dies is finished by the next login: no session from before survives."""
    for calls in range(1, _calls_of_a_change(server, visit) + 1):
        server.raw.flushall()
        ada, other = visit(), visit()
        ada.log_in("ada")
        other.log_in("ada")
        change = Turn(partial(ada.tab().change_password, "ada", _NEW), calls)
        assert isinstance(change.finish(), Died)
        changed = shop.extensions["shop"].records.accounts.read("ada").stamp == 1
        fresh = visit()
        assert fresh.log_in("ada", "ada").status == (401 if changed else 200)
        if changed:
            assert fresh.log_in("ada", _NEW).status == 200
            assert not shop.extensions["shop"].records.accounts.read("ada").revoke_pending
            assert (ada.user(), other.user()) == (None, None)
        else:
            assert (ada.user(), other.user()) == ("ada", "ada")
        assert fresh.user() == "ada"


def test_a_death_seen_by_a_session_of_before(shop: Flask, visit: Visit) -> None:
    """A session of before that looks at its list first finishes the change, and ends itself."""
    accounts = shop.extensions["shop"].records.accounts
    ada = visit()
    ada.log_in("ada")
    assert accounts.change("ada", 0, "a hash that nobody knows") is not None
    assert ada.tab().user() is None
    assert not accounts.read("ada").revoke_pending
