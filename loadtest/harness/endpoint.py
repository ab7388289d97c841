"""The figures of one kind of request. They are exact: no latency is put into a bucket."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from loadtest.harness import intervals
from loadtest.harness.intervals import BLOCKS, Interval
from loadtest.users.samples import Request

POINTS = (50, 75, 90, 95, 99, 99.9)
"""The percentiles that reports show."""


def percentile(ordered: Sequence[float], point: float) -> float:
    """Return the smallest value that `point` per cent of the ordered values do not exceed."""
    return ordered[_rank(len(ordered), point) - 1]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The figures of one kind of request. Latencies are in ms.

    Attributes:
        percentiles: corrected: since the request was due.
        uncorrected: since it was sent: the same in a closed loop, and empty if unknown.
        intervals: of each percentile and of the share of errors; empty if unknown.
    """

    name: str
    requests: int
    errors: int
    mean: float
    greatest: float
    percentiles: dict[str, float]
    statuses: dict[str, int]
    uncorrected: dict[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def error_share(self) -> float:
        """Which share of the requests failed, 0 to 1."""
        return self.errors / self.requests


@dataclass
class Series:
    """The samples of one kind of request."""

    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    uncorrected: "array[float]" = field(default_factory=lambda: array("d"))
    times: "array[float]" = field(default_factory=lambda: array("d"))
    """When each ended."""
    failed: "array[float]" = field(default_factory=lambda: array("d"))
    """When each of those ended that failed."""
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, request: Request) -> None:
        """Add a request."""
        sent = request.uncorrected_ms
        self.latencies.append(request.latency_ms)
        self.uncorrected.append(request.latency_ms if sent is None else sent)
        self.times.append(request.time)
        if request.error:
            self.failed.append(request.time)
        self.statuses[str(request.status or "no answer")] += 1

    def extend(self, other: "Series") -> None:
        """Add all of another one."""
        self.latencies.extend(other.latencies)
        self.uncorrected.extend(other.uncorrected)
        self.times.extend(other.times)
        self.failed.extend(other.failed)
        self.statuses.update(other.statuses)

    @property
    def good(self) -> int:
        """How many did not fail."""
        return len(self.latencies) - len(self.failed)

    def endpoint(self, name: str, first: float, seconds: float) -> Endpoint:
        """Return the figures, in a run that began at `first` and took so many seconds."""
        pairs = sorted(zip(self.latencies, _blocks(self.times, first, seconds), strict=True))
        ordered, places = [latency for latency, _ in pairs], [place for _, place in pairs]
        sent, counts = sorted(self.uncorrected), by_block(places)
        failed = by_block(_blocks(self.failed, first, seconds))
        found = {"errors": intervals.of_share(failed, counts)}
        for point in POINTS:
            within = by_block(places[: _rank(len(ordered), point)])
            low, high = intervals.of_share(within, counts, point / 100)
            found[f"p{point:g}"] = percentile(ordered, low * 100), percentile(ordered, high * 100)
        return Endpoint(
            name=name,
            requests=len(ordered),
            errors=len(self.failed),
            mean=sum(ordered) / len(ordered),
            greatest=ordered[-1],
            percentiles={f"p{point:g}": percentile(ordered, point) for point in POINTS},
            statuses=dict(self.statuses),
            uncorrected={f"p{point:g}": percentile(sent, point) for point in POINTS},
            intervals=found,
        )

    def good_by_block(self, first: float, seconds: float) -> list[int]:
        """Return how many did not fail, in each block of the run."""
        counts, failed = (
            by_block(_blocks(times, first, seconds)) for times in (self.times, self.failed)
        )
        return [count - bad for count, bad in zip(counts, failed, strict=True)]


def by_block(places: Iterable[int]) -> list[int]:
    """Return how often each block is named."""
    counts = Counter(places)
    return [counts[block] for block in range(BLOCKS)]


def _blocks(times: Iterable[float], first: float, seconds: float) -> list[int]:
    """Return in which block of the run each time is."""
    return [min(BLOCKS - 1, max(0, int((time - first) / seconds * BLOCKS))) for time in times]


def _rank(count: int, point: float) -> int:
    return max(1, math.ceil(count * point / 100))
