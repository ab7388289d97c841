"""Two logins of one browser at once, at every interleaving of their calls of the store."""

from functools import partial

import pytest
from shop.accounts import entering

from tests.shop.accounts.conftest import Visit
from tests.shop.accounts.turns import Died, Turn, interleavings, take_turns
from tests.support.servers import Server
from tests.support.shop_client import ShopClient

_BEFORE_ENTERING = 4
"""Calls that check the password and look at the session; how they interleave changes nothing."""

_SWITCHES = 3


@pytest.fixture(autouse=True)
def _turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests take turns, and two logins not wait for each other."""
    take_turns(monkeypatch)
    monkeypatch.setattr(entering, "_LONGEST_PAUSE", 0)


def _login(tab: ShopClient, user: str, dies_after: int | None = None) -> Turn:
    turn = Turn(partial(tab.log_in, user), dies_after)
    turn.let_on(_BEFORE_ENTERING)
    return turn


@pytest.mark.parametrize("users", [("ada", "ada"), ("ada", "grace")])
def test_two_tabs(server: Server, visit: Visit, users: tuple[str, str]) -> None:
    """One login wins and its user has the guest's cart, once; the other is told 409."""
    seen = 0
    for run in interleavings(_SWITCHES):
        server.raw.flushall()
        saved = visit()
        saved.log_in("ada")
        saved.fill(tea=1, jam=98)
        guest = visit()
        guest.fill(tea=2, jam=3)
        tabs = guest.tab(), guest.tab()
        logins = [_login(tab, user) for tab, user in zip(tabs, users, strict=True)]
        run(*logins)
        outcomes = sorted((login.finish().status, place) for place, login in enumerate(logins))
        assert [status for status, _ in outcomes] == [200, 409]
        winner = outcomes[0][1]
        assert tabs[winner].user() == users[winner]
        others = {"grace": {"tea": 2, "jam": 3}, "ada": {"tea": 1, "jam": 98}}
        whole = {"ada": {"tea": 3, "jam": 99}, "grace": others["grace"]}
        assert tabs[winner].cart() == whole[users[winner]]
        if users[winner] != "ada":
            assert saved.cart() == others["ada"]
        seen += 1
    assert seen > 100


def test_adds_racing_a_login(server: Server, visit: Visit) -> None:
    """An add during the login is in the user's cart, or it was refused."""
    kept = 0
    for run in interleavings(_SWITCHES):
        server.raw.flushall()
        guest = visit()
        guest.fill(tea=2)
        tab = guest.tab()
        login = _login(guest, "ada")
        add = Turn(partial(tab.add, "tea"))
        run(login, add)
        assert login.finish().status == 200
        added = add.finish().status
        assert added in {200, 409}
        kept += added == 200
        assert guest.cart() == {"tea": 2 + (added == 200)}
    assert kept > 10


@pytest.mark.parametrize("users", [("ada", "ada", "ada"), ("ada", "grace", "ada")])
def test_deaths_in_a_row(server: Server, visit: Visit, users: tuple[str, str, str]) -> None:
    """Two logins die, each after any call; the third finds everything, once."""
    for first in range(_BEFORE_ENTERING, 12):
        for second in range(_BEFORE_ENTERING, 12):
            server.raw.flushall()
            guest = visit()
            guest.fill(tea=2, jam=99)
            for user, calls in zip(users, (first, second), strict=False):
                outcome = Turn(partial(guest.tab().log_in, user), calls).finish()
                assert isinstance(outcome, Died) or outcome.status in {200, 409}
            last = guest.tab()
            if last.log_in(users[2]).status == 409:
                last = visit()
                assert last.log_in(users[2]).status == 200
            carts = {user: _cart_of(visit, user) for user in set(users)}
            assert sum(cart.get("tea", 0) for cart in carts.values()) == 2
            assert sum(cart.get("jam", 0) for cart in carts.values()) == 99


def _cart_of(visit: Visit, user: str) -> dict[str, int]:
    visitor = visit()
    assert visitor.log_in(user).status == 200
    return visitor.cart()
