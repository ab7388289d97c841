"""Where more load stops bringing more throughput."""

from collections.abc import Mapping, Sequence
from typing import Any

from runs.shape import RAMP_STEPS

_ENOUGH = 0.95


def of_ramp(
    timeline: Sequence[Mapping[str, float]], duration: float, most: float
) -> list[dict[str, Any]]:
    """Return each step of a ramp: its load, throughput and p95; the knee is marked.

    The knee is the smallest load with 95 % of the greatest throughput that was measured.

    Args:
        timeline: seconds, as :meth:`runs.measures.Measures.timeline` returns them.
        duration: of the ramp in seconds.
        most: users, or visits a second, of the last step.
    """
    steps = []
    for number in range(RAMP_STEPS):
        low, high = (duration * place / RAMP_STEPS for place in (number, number + 1))
        # The first second of a step still has the load of the one before.
        begin = low + 1 if high - low > 1 else low
        rows = [row for row in timeline if begin <= row["second"] < high and "p95" in row]
        if not rows:
            continue
        steps.append({
            "load": most * (number + 1) / RAMP_STEPS,
            "throughput": sum(row["requests"] - row["errors"] for row in rows) / len(rows),
            "p95": max(row["p95"] for row in rows),
            "knee": False,
        })  # fmt: skip
    greatest = max((step["throughput"] for step in steps), default=0.0)
    for step in steps:
        if step["throughput"] >= _ENOUGH * greatest:
            step["knee"] = True
            break
    return steps


def drift(timeline: Sequence[Mapping[str, float]]) -> tuple[float, float] | None:
    """Return the median p95 in ms of a run's first and last quarter, for a soak."""
    values = [row["p95"] for row in timeline if "p95" in row]
    quarter = len(values) // 4
    if not quarter:
        return None
    first, last = sorted(values[:quarter]), sorted(values[-quarter:])
    return first[quarter // 2], last[quarter // 2]
