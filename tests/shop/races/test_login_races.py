"""Two requests of one browser, one of them a login, at every interleaving of their store calls."""

from functools import partial

import pytest

from tests.shop.races.turns import Turn, interleavings
from tests.support.shop.client import ShopClient
from tests.support.stores.servers import Server

_SWITCHES = 3


@pytest.mark.parametrize("users", [("ada", "ada"), ("ada", "grace")])
def test_two_logins_of_one_session(
    server: Server, client: ShopClient, users: tuple[str, str]
) -> None:
    """One login wins, and its user has the guest's cart and orders; the other is a 409."""
    seen = 0
    for run in interleavings(_SWITCHES):
        server.raw.flushall()
        guest = client.visitor().fill(wax=1)
        order = guest.check_out().json()
        guest.fill(tea=2, jam=3)
        tabs = guest.tab(), guest.tab()
        logins = [Turn(partial(tab.log_in, user)) for tab, user in zip(tabs, users, strict=True)]
        run(*logins)
        outcomes = sorted((login.finish().status, place) for place, login in enumerate(logins))
        assert [status for status, _ in outcomes] == [200, 409]
        winner = outcomes[0][1]
        assert tabs[winner].user() == users[winner]
        assert tabs[winner].cart() == {"tea": 2, "jam": 3}
        assert tabs[winner].orders() == [order]
        assert tabs[1 - winner].get("/api/sessions").status == 401
        seen += 1
    assert seen > 50


def test_add_racing_a_login(server: Server, client: ShopClient) -> None:
    """An add during the login is in the user's cart, or it was refused."""
    kept = refused = 0
    for run in interleavings(_SWITCHES):
        server.raw.flushall()
        guest = client.visitor().fill(tea=2)
        login, add = Turn(partial(guest.log_in, "ada")), Turn(partial(guest.tab().add, "tea"))
        run(login, add)
        assert login.finish().status == 200
        added = add.finish().status
        assert added in {200, 409}
        kept += added == 200
        refused += added == 409
        assert guest.cart() == {"tea": 2 + (added == 200)}
    assert kept > 3
    assert refused > 0


def test_checkout_racing_a_login(server: Server, client: ShopClient) -> None:
    """What a checkout took is in one order, which the session lists; else it is in the cart."""
    made = 0
    for run in interleavings(_SWITCHES):
        server.raw.flushall()
        guest = client.visitor().fill(tea=2)
        login, order = Turn(partial(guest.log_in, "ada")), Turn(guest.tab().check_out)
        run(login, order)
        assert login.finish().status == 200
        answer = order.finish()
        assert answer.status in {201, 409}
        found, cart = guest.ordered(), guest.cart()
        assert (found, cart) in (([{"tea": 2}], {}), ([], {"tea": 2}))
        assert answer.status == 409 or found == [{"tea": 2}]
        made += answer.status == 201
    assert made > 3


def test_login_makes_few_calls(client: ShopClient) -> None:
    """A guest's login costs seven calls of the store; the cart's size does not matter."""
    guest = client.visitor().fill(tea=2, jam=3)
    login = Turn(partial(guest.log_in, "ada"))
    assert login.finish().status == 200
    assert login.calls == 7
