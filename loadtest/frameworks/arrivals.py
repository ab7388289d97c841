"""Load at a fixed rate: requests that arrive when they arrive, whatever the answers do.

A request that finds all connections busy waits, and its latency counts from the moment it was to be
sent. All that were due are sent, also after the end: without those that still wait then, a slow
server would look fast. Nothing is sent twice: a request without a good answer has failed.
"""

import http.client
import json
import random
import select
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from loadtest.frameworks import contract
from loadtest.harness.endpoint import percentile

CONNECTIONS: Final = 64
"""The most requests in flight."""

_TIMEOUT = 40.0
"""How long a request waits for a connection, and then for an answer, in seconds."""

_SHARE: Final = {"add": 1.0, "mix": 0.2}
_SHOWN = 5
# Before the first arrival, so that all connections wait for theirs.
_LEAD_SECONDS = 0.1


@dataclass
class Arrivals:
    """What became of the requests.

    Attributes:
        failed: those without a good answer, or without a connection in time; none was repeated.
        acknowledged: additions that were answered with 200.
        details: the first failures, in words.
        ms: the latency of each answer, from the moment at which the request was to be sent.
        late_ms: how much later each of these was sent: the generator's share, and the wait for a
            connection.
    """

    requests: int = 0
    failed: int = 0
    acknowledged: int = 0
    details: list[str] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)

    def p(self, point: float) -> float:
        """Return a percentile of the latencies in ms."""
        return percentile(sorted(self.ms), point)

    def late(self) -> float:
        """Return the 99th percentile of how late requests were sent, in ms."""
        return percentile(sorted(self.late_ms), 99)


class _Schedule:
    """Hands out the moments of a Poisson process up to its end."""

    def __init__(self, rate: float, seconds: float, seed: int) -> None:
        self._rate, self._chance, self._lock = rate, random.Random(seed), threading.Lock()
        self._next = time.perf_counter() + _LEAD_SECONDS
        self._end = self._next + seconds

    def end(self) -> None:
        with self._lock:
            self._end = min(self._end, time.perf_counter())

    def moment(self) -> float | None:
        with self._lock:
            self._next += self._chance.expovariate(self._rate)
            return None if self._next > self._end else self._next


@contextmanager
def arriving(
    port: int,
    cookies: Sequence[str],
    rate: float,
    *,
    mode: str = "mix",
    seconds: float = float("inf"),
    seed: int = 1,
) -> Iterator[Arrivals]:
    """Send requests at a rate per second until the block ends; then wait for all that were due.

    The mode is mix, which adds with each fifth request, or add. The cookies are Cookie headers.
    """
    found, lock, schedule = Arrivals(), threading.Lock(), _Schedule(rate, seconds, seed)

    def send(number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
        while (due := schedule.moment()) is not None:
            time.sleep(max(0.0, due - time.perf_counter()))
            sku = chance.choice(contract.SKUS) if chance.random() < _SHARE[mode] else ""
            cookie, sent = chance.choice(cookies), time.perf_counter()
            if sent - due < _TIMEOUT:
                problem = _asked(connection, cookie, sku)
            else:
                problem = f"not sent: no connection was free for {_TIMEOUT:g} s"
            now = time.perf_counter()
            with lock:
                found.requests += 1
                if problem:
                    found.failed += 1
                    found.details += [problem] * (len(found.details) < _SHOWN)
                else:
                    found.ms.append((now - due) * 1e3)
                    found.late_ms.append((sent - due) * 1e3)
                    found.acknowledged += bool(sku)
        connection.close()

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        sending = [pool.submit(send, number) for number in range(CONNECTIONS)]
        try:
            yield found
        finally:
            schedule.end()
        for each in sending:
            each.result()


def arrived(port: int, cookies: Sequence[str], rate: float, seconds: float, seed: int) -> Arrivals:
    """Send a mix at a rate for some seconds, and return what became of it."""
    with arriving(port, cookies, rate, seconds=seconds, seed=seed) as found:
        time.sleep(_LEAD_SECONDS + seconds)  # requests arrive meanwhile
    return found


def _asked(connection: http.client.HTTPConnection, cookie: str, sku: str) -> str:
    """Add a sku, or look at the cart without one; return what is wrong with the answer."""
    method, path, body = "GET", contract.CART, None
    headers = {"Host": "localhost", "Cookie": cookie}
    if sku:
        method, path, body = "POST", contract.ITEMS, json.dumps({"sku": sku})
        headers["Content-Type"] = "application/json"
    try:
        # As browsers do: a connection that the server has closed is not used again.
        if connection.sock and select.select([connection.sock], [], [], 0)[0]:
            connection.close()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return f"{method} {path}: no answer: {error!r}"
    return "" if answer.status == HTTPStatus.OK else f"{method} {path}: {answer.status}"
