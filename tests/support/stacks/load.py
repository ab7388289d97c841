"""Bounded load while something happens to the stack: what was acknowledged, what failed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.support.http.wire import Answer
from tests.support.shop.client import Cart, ShopClient, quantities
from tests.support.stacks.local import Stack
from tests.support.waiting import wait_until


@dataclass
class Load:
    """What the visitors of a stack met.

    Args:
        answered: requests answered as they should be.
        failures: each other outcome, in words.
    """

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)

    def await_more(self, requests: int) -> None:
        """Return once so many more requests were answered, or something failed."""
        goal = self.answered + requests
        wait_until(lambda: self.answered >= goal or bool(self.failures), f"{requests} more answers")


@contextmanager
def steady_load(stack: Stack, visitors: int = 8, *, keep_alive: bool = True) -> Iterator[Load]:
    """Let visitors fill and check carts of their own until the block ends.

    Every visitor adds, sets and reads in turn, and compares each answer with the cart that it
    should have; the first difference ends its visit.
    """
    load = Load()
    with ThreadPoolExecutor(visitors) as pool:
        for number in range(visitors):
            pool.submit(_visit, load, stack.browser(keep_alive=keep_alive), number)
        try:
            yield load
        finally:
            load.stop.set()


def _visit(load: Load, client: ShopClient, number: int) -> None:
    expected: Cart = {}
    with client:
        while not load.stop.is_set():
            expected["tea"] = expected.get("tea", 0) + 1
            if not _try(load, lambda: client.add("tea"), expected):
                return
            expected["jam"] = number + 1
            if not _try(load, lambda: client.set_quantity("jam", number + 1), expected):
                return
            if not _try(load, lambda: client.get("/api/cart"), expected):
                return
            if expected["tea"] == 99:
                client.ask("DELETE", "/api/cart/items/tea")
                del expected["tea"]


def _try(load: Load, step: Callable[[], Answer], expected: Cart) -> bool:
    """Make one request and note its outcome; return whether it was as expected."""
    try:
        answer = step()
        assert answer.status == 200, answer
        assert (found := quantities(answer.json())) == expected, (found, expected, answer.headers)
    except (httpx.TransportError, AssertionError, KeyError) as error:
        load.failures.append(repr(error))
        return False
    with load.lock:
        load.answered += 1
    return True
