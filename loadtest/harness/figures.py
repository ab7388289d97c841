"""Exact figures of a run: it keeps every latency and puts none into a bucket."""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from loadtest.users.findings import Finding
from loadtest.users.samples import Request

_KEPT = 200
_TOLERANCE = 0.1
"""By so many seconds the last second may be shorter and still count."""

POINTS = (50, 75, 90, 95, 99, 99.9)
"""The percentiles that reports show."""


def percentile(ordered: Sequence[float], point: float) -> float:
    """Return the smallest value that `point` per cent of the ordered values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * point / 100) - 1)]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The figures of one kind of request. Latencies are in ms."""

    name: str
    requests: int
    errors: int
    mean: float
    greatest: float
    percentiles: dict[str, float]
    statuses: dict[str, int]

    @property
    def error_share(self) -> float:
        """Which share of the requests failed, 0 to 1."""
        return self.errors / self.requests


@dataclass
class _Series:
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    errors: int = 0
    statuses: Counter[str] = field(default_factory=Counter)


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
    """Adds up samples as they come in."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = defaultdict(_Series)
        self._seconds: dict[int, array[float]] = defaultdict(lambda: array("d"))
        self._bad_seconds: Counter[int] = Counter()
        self.workers: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.failed = 0
        self.errors: list[Request] = []
        """The first of the requests that failed."""
        self._origin: float | None = None
        self.first = math.inf
        self.last = 0.0

    def take(self, requests: Iterable[Request], findings: Iterable[Finding]) -> None:
        """Add new samples."""
        for request in requests:
            series = self._series[request.name]
            series.latencies.append(request.latency_ms)
            series.statuses[str(request.status or "no answer")] += 1
            if self._origin is None:
                self._origin = request.time - request.latency_ms / 1000
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
            self.first = min(self.first, request.time - request.latency_ms / 1000)
            self.last = max(self.last, request.time)
        self.findings.extend(findings)

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

    def endpoints(self) -> list[Endpoint]:
        """Return the figures of each kind of request, by name."""
        return [_endpoint(name, series) for name, series in sorted(self._series.items())]

    def total(self) -> Endpoint:
        """Return the figures of all requests together."""
        everything = _Series()
        for series in self._series.values():
            everything.latencies.extend(series.latencies)
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
        now = int(self.last - (self._origin or 0.0))
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


def _endpoint(name: str, series: _Series) -> Endpoint:
    ordered = sorted(series.latencies)
    return Endpoint(
        name=name,
        requests=len(ordered),
        errors=series.errors,
        mean=sum(ordered) / len(ordered),
        greatest=ordered[-1],
        percentiles={f"p{point:g}": percentile(ordered, point) for point in POINTS},
        statuses=dict(series.statuses),
    )
