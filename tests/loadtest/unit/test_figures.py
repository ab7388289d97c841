"""Figures from samples."""

from loadtest.harness import capacity
from loadtest.harness.figures import Figures, Second, percentile
from loadtest.users.samples import Request


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
