"""Bounded load while something happens to the stack: what was acknowledged, what failed."""

import http.client
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.browser import Browser
from tests.support.stack import Stack, await_true


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
        await_true(lambda: self.answered >= goal or bool(self.failures), f"{requests} more answers")

    def note(self, failure: str | None) -> None:
        """Count one outcome."""
        with self.lock:
            if failure is None:
                self.answered += 1
            else:
                self.failures.append(failure)


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


def _visit(load: Load, browser: Browser, number: int) -> None:
    expected: dict[str, int] = {}
    steps: list[Callable[[], tuple[str, int, dict[str, int]]]] = [
        lambda: _outcome(browser, "POST", "tea", (expected.get("tea", 0) % 99) + 1),
        lambda: _outcome(browser, "PUT", "jam", number + 1),
        lambda: _outcome(browser, "GET", "", 0),
    ]
    with browser:
        while not load.stop.is_set():
            for step in steps:
                try:
                    what, status, cart = step()
                except (OSError, http.client.HTTPException) as error:
                    load.note(f"{error!r}")
                    return
                if what == "POST":
                    expected["tea"] = expected.get("tea", 0) + 1
                elif what == "PUT":
                    expected["jam"] = number + 1
                if status != 200 or cart != expected:
                    load.note(f"{what}: {status}, {cart} instead of {expected}")
                    return
                load.note(None)
            if expected["tea"] == 99:
                browser.ask("DELETE", "/api/cart/items/tea")
                del expected["tea"]


def _outcome(browser: Browser, what: str, sku: str, qty: int) -> tuple[str, int, dict[str, int]]:
    if what == "POST":
        answer = browser.add(sku)
    elif what == "PUT":
        answer = browser.send("PUT", f"/api/cart/items/{sku}", {"qty": qty})
    else:
        answer = browser.ask("GET", "/api/cart")
    cart = {item["sku"]: item["qty"] for item in answer.json().get("items", [])}
    return what, answer.status, cart
