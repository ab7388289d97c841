"""When the requests of a visit are due, and by how much each begins too late.

In a closed loop nothing is late: a user waits for an answer, and then pauses. In an open loop a
pause is the time between the *intended* starts of two requests, as in wrk2. If the answer before
comes late, the next request is sent at once, and the time since it was due counts as waiting.
Otherwise the load would wait for the target, and its latencies would leave out what users wait
(coordinated omission).
"""

import time

import gevent
from gevent.event import Event


class Over(Exception):
    """The run has ended, and with it this visit, which is nobody's fault."""


class Pace:
    """The pace of a visit in a closed loop."""

    def pause(self, seconds: float) -> None:
        """Wait before the next request."""
        gevent.sleep(seconds)

    def begin(self) -> float:
        """Return by how many seconds the request that begins now is late."""
        return 0.0


class OpenPace(Pace):
    """The pace of a visit in an open loop.

    A request without a pause before it follows from the answer before, and is due at once.

    Args:
        due: when the visit's first request is due (`time.perf_counter`).
        over: set at the end of the run. Requests that were sent get their answers, and no other
            begins: the slowest answers of a run are the ones that it must not leave out.
    """

    def __init__(self, due: float, over: Event) -> None:
        self._over = over
        self._first: float | None = due
        self._last = due
        # By tab: those of one browser pause at the same time.
        self._due: dict[object, float] = {}

    def pause(self, seconds: float) -> None:
        """Wait until so many seconds after the last request was due.

        Raises:
            Over: the run has ended.
        """
        tab = gevent.getcurrent()
        due = self._due[tab] = self._due.get(tab, self._last) + seconds
        if self._over.wait(max(0.0, due - time.perf_counter())):
            raise Over

    def begin(self) -> float:
        """Return by how many seconds the request that begins now is late.

        Raises:
            Over: the run has ended.
        """
        if self._over.is_set():
            raise Over
        now = time.perf_counter()
        due = self._due.pop(gevent.getcurrent(), self._first)
        self._first = None
        self._last = now if due is None else min(due, now)
        return now - self._last
