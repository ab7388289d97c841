"""Exact figures of a run: it keeps every latency and puts none into a bucket."""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median_high

from loadtest.users.findings import Finding
from loadtest.users.samples import Arrival, Request

_KEPT = 200
# A load generator that is late by less does not matter: people do not notice it.
_LATE_MS = 100
_TOLERANCE = 0.1
"""By so many seconds the last second may be shorter and still count."""

POINTS = (50, 75, 90, 95, 99, 99.9)
"""The percentiles that reports show."""


def percentile(ordered: Sequence[float], point: float) -> float:
    """Return the smallest value that `point` per cent of the ordered values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * point / 100) - 1)]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The figures of one kind of request. Latencies are in ms.

    Attributes:
        percentiles: corrected: since the request was due.
        uncorrected: since it was sent: the same in a closed loop, and empty if unknown.
    """

    name: str
    requests: int
    errors: int
    mean: float
    greatest: float
    percentiles: dict[str, float]
    statuses: dict[str, int]
    uncorrected: dict[str, float] = field(default_factory=dict)

    @property
    def error_share(self) -> float:
        """Which share of the requests failed, 0 to 1."""
        return self.errors / self.requests


@dataclass
class _Series:
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    uncorrected: "array[float]" = field(default_factory=lambda: array("d"))
    errors: int = 0
    statuses: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True)
class Arrivals:
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
    """

    def __init__(self, warm_up: float = 0.0) -> None:
        self._warm_up = warm_up
        self._series: dict[str, _Series] = defaultdict(_Series)
        self._seconds: dict[int, array[float]] = defaultdict(lambda: array("d"))
        self._bad_seconds: Counter[int] = Counter()
        self.workers: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self._lates = array("d")
        self._dropped = 0
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
            if self._counts(arrival.time):
                self._lates.append(arrival.late_ms)
                self._dropped += arrival.is_dropped
        for request in requests:
            due = request.time - request.latency_ms / 1000
            if not self._counts(due):
                continue
            series = self._series[request.name]
            series.latencies.append(request.latency_ms)
            sent = request.uncorrected_ms
            series.uncorrected.append(request.latency_ms if sent is None else sent)
            series.statuses[str(request.status or "no answer")] += 1
            second = max(0, int(request.time - self._origin))
            self._seconds[second].append(request.latency_ms)
            if request.error:
                series.errors += 1
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
        return sum(len(series.latencies) - series.errors for series in found)

    @property
    def seconds(self) -> float:
        """From the first request's start to the last one's end."""
        return max(self.last - self.first, 1e-3) if self.requests else 0.0

    @property
    def throughput(self) -> float:
        """Good requests a second."""
        good = self.requests - self.failed
        return good / self.seconds if good else 0.0

    def arrivals(self) -> Arrivals:
        """Return the figures of an open loop's arrivals."""
        late = percentile(sorted(self._lates), 99) if self._lates else 0.0
        return Arrivals(due=len(self._lates), dropped=self._dropped, late_p99=late)

    def endpoints(self) -> list[Endpoint]:
        """Return the figures of each kind of request, by name."""
        return [_endpoint(name, series) for name, series in sorted(self._series.items())]

    def total(self) -> Endpoint:
        """Return the figures of all requests together."""
        everything = _Series()
        for series in self._series.values():
            everything.latencies.extend(series.latencies)
            everything.uncorrected.extend(series.uncorrected)
            everything.errors += series.errors
            everything.statuses.update(series.statuses)
        return _endpoint("all", everything)

    def timeline(self) -> list[Second]:
        """Return every second, also those without an answer; an incomplete last one is left out."""
        rows = []
        for second in range(max(1, int(self.seconds + _TOLERANCE)) if self.requests else 0):
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


def _endpoint(name: str, series: _Series) -> Endpoint:
    ordered = sorted(series.latencies)
    sent = sorted(series.uncorrected)
    return Endpoint(
        name=name,
        requests=len(ordered),
        errors=series.errors,
        mean=sum(ordered) / len(ordered),
        greatest=ordered[-1],
        percentiles={f"p{point:g}": percentile(ordered, point) for point in POINTS},
        statuses=dict(series.statuses),
        uncorrected={f"p{point:g}": percentile(sent, point) for point in POINTS},
    )
