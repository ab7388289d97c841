"""What a request costs the network between an application and its store: round trips and bytes.

Counted at the server, one request after the other, so that no two share a trip: its number of
reads from sockets (`total_reads_processed`) is the number of times that somebody sent something and
waited. What happens inside a script is no trip.
"""

import statistics
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import redis
from bench.browser import Browser
from bench.calls import Calls
from bench.console import BenchError
from bench.servers import Running

REQUESTS: Final = 40
_WARMING: Final = 24
"""So many that each worker has its connection and knows each script."""

_COUNTERS: Final = (b"total_reads_processed", b"total_net_input_bytes", b"total_net_output_bytes")


@dataclass(frozen=True)
class Traffic:
    """For each request: round trips, and bytes sent to and received from the store."""

    trips: float
    octets: float


class _Count(NamedTuple):
    """The store's counters; `answer` is the length of the answer in which they stood."""

    reads: int
    received: int
    sent: int
    answer: int


class Meter:
    """The store's counters; nothing else may talk to the store while it is used."""

    def __init__(self, store: Running) -> None:
        self._client: Any = redis.Redis.from_url(store.url)
        self._client.set_response_callback("INFO", lambda answer, **_: answer)
        self._count()
        self._own = self._since(self._count())  # what counting itself adds

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def traffic(self, browser: Browser, method: str, path: str, bodies: list[Any]) -> Traffic:
        """Send a request for each body, and return what one cost: the median.

        Not the mean: now and then a worker renews its connection, and greets the store.

        Raises:
            BenchError: one was not answered with 200.
        """
        for body in bodies[:_WARMING]:
            _expect_ok(browser, method, path, body)
        spent = []
        for body in bodies:
            before = self._count()
            _expect_ok(browser, method, path, body)
            spent.append(self._since(before))
        return Traffic(
            statistics.median(each.trips for each in spent) - self._own.trips,
            statistics.median(each.octets for each in spent) - self._own.octets,
        )

    def _since(self, before: _Count) -> Traffic:
        # The answer with the first count was sent after it was counted.
        now = self._count()
        octets = now.received - before.received + now.sent - before.sent - before.answer
        return Traffic(now.reads - before.reads, octets)

    def _count(self) -> _Count:
        answer: bytes = self._client.info("stats")
        stats = dict(line.split(b":", 1) for line in answer.split() if b":" in line)
        reads, received, sent = (int(stats[name]) for name in _COUNTERS)
        return _Count(reads, received, sent, len(answer))


def of_reads(meter: Meter, browser: Browser, calls: Calls) -> Traffic:
    """Return what showing a cart costs."""
    return meter.traffic(browser, "GET", calls.cart, [None] * REQUESTS)


def of_adds(meter: Meter, browser: Browser, calls: Calls) -> Traffic:
    """Return what adding to a cart costs."""
    skus = calls.skus
    bodies = [{"sku": skus[number % len(skus)]} for number in range(REQUESTS)]
    return meter.traffic(browser, "POST", calls.items, bodies)


def _expect_ok(browser: Browser, method: str, path: str, body: object) -> None:
    status = browser.ask(method, path, body).status
    if status != 200:
        raise BenchError(
            f"{method} {path} was answered {status} while its round trips were counted"
        )
