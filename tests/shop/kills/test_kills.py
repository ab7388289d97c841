"""A worker that dies at any step of a checkout, or of an add, loses and doubles nothing."""

from secrets import token_hex

import pytest

from tests.shop.kills.conftest import Death, NewVisitor, deaths
from tests.support.shop.client import ShopClient
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.waiting import wait_until


@pytest.fixture(name="_enough", autouse=True)
def _enough_workers(workers: Gunicorn) -> None:
    """Begin with all workers alive."""
    wait_until(lambda: len(workers.workers()) == 4, "four workers")


def _total(visitor: ShopClient) -> dict[str, int]:
    """Return all that is in the cart and in orders."""
    total = visitor.cart()
    for order in visitor.ordered():
        for sku, qty in order.items():
            total[sku] = total.get(sku, 0) + qty
    return total


def test_checkouts_that_die(new_visitor: NewVisitor) -> None:
    """After each call to the store in turn: all is in the cart, or in one order, as it was."""
    for death in deaths(at_least=2):
        visitor = new_visitor().fill(tea=2, jam=3)
        answer = death.of(visitor.check_out)
        assert _total(visitor) == {"tea": 2, "jam": 3}, f"after {death.step} calls"
        if answer is not None:
            assert answer.status == 201
            continue
        assert visitor.check_out().status in {201, 409}
        assert visitor.ordered() == [{"tea": 2, "jam": 3}], f"after {death.step} calls"
        assert visitor.cart() == {}


def test_checkouts_that_die_and_are_sent_again(new_visitor: NewVisitor) -> None:
    """With the same key through another worker: the order of the first, once."""
    for death in deaths(at_least=4):
        visitor, key = new_visitor().fill(tea=2), token_hex(8)
        if answer := death.of(visitor.check_out, key):
            assert answer.status == 201
            continue
        retried = visitor.insist("POST", "/api/checkout", key=key)
        assert retried.status == 201, f"after {death.step} calls"
        visitor.fill(jam=1)
        again = visitor.insist("POST", "/api/checkout", key=key)
        assert again.json() == retried.json()
        assert visitor.orders() == [retried.json()], f"after {death.step} calls"
        assert visitor.cart() == {"jam": 1}


def test_adds_that_die_and_are_sent_again(new_visitor: NewVisitor) -> None:
    """After each call in turn, with the same key through another worker: added once."""
    for death in deaths(at_least=3):
        visitor, key = new_visitor().fill(jam=1), token_hex(8)
        if answer := death.of(visitor.add, "tea", 2, key):
            assert answer.status == 200
            continue
        for _ in range(2):
            document = {"sku": "tea", "qty": 2}
            retried = visitor.insist("POST", "/api/cart/items", document, key=key)
            assert retried.status == 200
            assert retried.json()["count"] == 3, f"after {death.step} calls"
        assert visitor.cart() == {"tea": 2, "jam": 1}


def test_a_request_that_nginx_sends_again(new_visitor: NewVisitor) -> None:
    """The same request with the same id goes on at once where the first one died, without a 409."""
    for death in deaths(at_least=3):
        visitor, key, id_ = new_visitor().fill(jam=1), token_hex(8), token_hex(16)
        if death.of(visitor.add, "tea", 2, key, X_Request_ID=id_):
            continue
        again = visitor.add("tea", 2, key, X_Request_ID=id_)
        assert (again.status, again.json()["count"]) == (200, 3), f"after {death.step} calls"


def test_recoveries_that_die(new_visitor: NewVisitor) -> None:
    """The request that finishes a checkout may die too, at any step: the next one finishes it."""
    taken = _step_that_takes(new_visitor)
    for death in deaths(at_least=2):
        visitor = new_visitor().fill(tea=2)
        assert Death(taken).of(visitor.check_out) is None
        assert visitor.cart() == {}
        death.of(visitor.get, "/api/orders")
        assert visitor.ordered() == [{"tea": 2}], f"after {death.step} calls"
        assert visitor.cart() == {}


def _step_that_takes(new_visitor: NewVisitor) -> int:
    """Return which call of a checkout takes the cart."""
    for death in deaths(at_least=0):
        visitor = new_visitor().fill(tea=2)
        assert death.of(visitor.check_out) is None
        if visitor.cart() == {}:
            return death.step
    pytest.fail("no call takes the cart")
