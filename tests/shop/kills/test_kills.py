"""A worker that dies at any step of a checkout, or of an add, loses and doubles nothing."""

from secrets import token_hex

import pytest

from tests.shop.kills.conftest import NewVisitor
from tests.support.shop.client import ShopClient
from tests.support.shop.dying import unless_killed
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.waiting import wait_until

# No call needs as many steps: the loops below end by themselves.
_MOST = 30


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
    for step in range(1, _MOST):
        visitor = new_visitor()
        visitor.add("tea", 2)
        visitor.add("jam", 3)
        answer = unless_killed(visitor.check_out, X_Dies_After=str(step))
        assert _total(visitor) == {"tea": 2, "jam": 3}, f"after {step} calls"
        if answer is not None:
            break
        retried = visitor.check_out()
        assert retried.status in {201, 409}
        assert visitor.ordered() == [{"tea": 2, "jam": 3}], f"after {step} calls"
        assert visitor.cart() == {}
    else:
        pytest.fail("it never ended")
    assert answer.status == 201
    assert step > 2, "the worker was never killed between two steps"


def test_checkouts_that_die_and_are_sent_again(new_visitor: NewVisitor) -> None:
    """With the same key through another worker: the order of the first, once."""
    for step in range(1, _MOST):
        visitor, key = new_visitor(), token_hex(8)
        visitor.add("tea", 2)
        answer = unless_killed(visitor.check_out, key, X_Dies_After=str(step))
        if answer is not None:
            break
        retried = visitor.insist("POST", "/api/checkout", key=key)
        assert retried.status == 201, f"after {step} calls"
        visitor.add("jam")
        again = visitor.insist("POST", "/api/checkout", key=key)
        assert again.json() == retried.json()
        assert visitor.orders() == [retried.json()], f"after {step} calls"
        assert visitor.cart() == {"jam": 1}
    else:
        pytest.fail("it never ended")
    assert answer.status == 201
    assert step > 4, "the worker was never killed between two steps"


def test_adds_that_die_and_are_sent_again(new_visitor: NewVisitor) -> None:
    """After each call in turn, with the same key through another worker: added once."""
    for step in range(1, _MOST):
        visitor, key = new_visitor(), token_hex(8)
        visitor.add("jam")
        answer = unless_killed(visitor.add, "tea", 2, key, X_Dies_After=str(step))
        if answer is not None:
            break
        for _ in range(2):
            document = {"sku": "tea", "qty": 2}
            retried = visitor.insist("POST", "/api/cart/items", document, key=key)
            assert retried.status == 200
            assert retried.json()["count"] == 3, f"after {step} calls"
        assert visitor.cart() == {"tea": 2, "jam": 1}
    else:
        pytest.fail("it never ended")
    assert answer.status == 200
    assert step > 3, "the worker was never killed between two steps"


def test_a_request_that_nginx_sends_again(new_visitor: NewVisitor) -> None:
    """The same request with the same id goes on at once where the first one died, without a 409."""
    for step in range(1, _MOST):
        visitor, key, id_ = new_visitor(), token_hex(8), token_hex(16)
        visitor.add("jam")
        answer = unless_killed(visitor.add, "tea", 2, key, X_Dies_After=str(step), X_Request_ID=id_)
        if answer is not None:
            break
        again = visitor.add("tea", 2, key, X_Request_ID=id_)
        assert (again.status, again.json()["count"]) == (200, 3), f"after {step} calls"


def test_recoveries_that_die(new_visitor: NewVisitor) -> None:
    """The request that finishes a checkout may die too, at any step: the next one finishes it."""
    taken = _step_that_takes(new_visitor)
    for step in range(1, _MOST):
        visitor = new_visitor().fill(tea=2)
        assert unless_killed(visitor.check_out, X_Dies_After=str(taken)) is None
        assert visitor.cart() == {}
        answer = unless_killed(visitor.get, "/api/orders", X_Dies_After=str(step))
        assert visitor.ordered() == [{"tea": 2}], f"after {step} calls"
        assert visitor.cart() == {}
        if answer is not None:
            break
    else:
        pytest.fail("it never ended")
    assert step > 2, "the worker was never killed between two steps"


def _step_that_takes(new_visitor: NewVisitor) -> int:
    """Return which call of a checkout takes the cart."""
    for step in range(1, _MOST):
        visitor = new_visitor().fill(tea=2)
        assert unless_killed(visitor.check_out, X_Dies_After=str(step)) is None
        if visitor.cart() == {}:
            return step
    pytest.fail("no call takes the cart")
