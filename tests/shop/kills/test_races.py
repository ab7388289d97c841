"""Adds, checkouts and resends at the same moment, on several workers: everything once."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

import pytest
from shop.orders import MOST_LISTED

from tests.shop.kills.conftest import NewVisitor, visit
from tests.support.http.wire import Answer
from tests.support.shop.client import ShopClient, in_flight, quantities
from tests.support.shop.dying import unless_killed
from tests.support.stacks.gunicorn import Gunicorn

SKUS = ("tea", "jam", "wax", "honey")


@pytest.fixture(name="_seed", autouse=True)
def _fixed_seed() -> None:
    """Let what is random be the same in each run."""
    random.seed(7)


def test_twenty_checkouts_with_one_key(new_visitor: NewVisitor) -> None:
    """All that are not told to wait are answered with the same order."""
    visitor = new_visitor()
    visitor.add("tea", 5)
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: visitor.check_out("k"), range(20)))
    done = [answer for answer in answers if answer.status == 201]
    assert done
    assert all(in_flight(answer) for answer in answers if answer.status == 409)
    assert {answer.status for answer in answers} <= {201, 409}
    assert visitor.insist("POST", "/api/checkout", key="k").json() == done[0].json()
    assert visitor.orders() == [done[0].json()]
    assert all(answer.json() == done[0].json() for answer in done)


class _Race:
    """Adds and checkouts of one visitor at the same moment.

    Args:
        visitor: Whose cart it is.
        keyed: Whether each request has a key, and is sent two times with it.
        deadly: Whether one request in ten kills its worker at some step.
    """

    def __init__(self, visitor: ShopClient, *, keyed: bool, deadly: bool) -> None:
        self._visitor = visitor
        self._keyed = keyed
        self._deadly = deadly
        self._finished = threading.Event()
        self._orders: dict[str, dict[str, int]] = {}

    def run(self) -> None:
        """Send 200 adds, 50 of each sku, and checkouts as long as they last.

        Raises:
            AssertionError: Something is not in one order or in the cart, or is there twice.
        """
        with ThreadPoolExecutor(len(SKUS) + 2) as threads:
            checkouts = [threads.submit(self._check_out) for _ in range(2)]
            adds = [threads.submit(self._add, sku) for sku in SKUS]
            try:
                for each in adds:
                    each.result()
            finally:
                self._finished.set()
            for each in checkouts:
                each.result()
        cart, listed = self._visitor.cart(), self._visitor.orders()
        assert len(self._orders) > 1
        # There may be more than are listed.
        assert len(listed) == min(len(self._orders), MOST_LISTED)
        assert {order["order_id"] for order in listed} <= self._orders.keys()
        for sku in SKUS:
            ordered = sum(order.get(sku, 0) for order in self._orders.values())
            assert ordered + cart.get(sku, 0) == 50

    def _add(self, sku: str) -> None:
        for _ in range(50):
            assert self._send("/api/cart/items", {"sku": sku, "qty": 1}).status == 200

    def _check_out(self) -> None:
        while not self._finished.is_set():
            answer = self._send("/api/checkout", None)
            assert answer.status in {201, 409}
            if answer.status == 201:
                order = answer.json()
                assert order["order_id"] not in self._orders
                self._orders[order["order_id"]] = quantities(order)

    def _send(self, path: str, document: object) -> Answer:
        key = token_hex(8) if self._keyed else None
        headers = {}
        if self._deadly and random.random() < 0.1:
            headers["X-Dies-After"] = str(random.randint(1, 6))
        if key is not None:
            headers["Idempotency-Key"] = key
        answer = unless_killed(self._visitor.send, "POST", path, document, headers)
        if key is not None:
            return self._visitor.insist("POST", path, document, key=key)
        assert answer is not None
        return answer


@pytest.mark.parametrize(
    ("keyed", "deadly"),
    [(False, False), (True, False), (True, True)],
    ids=["plain", "keyed", "deadly"],
)
def test_adds_that_race_checkouts(new_visitor: NewVisitor, *, keyed: bool, deadly: bool) -> None:
    """Of 200 adds each is in one order or in the cart, once, also if workers die."""
    _Race(new_visitor(), keyed=keyed, deadly=deadly).run()


def test_checkouts_of_one_users_sessions(workers: Gunicorn) -> None:
    """Checkouts of two sessions of a user at once are all in the user's list, in both sessions."""
    user = f"racing-{token_hex(4)}"
    sessions = [visit(workers, user) for _ in range(2)]

    def order(client: ShopClient) -> None:
        for _ in range(10):
            assert client.fill(tea=1).check_out().status == 201

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(order, sessions))
    one, other = (client.orders() for client in sessions)
    assert one == other
    assert [quantities(order) for order in one] == [{"tea": 1}] * 20
