"""A worker that dies at any step of a login or of a change of the password."""

from secrets import token_hex

import pytest

from tests.support.shop.client import ShopClient
from tests.support.shop.dying import unless_killed
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.stores.servers import Server

_NEW = "Lovelace 1815"
# No call needs as many steps: the loops below end by themselves.
_MOST = 30


def test_logins_that_die(server: Server, workers: Gunicorn) -> None:
    """Until the session is bound, it is the guest's as before; then it is the user's, as a whole.

    A worker that dies between the bind and its answer strands the browser: the user logs in again.
    """
    stranded = []
    for step in range(1, _MOST):
        server.raw.flushall()
        guest = ShopClient(workers.socket).fill(rice=1)
        order = guest.check_out().json()
        guest.fill(tea=2, jam=3)
        first = guest.tab()
        if unless_killed(first.log_in, "ada", X_Dies_After=str(step)) is not None:
            assert (first.user(), first.cart()) == ("ada", {"tea": 2, "jam": 3})
            assert first.orders() == [order]
            break
        again = guest.tab()
        answer = again.log_in("ada")
        stranded.append(answer.status == 409)
        if answer.status == 409:
            assert answer.json()["code"] == "session-gone"
            again = guest.visitor().logged_in("ada")
            assert again.cart() == {}
        else:
            assert again.cart() == {"tea": 2, "jam": 3}, f"after {step} calls"
            assert again.orders() == [order]
        assert again.user() == "ada"
    else:
        pytest.fail("it never ended")
    assert stranded == [False] * (len(stranded) - 1) + [True]
    assert len(stranded) > 3


def test_password_changes_that_die(server: Server, workers: Gunicorn) -> None:
    """A change that died is undone or finished by the next login: one password, no old session."""
    outcomes = []
    for step in range(1, _MOST):
        server.raw.flushall()
        ada, other = (ShopClient(workers.socket).logged_in("ada") for _ in range(2))
        tab = ada.tab()
        answer = unless_killed(tab.change_password, "ada", _NEW, X_Dies_After=str(step))
        if answer is not None:
            assert (answer.status, tab.user(), other.user()) == (204, "ada", None)
            break
        fresh = ada.visitor()
        changed = fresh.log_in("ada", _NEW).status == 200
        outcomes.append(changed)
        assert ada.visitor().log_in("ada", "ada").status == (401 if changed else 200)
        assert {ada.user(), other.user()} == ({None} if changed else {"ada"})
        if changed:
            assert fresh.user() == "ada"
    else:
        pytest.fail("it never ended")
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def test_password_changes_that_nginx_sends_again(server: Server, workers: Gunicorn) -> None:
    """The same request at another worker is a 204, wherever the first one died."""
    for step in range(1, _MOST):
        server.raw.flushall()
        ada, other = (ShopClient(workers.socket).logged_in("ada") for _ in range(2))
        tab, id_ = ada.tab(), token_hex(16)
        died = unless_killed(
            tab.change_password, "ada", _NEW, X_Dies_After=str(step), X_Request_ID=id_
        )
        if died is not None:
            break
        assert tab.change_password("ada", _NEW, X_Request_ID=id_).status == 204, f"call {step}"
        fresh = ada.visitor()
        assert fresh.log_in("ada", "ada").status == 401
        assert fresh.log_in("ada", _NEW).status == 200
        assert other.user() is None
        assert tab.change_password("ada", _NEW, X_Request_ID=token_hex(16)).status == 401
    else:
        pytest.fail("it never ended")
    assert step > 10


@pytest.mark.parametrize("whose", ["this", "another"])
def test_ends_of_sessions_that_nginx_sends_again(
    server: Server, workers: Gunicorn, whose: str
) -> None:
    """The same DELETE at another worker is a 204, and not a 404 because the first one worked."""
    for step in range(1, _MOST):
        server.raw.flushall()
        ada, other = (ShopClient(workers.socket).logged_in("ada") for _ in range(2))
        ended = ada if whose == "this" else other
        path, id_ = f"/api/sessions/{ended.session()['handle']}", token_hex(16)
        sent = {"X-Request-ID": id_}
        dies = {**sent, "X-Dies-After": str(step)}
        tab = ada.tab()
        if unless_killed(tab.send, "DELETE", path, None, dies) is not None:
            break
        assert tab.send("DELETE", path, None, sent).status == 204, f"after {step} calls"
        assert ended.user() is None
        again = ada.send("DELETE", path, None, {"X-Request-ID": token_hex(16)})
        assert again.status == (401 if whose == "this" else 404)
    else:
        pytest.fail("it never ended")
    assert step > 3
