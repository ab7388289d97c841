"""Visitors who come at a steady pace, and what they meet."""

import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import httpx

from tests.support.shop.client import ShopClient

VISITORS: Final = 16
PAUSE: Final = 0.5
"""Seconds between the beginnings of two requests of a visitor, unless an answer takes longer."""


@dataclass
class Outcomes:
    """What the visitors met.

    Attributes:
        statuses: how often each status came; ``none`` where no answer came.
        took: seconds of each request.
        failed_at: seconds after the start at which a request that failed began.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, status: str, began: float, took: float) -> None:
        """Record one request."""
        with self.lock:
            self.statuses[status] += 1
            self.took.append(took)
            if status != "200":
                self.failed_at.append(round(began, 2))

    def percentile(self, percent: int) -> float:
        """Return how long the requests took at most, without the slowest ones, in seconds."""
        return statistics.quantiles(self.took, n=100, method="inclusive")[percent - 1]


Visit = tuple[ShopClient, int]
"""A visitor, and how many additions to the cart were acknowledged."""


def visit(port: int, seconds: float, visitors: int = VISITORS) -> tuple[Outcomes, list[Visit]]:
    """Let visitors look at products, add to their carts and read them, at a steady pace."""
    outcomes, start = Outcomes(), time.monotonic()
    with ThreadPoolExecutor(visitors) as pool:
        futures = [
            pool.submit(_visitor, port, outcomes, start, start + seconds, n / visitors)
            for n in range(visitors)
        ]
        return outcomes, [future.result() for future in futures]


def lost(visits: list[Visit]) -> int:
    """Return how many acknowledged additions are in no cart."""
    return sum(max(0, added - sum(client.cart().values())) for client, added in visits if added)


def _visitor(port: int, outcomes: Outcomes, start: float, end: float, phase: float) -> Visit:
    client, added = ShopClient(port), 0
    steps = [
        lambda: client.get("/api/products"),
        lambda: client.add("tea"),
        lambda: client.get("/api/cart"),
    ]
    turn = 0
    while (begin := start + (turn + phase) * PAUSE) < end:
        time.sleep(max(0, begin - time.monotonic()))
        began = time.monotonic()
        try:
            status = str(steps[turn % 3]().status)
        except httpx.TransportError:
            status = "none"
        outcomes.note(status, began - start, time.monotonic() - began)
        added += turn % 3 == 1 and status == "200"
        # A visitor whose answer was late begins at the next beat.
        turn = max(turn + 1, int((time.monotonic() - start) / PAUSE - phase) + 1)
    return client, added
