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
    assert _held(0.9, "p99", p99) >= 0.85


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        # As R's `binom.test` gives them.
        (0, 10, 0.0, 0.308497),
        (5, 10, 0.187086, 0.812914),
        (10, 10, 0.691503, 1.0),
        (1, 100, 0.000253146, 0.0544594),
        (10, 100, 0.0490047, 0.176223),
        (99, 100, 0.945541, 0.999747),
    ],
)
def test_an_interval_is_exact(hits: int, count: int, low: float, high: float) -> None:
    """Also that of a single hit, and of none."""
    assert intervals.exact(hits, count) == pytest.approx((low, high), rel=1e-5)


@pytest.mark.parametrize("count", [3, 1_000, 1_000_000])
def test_the_intervals_of_one_hit_and_of_none_have_a_formula(count: int) -> None:
    """However many events there are."""
    low, _ = intervals.exact(1, count)
    _, high = intervals.exact(0, count)
    assert low == pytest.approx(-math.expm1(math.log(0.975) / count), rel=1e-2)
    assert high == pytest.approx(-math.expm1(math.log(0.025) / count), rel=1e-4)


def test_one_error_is_no_certain_failure() -> None:
    """One of a thousand may be chance where the true share is one in ten thousand."""
    figures = Figures()
    for number in range(1_000):
        error = "status 500" if number == 500 else ""
        figures.take([_request(number / 100, 10.0, error)], [])
    low, high = figures.total().intervals["errors"]
    # Of as many independent events as ten blocks are worth: three quarters.
    assert low < 0.0001 < 0.001 < high < 0.01


def test_one_pause_makes_a_percentile_uncertain() -> None:
    """The same slow requests, all in one second, tell less than if they are spread over the run."""

    def interval(slow: range) -> tuple[float, float]:
        figures, draw = Figures(), random.Random(3)
        for number in range(6000):
            latency = (500.0 if number in slow else 10.0) + draw.random()
            figures.take([_request(number / 100, latency)], [])
        return figures.total().intervals["p99"]

    at_once, spread = range(3000, 3100), range(0, 6000, 60)
    assert len(at_once) == len(spread)
    # A hundred are more than one in a hundred for certain, unless they come together.
    low, high = interval(spread)
    assert 500 <= low <= high
    low, high = interval(at_once)
    assert low < 500 <= high


def test_a_percentile_takes_so_many_requests() -> None:
    """Of one fewer, all are below the true percentile once in forty times, or more often."""
    for point, fewest in ((50, 6), (95, 72), (99, 368)):
        assert intervals.fewest(point) == fewest
        assert (point / 100) ** fewest <= 0.025 < (point / 100) ** (fewest - 1)


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
