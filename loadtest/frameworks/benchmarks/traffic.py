"""Round trips and bytes between an application and its store, for each request.

The store counts them, one request after the other, so that no two share a trip. Each read of Redis
from a socket (`total_reads_processed`) is a round trip; what happens inside a script is none. For
MongoDB it is each command (`network.numRequests`).
"""

import itertools
import statistics
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final

import redis

from loadtest.frameworks import contract, mongodb
from loadtest.frameworks.client import Browser
from loadtest.frameworks.servers import Running

REQUESTS: Final = 40
_WARMING: Final = 24
"""Enough that each worker has its connection and the store each script."""

_COUNTERS: Final = (b"total_reads_processed", b"total_net_input_bytes", b"total_net_output_bytes")


@dataclass(frozen=True)
class Traffic:
    """For each request: round trips, and bytes sent to and received from the store."""

    trips: float
    bytes: float


class Meter(ABC):
    """Reads a store's counters; nothing else may use the store at the same time."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._count()
        self._own = self._since(self._count())  # what counting itself adds

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def of_reads(self, browser: Browser) -> Traffic:
        """Return the traffic of reading a cart."""
        return self._traffic(browser, "GET", contract.CART, [None] * REQUESTS)

    def of_adds(self, browser: Browser) -> Traffic:
        """Return the traffic of adding to a cart."""
        skus = itertools.islice(itertools.cycle(contract.SKUS), REQUESTS)
        return self._traffic(browser, "POST", contract.ITEMS, [{"sku": sku} for sku in skus])

    def _traffic(self, browser: Browser, method: str, path: str, bodies: list[Any]) -> Traffic:
        """Send a request for each body, and return the median of their traffic.

        Not the mean: now and then a worker opens a new connection.

        Raises:
            LoadTestError: one was not answered well.
        """
        for body in bodies[:_WARMING]:
            browser.expect(method, path, body)
        spent = []
        for body in bodies:
            before = self._count()
            browser.expect(method, path, body)
            spent.append(self._since(before))
        return Traffic(
            statistics.median(each.trips for each in spent) - self._own.trips,
            statistics.median(each.bytes for each in spent) - self._own.bytes,
        )

    def _since(self, before: Traffic) -> Traffic:
        now = self._count()
        return Traffic(now.trips - before.trips, now.bytes - before.bytes)

    @abstractmethod
    def _count(self) -> Traffic:
        """Return the store's counters."""


class RedisMeter(Meter):
    """Reads the counters of the benchmark's own store."""

    def __init__(self, store: Running) -> None:
        client: Any = redis.Redis.from_url(store.database())
        client.set_response_callback("INFO", lambda answer, **_: answer)
        self._answered = 0
        super().__init__(client)

    def _count(self) -> Traffic:
        """Return the store's counters, without the answers that held them before."""
        answer: bytes = self._client.info("stats")
        stats = dict(line.split(b":", 1) for line in answer.split() if b":" in line)
        reads, received, sent = (int(stats[name]) for name in _COUNTERS)
        counted = Traffic(reads, received + sent - self._answered)
        # The store counts this answer once it is sent.
        self._answered += len(answer)
        return counted


class MongoMeter(Meter):
    """Reads the counters of the server at MONGODB_URL; one that counts no bytes says 0."""

    def __init__(self) -> None:
        super().__init__(mongodb.client())

    def _count(self) -> Traffic:
        """Return the server's counters; their own answers are alike in size."""
        network = self._client.admin.command("serverStatus")["network"]
        return Traffic(network["numRequests"], network["bytesIn"] + network["bytesOut"])
