"""When the requests of a visit are due, and by how much each begins too late.

In a closed loop nothing is late: a user waits for an answer, and then pauses. In an open loop a
pause is the time between the *intended* starts of two requests, as in wrk2. If the answer before
comes late, the next request is sent at once, and the time since it was due counts as waiting.
Otherwise the load would wait for the target, and its latencies would leave out what users wait
(coordinated omission).

But nobody intends to ask again before the answer before can be there. If answers *usually* take
longer than the pause, each request of a visit would be later than the one before, without an end,
and a target that is slow but steady would break at any rate. Two rules prevent this, and leave a
stall in the latencies:

- The next request is due after twice the usual time of an answer (the median of that kind of
  request so far), if that is longer than the pause. Twice, because the mean is above the median:
  with times as of a queue (exponential), it is 1.44 times the median. A stall does not change a
  median, because few of all answers are in it.
- No request begins later than by the longest wait of its visit. This is the bound where the median
  says little, such as 40 slow answers in 100. A stall of a second still is a second.
"""

import math
import time
from collections import Counter, defaultdict

import gevent
from gevent.event import Event

# Times are counted in steps of 5 %, so that a soak needs no more memory than a short run.
_STEP = math.log(1.05)
_LEAST = 1e-4


class Over(Exception):
    """The run has ended, and with it this visit, which is nobody's fault."""


class Usual:
    """How long answers usually take: the median so far of each kind of request, in seconds."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[int]] = defaultdict(Counter)

    def add(self, name: str, seconds: float) -> None:
        """Take one more answer into account."""
        self._counts[name][round(math.log(max(seconds, _LEAST) / _LEAST) / _STEP)] += 1

    def __getitem__(self, name: str) -> float:
        """Return the median, the lower one of two; 0 if there was no answer."""
        counts, seen = self._counts[name], 0
        for place in sorted(counts):
            seen += counts[place]
            if 2 * seen >= counts.total():
                return _LEAST * math.exp(place * _STEP)
        return 0.0


class Pace:
    """The pace of a visit in a closed loop."""

    def pause(self, seconds: float) -> None:
        """Wait before the next request."""
        gevent.sleep(seconds)

    def begin(self, name: str) -> float:
        """Return by how many seconds the request of that kind, which begins now, is late."""
        del name
        return 0.0

    def answered(self, name: str, seconds: float) -> None:
        """Take into account how long a request of that kind took since it was sent."""


class OpenPace(Pace):
    """The pace of a visit in an open loop.

    A request without a pause before it follows from the answer before, and is due at once.

    Args:
        due: when the visit's first request is due (`time.perf_counter`).
        over: set at the end of the run. Requests that were sent get their answers, and no other
            begins: the slowest answers of a run are the ones that it must not leave out.
        usual: what all visits of this process know of the target.
    """

    def __init__(self, due: float, over: Event, usual: Usual) -> None:
        self._over, self._usual = over, usual
        self._first: float | None = due
        self._last, self._name = due, ""
        self._longest = 0.0
        # By tab: those of one browser pause at the same time.
        self._due: dict[object, float] = {}

    def pause(self, seconds: float) -> None:
        """Wait until so many seconds after the last request was due, or until it is usual.

        Raises:
            Over: the run has ended.
        """
        tab = gevent.getcurrent()
        if tab in self._due:
            due = self._due[tab] + seconds
        else:
            due = self._last + max(seconds, 2 * self._usual[self._name])
        self._due[tab] = due
        if self._over.wait(max(0.0, due - time.perf_counter())):
            raise Over

    def begin(self, name: str) -> float:
        """Return by how many seconds the request of that kind, which begins now, is late.

        Raises:
            Over: the run has ended.
        """
        if self._over.is_set():
            raise Over
        now, due = time.perf_counter(), self._due.pop(gevent.getcurrent(), None)
        if self._first is not None:
            due, self._first = self._first if due is None else due, None
            self._longest = max(0.0, now - due)
        late = 0.0 if due is None else min(max(0.0, now - due), self._longest)
        self._last, self._name = now - late, name
        return late

    def answered(self, name: str, seconds: float) -> None:
        """Take into account how long a request of that kind took since it was sent."""
        self._usual.add(name, seconds)
        self._longest = max(self._longest, seconds)
