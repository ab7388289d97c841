"""The shapes of a load over time."""

from collections.abc import Callable, Mapping

_RAMP_STEPS = 10


def _steady(_: float) -> float:
    return 1.0


def _ramp(share: float) -> float:
    """Rise in ten equal steps."""
    return min(int(share * _RAMP_STEPS) + 1, _RAMP_STEPS) / _RAMP_STEPS


def _spike(share: float) -> float:
    """A fifth of the load, all of it in the middle fifth of the time, a fifth again."""
    return 1.0 if 0.4 <= share < 0.6 else 0.2


SHAPES: Mapping[str, Callable[[float], float]] = {
    "steady": _steady,
    "ramp": _ramp,
    "spike": _spike,
    "soak": _steady,
}
"""Each shape: the share of the load (0 to 1) at a share of the time (0 to 1)."""
