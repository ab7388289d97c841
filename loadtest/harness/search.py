"""The search for a capacity: the highest rate at which a target keeps the gate.

A trial near that rate is kept or broken by chance as well. Therefore no single trial decides: after
doubling and bisecting, the search goes a step up after each trial that was kept, and a step down
after each that was broken. It stays where both are as likely, and crosses the capacity again and
again (the up-and-down method of Dixon and Mood, 1948). Each crossing is one measurement.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Generic, Protocol, TypeVar

from loadtest.errors import LoadTestError

STEP = 1.05
"""The ratio of neighbouring rates, and so the resolution of the search."""
CROSSINGS = 5
_MOST = 40


class Trial(Protocol):
    """One load at one rate."""

    @property
    def rate(self) -> float:
        """Visits that began each second."""

    @property
    def is_kept(self) -> bool:
        """Whether the target kept the gate."""


T = TypeVar("T", bound=Trial)
T_co = TypeVar("T_co", bound=Trial, covariant=True)


class Load(Protocol[T_co]):
    """What loads the target."""

    def __call__(self, rate: float, *, is_short: bool = False) -> T_co:
        """Load the target at a rate; a short load will do where it is far from the capacity."""


@dataclass(frozen=True)
class Found(Generic[T]):
    """What a search found.

    Attributes:
        crossings: pairs of neighbouring trials, the first of which was kept, the second broken.
    """

    crossings: Sequence[tuple[T, T]]

    @property
    def rate(self) -> float:
        """The capacity: the mean of the rates that were kept at a crossing."""
        return geometric_mean([kept.rate for kept, _ in self.crossings])

    @property
    def low(self) -> float:
        """The lowest rate that was kept at a crossing."""
        return min(kept.rate for kept, _ in self.crossings)

    @property
    def high(self) -> float:
        """The highest rate that was broken at a crossing."""
        return max(broken.rate for _, broken in self.crossings)


def search(load: Load[T], start: float) -> Found[T]:
    """Return where the target stops to keep the gate.

    The rate begins at `start`, and is doubled until the gate breaks.

    Raises:
        LoadTestError: it breaks at once, or at another rate each time.
    """
    low, high = _bracket(load, start)
    while high / low > STEP:
        middle = math.sqrt(low * high)
        if load(middle).is_kept:
            low = middle
        else:
            high = middle
    return _cross(load, low)


def _bracket(load: Load[T], start: float) -> tuple[float, float]:
    rate = start
    # Twice: a hiccup of a moment would halve the range of the search.
    while load(rate, is_short=True).is_kept or load(rate).is_kept:
        rate *= 2
    if rate == start:
        raise LoadTestError(
            f"the gate breaks already at {start:g} visits a second",
            f"begin lower: RATE={start / 4:g}; or choose other limits: PROFILE=, SLO=",
        )
    return rate / 2, rate


def _cross(load: Load[T], rate: float) -> Found[T]:
    crossings: list[tuple[T, T]] = []
    last = load(rate)
    for _ in range(_MOST):
        trial = load(last.rate * STEP if last.is_kept else last.rate / STEP)
        if trial.is_kept != last.is_kept:
            crossings.append((trial, last) if trial.is_kept else (last, trial))
        if len(crossings) == CROSSINGS:
            return Found(crossings)
        last = trial
    raise LoadTestError(
        f"the target does not answer evenly: of {_MOST} trials, only {len(crossings)} times one "
        "was kept and the next one broken",
        "load it for longer: STEP=60s; or look for what disturbs it",
    )
