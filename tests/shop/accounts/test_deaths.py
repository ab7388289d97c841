"""Workers killed with SIGKILL after every call of the store that a login makes, on real servers."""

import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from shop.records.joining import CLOSED_MS

from tests.shop.accounts.conftest import SECRET
from tests.support.dying_shop import dying_workers, unless_killed
from tests.support.gunicorn import Gunicorn
from tests.support.servers import Server
from tests.support.shop_client import ShopClient

_NEW = "Lovelace 1815"


@pytest.fixture(name="workers", scope="module")
def _workers(server: Server) -> Iterator[Gunicorn]:
    """Three workers of the shop."""
    with tempfile.TemporaryDirectory(prefix="w-") as folder:
        workers = dying_workers(Path(folder), server.url, workers=3, secret=SECRET)
        try:
            yield workers.start()
        finally:
            workers.stop()


def _dying(calls: int) -> dict[str, str]:
    """Return the header by which a request kills its worker after so many calls of the store."""
    return {"X-Dies-After": str(calls)}


@pytest.mark.parametrize("again", ["ada", "grace"])
def test_login(server: Server, workers: Gunicorn, again: str) -> None:
    """Whoever logs in after a login died finds the guest's cart in theirs, whole and once."""
    deaths = 0
    for calls in count(1):
        server.raw.flushall()
        saved = ShopClient(workers.socket)
        saved.log_in("ada")
        saved.fill(tea=1, jam=98)
        guest = ShopClient(workers.socket)
        guest.fill(tea=2, jam=3)
        first = guest.tab()
        answer = unless_killed(first.log_in, "ada", **_dying(calls))
        if answer is not None:
            assert (answer.status, first.cart()) == (200, {"tea": 3, "jam": 99})
            (claim,) = server.raw.keys("shop:*:claim:*")
            assert server.raw.pttl(claim) <= CLOSED_MS
            break
        deaths += 1
        entered = guest.tab().log_in(again).status == 409
        carts = {user: _cart_of(workers, user) for user in ("ada", "grace")}
        if again == "ada" or entered:
            assert carts == {"ada": {"tea": 3, "jam": 99}, "grace": {}}
        else:
            assert carts == {"ada": {"tea": 1, "jam": 98}, "grace": {"tea": 2, "jam": 3}}
    assert deaths == 10  # all its calls; the last but one binds the session


def test_login_of_who_ordered(server: Server, workers: Gunicorn) -> None:
    """What a guest ordered, settled or only begun, is among the user's orders, each once."""
    for calls in count(1):
        server.raw.flushall()
        guest = ShopClient(workers.socket)
        guest.fill(rice=1)
        assert guest.check_out().status == 201
        guest.fill(jam=1)
        # Taken, not written down.
        assert unless_killed(guest.check_out, **_dying(2)) is None
        guest.fill(tea=1)
        first = guest.tab()
        answer = unless_killed(first.log_in, "ada", **_dying(calls))
        if answer is not None:
            assert (answer.status, first.ordered()) == (200, [{"jam": 1}, {"rice": 1}])
            break
        guest.tab().log_in("ada")
        ada = ShopClient(workers.socket)
        assert ada.log_in("ada").status == 200
        assert ada.ordered() == [{"jam": 1}, {"rice": 1}], f"after {calls} calls"
        assert ada.cart() == {"tea": 1}
    assert calls > 10, "no worker died of handing the orders over"


def test_login_and_then_an_order(server: Server, workers: Gunicorn) -> None:
    """What a guest orders after a login died is in the order, and in nobody's cart."""
    for calls in count(1):
        server.raw.flushall()
        saved = ShopClient(workers.socket)
        saved.log_in("ada")
        saved.fill(tea=1, jam=98)
        guest = ShopClient(workers.socket)
        guest.fill(tea=2, jam=3)
        if unless_killed(guest.tab().log_in, "ada", **_dying(calls)) is not None:
            break
        answer = guest.check_out()
        if answer.status == 201:
            assert guest.ordered() == [{"jam": 3, "tea": 2}]
            assert _cart_of(workers, "ada") == {"tea": 1, "jam": 98}, f"after {calls} calls"
        else:
            assert answer.status == 409  # the session is the user's, who never learned of it
            assert _cart_of(workers, "ada") == {"tea": 3, "jam": 99}
    assert calls > 8


def test_login_and_then_an_order_that_dies_as_well(server: Server, workers: Gunicorn) -> None:
    """The same where the checkout dies, too, and is sent again with its key."""
    key = {"key": "once"}
    joined = 8  # calls of a login: the cart is joined, the session still the guest's
    for calls in count(1):
        server.raw.flushall()
        guest = ShopClient(workers.socket)
        guest.fill(tea=2)
        assert unless_killed(guest.tab().log_in, "ada", **_dying(joined)) is None
        assert server.raw.keys("shop:*:cart"), "nothing was joined: count its calls anew"
        if unless_killed(guest.check_out, **key, **_dying(calls)) is not None:
            break
        for lease in server.raw.keys("shop:*:key:*"):
            server.raw.hset(lease, "until", "0")  # five seconds later
        assert guest.check_out(**key).status == 201, f"after {calls} calls"
        assert guest.ordered() == [{"tea": 2}]
        assert guest.cart() == _cart_of(workers, "ada") == {}
    assert calls > 8


def test_password_change(server: Server, workers: Gunicorn) -> None:
    """A change that died is undone or finished by the next login: one password, no old session."""
    outcomes = []
    for calls in count(1):
        server.raw.flushall()
        ada, other = ShopClient(workers.socket), ShopClient(workers.socket)
        ada.log_in("ada")
        other.log_in("ada")
        tab = ada.tab()
        answer = unless_killed(tab.change_password, "ada", _NEW, **_dying(calls))
        if answer is not None:
            assert (answer.status, tab.user(), other.user()) == (204, "ada", None)
            break
        fresh = ShopClient(workers.socket)
        changed = fresh.log_in("ada", _NEW).status == 200
        outcomes.append(changed)
        assert ShopClient(workers.socket).log_in("ada", "ada").status == (401 if changed else 200)
        survivors = {ada.user(), other.user()}
        assert survivors == ({None} if changed else {"ada"})
        if changed:
            assert fresh.user() == "ada"
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def _cart_of(workers: Gunicorn, user: str) -> dict[str, int]:
    visitor = ShopClient(workers.socket)
    assert visitor.log_in(user).status == 200
    return visitor.cart()
