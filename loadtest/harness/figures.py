"""Exact figures of a run: it keeps every latency and puts none into a bucket."""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_high

from loadtest.harness import intervals
from loadtest.harness.endpoint import Endpoint, Series, percentile
from loadtest.harness.intervals import Interval
from loadtest.users.findings import Finding
from loadtest.users.samples import Arrival, Request

_KEPT = 200
# A load generator that is late by less does not matter: people do not notice it.
_LATE_MS = 100
# It catches up after a pause of the machine. If it does not, it never will.
_BEHIND_SECONDS = 3.0
_TOLERANCE = 0.1
"""By so many seconds the last second may be shorter and still count."""


@dataclass(frozen=True, kw_only=True)
class OpenLoop:
    """The visits of an open loop.

    Attributes:
        due: how many were to begin.
        dropped: how many of these could not, because too many were under way.
        late_p99: by how many ms the load generator itself began 99 of 100 too late, at most. No
            answer is waited for.
    """

    due: int
    dropped: int
    late_p99: float

    @property
    def dropped_share(self) -> float:
        """Which share was dropped, 0 to 1."""
        return self.dropped / max(self.due, 1)

    def limits(self, uncorrected_p99: float) -> bool:
        """Whether the load generator was the limit, and not the target whose p99 is given (ms).

        Both are late on a machine that they share. The load generator is the limit if its own
        delay is most of what it measures.
        """
        return self.late_p99 > max(_LATE_MS, uncorrected_p99 / 2)

    @property
    def note(self) -> str:
        """What it means if the load generator was the limit."""
        return (
            "the load generator was the limit, not the target: it began one in a hundred visits "
            f"{self.late_p99:.0f} ms late or more; use more PROCESSES, or another machine"
        )


