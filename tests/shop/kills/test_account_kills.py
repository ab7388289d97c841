"""A worker that dies at any step of a login or of a change of the password."""

import pytest

from tests.support.dying_shop import unless_killed
from tests.support.gunicorn import Gunicorn
from tests.support.servers import Server
from tests.support.shop_client import ShopClient

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
