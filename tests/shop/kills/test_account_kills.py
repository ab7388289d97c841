"""A worker that dies at any step of a login or of a change of the password."""

from secrets import token_hex

import pytest

from tests.shop.kills.conftest import deaths
from tests.support.shop.client import ShopClient
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.stores.servers import Server

_NEW = "Lovelace 1815"


def _two(server: Server, workers: Gunicorn) -> tuple[ShopClient, ShopClient]:
    """Return two sessions of ada on an empty store."""
    server.raw.flushall()
    one, other = (ShopClient(workers.socket).logged_in("ada") for _ in range(2))
    return one, other


def test_logins_that_die(server: Server, workers: Gunicorn) -> None:
    """Until the session is bound, it is the guest's as before; then it is the user's, as a whole.

    A worker that dies between the bind and its answer strands the browser: the user logs in again.
    """
    stranded = []
    for death in deaths(at_least=4):
        server.raw.flushall()
        guest = ShopClient(workers.socket).fill(rice=1)
        order = guest.check_out().json()
        guest.fill(tea=2, jam=3)
        first = guest.tab()
        if death.of(first.log_in, "ada"):
            assert (first.user(), first.cart()) == ("ada", {"tea": 2, "jam": 3})
            assert first.orders() == [order]
            continue
        again = guest.tab()
        answer = again.log_in("ada")
        stranded.append(answer.status == 409)
        if answer.status == 409:
            assert answer.json()["code"] == "session-gone"
            again = guest.visitor().logged_in("ada")
            assert again.cart() == {}
        else:
            assert again.cart() == {"tea": 2, "jam": 3}, f"after {death.step} calls"
            assert again.orders() == [order]
        assert again.user() == "ada"
    assert stranded == [False] * (len(stranded) - 1) + [True]


def test_password_changes_that_die(server: Server, workers: Gunicorn) -> None:
    """A change that died is undone or finished by the next login: one password, no old session."""
    outcomes = []
    for death in deaths(at_least=1):
        ada, other = _two(server, workers)
        tab = ada.tab()
        if answer := death.of(tab.change_password, "ada", _NEW):
            assert (answer.status, tab.user(), other.user()) == (204, "ada", None)
            continue
        fresh = ada.visitor()
        changed = fresh.log_in("ada", _NEW).status == 200
        outcomes.append(changed)
        assert ada.visitor().log_in("ada", "ada").status == (401 if changed else 200)
        assert {ada.user(), other.user()} == ({None} if changed else {"ada"})
        if changed:
            assert fresh.user() == "ada"
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def test_password_changes_that_nginx_sends_again(server: Server, workers: Gunicorn) -> None:
    """The same request at another worker is a 204, wherever the first one died."""
    for death in deaths(at_least=10):
        ada, other = _two(server, workers)
        tab, id_ = ada.tab(), token_hex(16)
        if death.of(tab.change_password, "ada", _NEW, X_Request_ID=id_):
            continue
        again = tab.change_password("ada", _NEW, X_Request_ID=id_)
        assert again.status == 204, f"after {death.step} calls"
        fresh = ada.visitor()
        assert fresh.log_in("ada", "ada").status == 401
        assert fresh.log_in("ada", _NEW).status == 200
        assert other.user() is None
        assert tab.change_password("ada", _NEW, X_Request_ID=token_hex(16)).status == 401


@pytest.mark.parametrize("whose", ["this", "another"])
def test_ends_of_sessions_that_nginx_sends_again(
    server: Server, workers: Gunicorn, whose: str
) -> None:
    """The same DELETE at another worker is a 204, and not a 404 because the first one worked."""
    for death in deaths(at_least=3):
        ada, other = _two(server, workers)
        ended = ada if whose == "this" else other
        handle, id_, tab = ended.session()["handle"], token_hex(16), ada.tab()
        if death.of(tab.end_session, handle, X_Request_ID=id_):
            continue
        again = tab.end_session(handle, X_Request_ID=id_)
        assert again.status == 204, f"after {death.step} calls"
        assert ended.user() is None
        again = ada.end_session(handle, X_Request_ID=token_hex(16))
        assert again.status == (401 if whose == "this" else 404)