@dataclass(frozen=True)
class Second:
    """The requests that ended within one second of the run; percentiles in ms, if there are any."""

    second: float
    requests: float
    errors: float
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Figures:
    """Adds up samples as they come in.

    Args:
        warm_up: seconds at the beginning whose requests and arrivals do not count. Findings do.
        planned: seconds after the warm-up in which an open loop sends requests. What is answered
            after them has its latency, and is no throughput.

    Attributes:
        taken: how many requests there were, with those of the warm-up.
    """

    def __init__(self, warm_up: float = 0.0, planned: float = math.inf) -> None:
        self._warm_up, self._planned = warm_up, planned
        self._series: dict[str, Series] = defaultdict(Series)
        self._seconds: dict[int, array[float]] = defaultdict(lambda: array("d"))
        self._bad_seconds: Counter[int] = Counter()
        self.workers: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self._lates = array("d")
        self._dropped = self._tail = self.taken = 0
        # When the last visit began, and since when none began in time.
        self._begun, self._late_since = -math.inf, math.inf
        self.failed = 0
        self.errors: list[Request] = []
        """The first of the requests that failed."""
        self._origin = math.inf
        self.first = math.inf
        self.last = 0.0

    def take(
        self,
        requests: Iterable[Request],
        findings: Iterable[Finding],
        arrivals: Iterable[Arrival] = (),
    ) -> None:
        """Add new samples."""
        self.findings.extend(findings)
        for arrival in arrivals:
            self._begun = arrival.time + arrival.late_ms / 1000
            is_late = arrival.late_ms > _LATE_MS
            self._late_since = min(self._late_since, self._begun) if is_late else math.inf
            if self._counts(arrival.time):
                self._lates.append(arrival.late_ms)
                self._dropped += arrival.is_dropped
        for request in requests:
            self.taken += 1
            due = request.time - request.latency_ms / 1000
            if not self._counts(due):
                continue
            self._series[request.name].add(request)
            second = max(0, int(request.time - self._origin))
            self._seconds[second].append(request.latency_ms)
            if not request.error and request.time > self._end:
                self._tail += 1
            if request.error:
                self._bad_seconds[second] += 1
                self.failed += 1
                if len(self.errors) < _KEPT:
                    self.errors.append(request)
            if request.served_by:
                self.workers[request.served_by] += 1
            self.first = min(self.first, due)
            self.last = max(self.last, request.time)

    def _counts(self, due: float) -> bool:
        """Whether what was due at that time is after the warm-up, which the first one begins."""
        if self._origin == math.inf:
            self._origin = due + self._warm_up
        return not self._warm_up or due >= self._origin

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return sum(len(series.latencies) for series in self._series.values())

    def good(self, name: str = "") -> int:
        """Return how many requests did not fail, of one kind or of all."""
        found = [series for kind, series in self._series.items() if name in {"", kind}]
        return sum(series.good for series in found)

    @property
    def _end(self) -> float:
        return self._origin + self._planned

    @property
    def seconds(self) -> float:
        """From the first request's start to the last one's end, or the planned end."""
        return max(min(self.last, self._end) - self.first, 1e-3) if self.requests else 0.0

    @property
    def throughput(self) -> float:
        """Good requests a second."""
        good = self.requests - self.failed - self._tail
        return good / self.seconds if good else 0.0

    def arrivals(self) -> OpenLoop:
        """Return the figures of an open loop's arrivals."""
        late = percentile(sorted(self._lates), 99) if self._lates else 0.0
        return OpenLoop(due=len(self._lates), dropped=self._dropped, late_p99=late)

    def is_behind(self) -> bool:
        """Whether the load generator is the limit, and has begun no visit in time for seconds."""
        if self._begun - self._late_since < _BEHIND_SECONDS:
            return False
        sent = sorted(value for series in self._series.values() for value in series.uncorrected)
        return self.arrivals().limits(percentile(sent, 99) if sent else 0.0)

    @property
    def throughput_interval(self) -> Interval:
        """Between which values the throughput of another run would be."""
        kinds = [s.good_by_block(self.first, self.seconds) for s in self._series.values()]
        good = [sum(counts) for counts in zip(*kinds, strict=True)]
        if good:
            good[-1] -= self._tail
        return intervals.of_rate(good, self.seconds)

    def series(self) -> Mapping[str, Series]:
        """Return the samples of each kind of request so far."""
        return self._series

    def endpoints(self) -> list[Endpoint]:
        """Return the figures of each kind of request, by name."""
        return [
            series.endpoint(name, self.first, self.seconds)
            for name, series in sorted(self._series.items())
        ]

    def total(self) -> Endpoint:
        """Return the figures of all requests together."""
        everything = Series()
        for series in self._series.values():
            everything.extend(series)
        return everything.endpoint("all", self.first, self.seconds)

    def timeline(self) -> list[Second]:
        """Return every second, also those without an answer; an incomplete last one is left out."""
        rows = []
        lasted = self.last - self.first
        for second in range(max(1, int(lasted + _TOLERANCE)) if self.requests else 0):
            ordered = sorted(self._seconds.get(second, ()))
            points = [percentile(ordered, point) for point in (50, 95, 99) if ordered]
            rows.append(Second(second, len(ordered), self._bad_seconds[second], *points))
        return rows

    def recent(self, seconds: int) -> tuple[float, float]:
        """Return requests a second and p95 in ms over the last seconds."""
        now = int(self.last - self._origin)
        # The current second counts only if there is no other.
        span = range(max(0, now - seconds), max(now, 1))
        ordered = sorted(value for second in span for value in self._seconds.get(second, ()))
        return len(ordered) / len(span), percentile(ordered, 95) if ordered else 0.0

    def distribution(self, bins: int = 60) -> list[tuple[float, float, int]]:
        """Return the latencies as (from, to, how many), ms, in steps of equal ratio."""
        values = sorted(value for series in self._series.values() for value in series.latencies)
        if not values:
            return []
        low, high = max(values[0], 0.01), max(values[-1], 0.02)
        step = max(math.log(high / low) / bins, 1e-9)
        counts = Counter(
            min(bins - 1, max(0, int(math.log(max(value, low) / low) / step))) for value in values
        )
        return [
            (low * math.exp(step * place), low * math.exp(step * (place + 1)), counts[place])
            for place in range(bins)
        ]


def drift(timeline: Sequence[Second]) -> tuple[float, float] | None:
    """Return the median p95 in ms of a run's first and last quarter; `None` if it is too short."""
    values = [each.p95 for each in timeline if each.p95 is not None]
    quarter = len(values) // 4
    if not quarter:
        return None
    return median_high(values[:quarter]), median_high(values[-quarter:])
