"""Confidence intervals: how often they hold what they promise, on runs that are made up."""

import math
import random

import pytest

from loadtest.harness import intervals
from loadtest.harness.figures import Figures
from loadtest.harness.intervals import Interval
from loadtest.users.samples import Request

_RUNS = 60


def _run(draw: random.Random, memory: float) -> Figures:
    """Return 60 s with 20 requests a second, whose latencies follow a level that drifts.

    Of the level's logarithm, `memory` remains after a tenth of a second; its deviation is 0.5.
    """
    figures = Figures()
    level = draw.gauss(0, 0.5)
    for tenth in range(600):
        level = memory * level + draw.gauss(0, 0.5 * math.sqrt(1 - memory**2))
        for _ in range(2):
            latency = 10 * math.exp(level + draw.gauss(0, 0.5))
            figures.take([_request(tenth / 10, latency)], [])
    return figures


def _request(time: float, latency_ms: float, error: str = "", name: str = "GET /") -> Request:
    return Request(time, name, 500 if error else 200, latency_ms, 1, "app-1/1", "id", error)


def _held(memory: float, point: str, true: float) -> float:
    """Return which share of intervals holds the true percentile."""
    draw, held = random.Random(1), 0
    for _ in range(_RUNS):
        low, high = _run(draw, memory).total().intervals[point]
        held += low <= true <= high
    return held / _RUNS


def test_an_interval_holds_the_true_percentile() -> None:
    """Nearly always if requests are independent, and if a slow second follows a slow one."""
    p50 = 10.0
    p99 = 10 * math.exp(2.3263 * math.sqrt(0.5))
    assert _held(0.0, "p50", p50) >= 0.9
    assert _held(0.0, "p99", p99) >= 0.9
    # If the requests were taken one by one, it would be 34 of 60 for the p50 and 39 for the p99.
    assert _held(0.9, "p50", p50) >= 0.85
    assert _held(0.9, "p99", p99) >= 0.8


def test_one_pause_makes_a_percentile_uncertain() -> None:
    """The same slow requests, all in one second, tell less than if they are spread over the run."""

    def interval(slow: range) -> tuple[float, float]:
        figures = Figures()
        for number in range(6000):
            figures.take([_request(number / 100, 500.0 if number in slow else 10.0)], [])
        return figures.total().intervals["p99"]

    at_once, spread = range(3000, 3070), range(0, 6000, 86)
    assert len(at_once) == len(spread)
    # Seventy are more than one in a hundred.
    assert interval(spread) == (10.0, 500.0) or interval(spread) == (500.0, 500.0)
    assert interval(at_once) == (10.0, 500.0)


def test_errors_all_at_once_are_less_certain_than_errors_now_and_then() -> None:
    """The interval of their share is wider, and holds the share."""

    def interval(bad: range) -> tuple[float, float]:
        figures = Figures()
        for number in range(6000):
            error = "status 500" if number in bad else ""
            figures.take([_request(number / 100, 10.0, error)], [])
        return figures.total().intervals["errors"]

    low, high = interval(range(0, 6000, 100))
    assert 0.006 < low < 0.01 < high < 0.015
    wider_low, wider_high = interval(range(3000, 3060))
    assert wider_low < low
    assert wider_high > high


def test_the_interval_of_a_throughput_holds_it() -> None:
    """It is narrow if all blocks are alike, and wide if one is empty."""
    even, broken = Figures(), Figures()
    for number in range(1000):
        even.take([_request(number / 10, 1.0)], [])
        if not 500 <= number < 600:
            broken.take([_request(number / 10, 1.0)], [])
    low, high = even.throughput_interval
    assert low <= even.throughput <= high < low + 0.2
    low, high = broken.throughput_interval
    assert low < broken.throughput < high
    assert high - low > 1.0


def test_a_single_request_has_an_interval() -> None:
    """It is the request itself: nothing else is known."""
    figures = Figures()
    figures.take([_request(1.0, 5.0)], [])
    assert figures.total().intervals["p99"] == (5.0, 5.0)


@pytest.mark.parametrize(
    ("a", "b", "is_noise"),
    [
        # As far apart as their intervals are wide, or less.
        ((10.0, (8.0, 12.0)), (11.0, (9.0, 13.0)), True),
        ((10.0, (8.0, 12.0)), (13.0, (11.0, 15.0)), False),
        ((10.0, (9.9, 10.1)), (10.5, (10.4, 10.6)), False),
        # The side that faces the other one counts.
        ((10.0, (9.9, 20.0)), (15.0, (14.9, 15.1)), True),
        ((10.0, (1.0, 10.1)), (15.0, (14.9, 99.0)), False),
    ],
)
def test_a_difference_within_the_intervals_is_noise(
    a: tuple[float, Interval], b: tuple[float, Interval], *, is_noise: bool
) -> None:
    """The intervals of the ratio and of the difference agree on that, in both directions."""
    for first, second in ((a, b), (b, a)):
        ratio = intervals.of_ratio(*first, *second)
        assert ratio is not None
        low, high = ratio
        assert low < second[0] / first[0] < high
        assert (low <= 1 <= high) is is_noise
        low, high = intervals.of_difference(*first, *second)
        assert (low <= 0 <= high) is is_noise


def test_there_is_no_ratio_to_nothing() -> None:
    """A share of 0 has a difference, but no ratio."""
    assert intervals.of_ratio(0.0, (0.0, 0.1), 0.2, (0.1, 0.3)) is None


def test_two_runs_of_the_same_differ_seldom() -> None:
    """Of pairs of runs that are alike, their p99 differs in one of ten at most."""
    draw, differs = random.Random(2), 0
    for _ in range(_RUNS):
        a, b = (_run(draw, 0.5).total() for _ in range(2))
        found = [(each.percentiles["p99"], each.intervals["p99"]) for each in (a, b)]
        ratio = intervals.of_ratio(*found[0], *found[1])
        assert ratio is not None
        differs += not ratio[0] <= 1 <= ratio[1]
    assert differs <= _RUNS / 10
