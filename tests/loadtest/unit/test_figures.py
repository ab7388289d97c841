"""The shapes of a load, its samples, and the figures from these."""

import csv
from pathlib import Path

import pytest

from loadtest.harness import capacity
from loadtest.harness.figures import Figures, Second, percentile
from loadtest.shapes import SHAPES
from loadtest.users.samples import Follower, Request


def _request(time: float, latency_ms: float, error: str = "") -> Request:
    return Request(time, "GET /", 500 if error else 200, latency_ms, 1, "app-1/1", "id", error)


def test_percentiles_are_values_that_occurred() -> None:
    """The smallest value that the given share does not exceed."""
    ordered = [1.0, 2.0, 3.0, 4.0]
    assert [percentile(ordered, point) for point in (0, 50, 51, 75, 99, 100)] == [
        1.0, 2.0, 3.0, 3.0, 4.0, 4.0,
    ]  # fmt: skip


def test_failed_requests_are_no_throughput() -> None:
    """They count as requests and as errors of their endpoint."""
    figures = Figures()
    failed = _request(102.0, 5.0, error="status 500")
    figures.take([_request(100.0, 0.0), _request(101.0, 5.0), failed], [])
    (endpoint,) = figures.endpoints()
    assert (endpoint.requests, endpoint.errors) == (3, 1)
    assert figures.throughput == 1.0


def test_a_second_without_an_answer_is_on_the_timeline() -> None:
    """An outage is visible."""
    figures = Figures()
    figures.take([_request(100.0, 0.0), _request(103.1, 1.0)], [])
    assert [row.requests for row in figures.timeline()] == [1, 0, 0]


def test_the_capacity_is_the_smallest_load_with_nearly_all_throughput() -> None:
    """Beyond it, more users bring less than 5 % more."""
    reached = [100, 200, 300, 400, 480, 490, 500, 495, 490, 480]
    timeline = [Second(second, reached[second // 10], 0, p95=1.0) for second in range(100)]
    steps = capacity.of_ramp(timeline, 100.0, 50)
    assert [step.load for step in steps if step.is_capacity] == [25.0]


@pytest.mark.parametrize(
    ("shape", "loads"),
    [
        ("steady", [1.0, 1.0, 1.0, 1.0, 1.0]),
        ("soak", [1.0, 1.0, 1.0, 1.0, 1.0]),
        ("ramp", [0.1, 0.4, 0.5, 0.7, 1.0]),
        ("spike", [0.2, 0.2, 1.0, 0.2, 0.2]),
    ],
)
def test_each_shape_has_its_share_of_load_over_time(shape: str, loads: list[float]) -> None:
    """At the start, before, within and after the middle fifth, and in the last moment."""
    assert [SHAPES[shape](share) for share in (0.0, 0.39, 0.4, 0.6, 0.999)] == loads


def test_a_soak_reports_how_latency_drifted() -> None:
    """The median p95 of the first quarter beside that of the last; too short a run tells none."""
    rows = [Second(second, 1, 0, p95=10.0 + second) for second in range(12)]
    assert capacity.drift(rows) == (11.0, 20.0)
    assert capacity.drift(rows[:3]) is None


@pytest.mark.parametrize("between", ["\u2028", "\x85", "\x0b", "\n", "\r\n", '"', ","])
def test_a_finding_may_quote_anything_the_target_wrote(tmp_path: Path, between: str) -> None:
    """Also what Python takes for the end of a line; the next finding is still another one."""
    details = [f"a{between}b", "next"]
    with (tmp_path / "findings-1.csv").open("w", encoding="utf-8", newline="") as file:
        for detail in details:
            csv.writer(file).writerow((1.0, "lost update", "Mine", "GET /", detail, "", "", "id"))
    assert [found.detail for found in Follower(tmp_path).findings()] == details
