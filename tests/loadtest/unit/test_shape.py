"""The shapes of a load, and the drift of a soak."""

import pytest

from loadtest.harness import capacity
from loadtest.harness.figures import Second
from loadtest.shapes import SHAPES


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
