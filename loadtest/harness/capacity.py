"""Capacity: the load beyond which the throughput hardly grows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median_high

from loadtest.harness.figures import Second
from loadtest.shapes import RAMP_STEPS

ENOUGH = 0.95
"""The share of the greatest throughput that is reached at the capacity."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a ramp.

    Attributes:
        load: users, or visits a second.
        throughput: good requests a second.
        p95: the greatest p95 of its seconds, in ms.
        is_capacity: whether it is the smallest load with 95 % of the greatest throughput.
    """

    load: float
    throughput: float
    p95: float
    is_capacity: bool = False


def of_ramp(timeline: Sequence[Second], duration: float, most: float) -> list[Step]:
    """Return each measured step of a ramp of so many seconds; `most` is the last one's load."""
    steps = []
    ends = [duration * number / RAMP_STEPS for number in range(RAMP_STEPS + 1)]
    for number, (low, high) in enumerate(pairwise(ends), 1):
        # The first second of a step still has the load of the one before.
        begin = low + 1 if high - low > 1 else low
        seconds = [each for each in timeline if begin <= each.second < high and each.requests]
        if seconds:
            good = sum(each.requests - each.errors for each in seconds)
            steps.append(Step(
                load=most * number / RAMP_STEPS, throughput=good / len(seconds),
                p95=max(each.p95 or 0.0 for each in seconds),
            ))  # fmt: skip
    if steps:
        found = smallest([(place, step.throughput) for place, step in enumerate(steps)])
        steps[found] = replace(steps[found], is_capacity=True)
    return steps


def smallest(points: Sequence[tuple[int, float]]) -> int:
    """Return the first of (size, throughput) that has 95 % of the greatest throughput."""
    greatest = max(throughput for _, throughput in points)
    return next(size for size, throughput in points if throughput >= ENOUGH * greatest)


def drift(timeline: Sequence[Second]) -> tuple[float, float] | None:
    """Return the median p95 in ms of a run's first and last quarter; `None` if it is too short."""
    values = [each.p95 for each in timeline if each.p95 is not None]
    quarter = len(values) // 4
    if not quarter:
        return None
    return median_high(values[:quarter]), median_high(values[-quarter:])
