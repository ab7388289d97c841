"""The shapes of a load, its samples, and the figures from these."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.harness.endpoint import percentile
from loadtest.harness.figures import Figures, Second, drift
from loadtest.shapes import SHAPES
from loadtest.users.findings import Failure, Finding
from loadtest.users.samples import Arrival, Follower, Request


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


def test_what_is_answered_after_the_planned_end_is_no_throughput() -> None:
    """An open loop waits for its last answers; their latencies count, and that time does not."""
    figures = Figures(warm_up=1.0, planned=10.0)
    on_time = [_request(100.0 + second, 0.0) for second in range(12)]
    figures.take([*on_time, _request(141.0, 31_000.0)], [])
    assert (figures.requests, figures.seconds) == (12, 10.0)
    assert figures.throughput == 1.1
    assert figures.throughput_interval[1] < 2
    assert figures.total().greatest == 31_000
    assert len(figures.timeline()) == 40


def _arrivals(*late_ms: float) -> list[Arrival]:
    return [Arrival(100.0 + second, late, is_dropped=False) for second, late in enumerate(late_ms)]


@pytest.mark.parametrize(
    "late_ms",
    [(0, 200, 300), (500, 400, 300, 200, 0), (4000, 3000, 2000, 1000, 101), (0, 90, 90, 90, 90)],
    ids=["for a moment", "in time again", "after one pause", "a little"],
)
def test_a_load_generator_that_catches_up_is_not_behind(late_ms: tuple[float, ...]) -> None:
    """One that does not has begun no visit in time for three seconds."""
    behind, other = Figures(), Figures()
    behind.take([_request(100.5, 1.0)], [], _arrivals(0, 200, 300, 400, 500))
    other.take([_request(100.5, 1.0)], [], _arrivals(*late_ms))
    assert behind.is_behind()
    assert not other.is_behind()


def test_a_target_that_is_slower_than_the_load_generator_is_late_is_the_limit() -> None:
    """On one machine both are late; then the load goes on."""
    figures = Figures()
    figures.take([_request(105.0, 2000.0)], [], _arrivals(0, 200, 300, 400, 500))
    assert not figures.is_behind()


def test_a_second_without_an_answer_is_on_the_timeline() -> None:
    """An outage is visible."""
    figures = Figures()
    figures.take([_request(100.0, 0.0), _request(103.1, 1.0)], [])
    assert [row.requests for row in figures.timeline()] == [1, 0, 0]


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
    assert drift(rows) == (11.0, 20.0)
    assert drift(rows[:3]) is None


@pytest.mark.parametrize("between", ["\u2028", "\x85", "\x0b", "\n", "\r\n", '"', ","])
def test_a_finding_may_quote_anything_the_target_wrote(tmp_path: Path, between: str) -> None:
    """Also what Python takes for the end of a line; the next finding is still another one."""
    details = [f"a{between}b", "next"]
    with (tmp_path / "findings-1.csv").open("w", encoding="utf-8", newline="") as file:
        for detail in details:
            csv.writer(file).writerow((1.0, "lost update", "Mine", "GET /", detail, "", "", "id"))
    assert [found.detail for found in Follower(tmp_path).findings()] == details


def test_a_warm_up_counts_findings_alone() -> None:
    """What was due in its seconds says how a target starts, and not what it can do."""
    figures = Figures(warm_up=2.0)
    requests = [_request(100.0, 0.0), _request(101.0, 0.0, error="status 500")]
    # The last one was due in the warm-up, and answered after it.
    requests += [_request(102.5, 0.0), _request(103.0, 1_500.0)]
    arrivals = [Arrival(100.0, 0.0, is_dropped=True), Arrival(102.0, 0.0, is_dropped=False)]
    figures.take(requests, [Finding(Failure.LOST_UPDATE, "")], arrivals)
    assert (figures.requests, figures.failed, len(figures.findings)) == (1, 0, 1)
    # By these the CPU and the commands of the store are divided, which are those of the whole run.
    assert figures.taken == 4
    assert (figures.arrivals().due, figures.arrivals().dropped) == (1, 0)


def test_corrected_and_uncorrected_latencies_stand_side_by_side() -> None:
    """Since a request was due, and since it was sent."""
    figures = Figures()
    figures.take([replace(_request(100.0, 900.0), uncorrected_ms=5.0)], [])
    (endpoint,) = figures.endpoints()
    assert (endpoint.percentiles["p99"], endpoint.uncorrected["p99"]) == (900.0, 5.0)


@pytest.mark.parametrize(
    ("late", "target", "is_limit"),
    [(150.0, 200.0, True), (150.0, 400.0, False), (90.0, 1.0, False)],
)
def test_a_load_generator_is_the_limit_if_most_of_what_it_measures_is_its_own(
    late: float, target: float, *, is_limit: bool
) -> None:
    """By how much it begins visits late is its own delay: they wait for no answer."""
    figures = Figures()
    delays = [late] * 2 + [1.0] * 98
    figures.take([], [], [Arrival(100.0, delay, is_dropped=False) for delay in delays])
    assert figures.arrivals().limits(target) == is_limit
    assert f"began one in a hundred visits {late:.0f} ms late" in figures.arrivals().note
