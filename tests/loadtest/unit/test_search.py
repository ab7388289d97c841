"""The search for a capacity, on a model of a target."""

import random
from dataclasses import dataclass

import pytest

from loadtest.errors import LoadTestError
from loadtest.harness.search import STEP, Found, search


@dataclass(frozen=True)
class _Trial:
    rate: float
    is_kept: bool


class _Target:
    """Keeps the gate up to its capacity, with a spread of some per cent by chance."""

    def __init__(self, capacity: float, spread: float = 0.0, seed: int = 0) -> None:
        self._capacity, self._spread, self._random = capacity, spread, random.Random(seed)
        self.rates: list[float] = []

    def load(self, rate: float, *, is_short: bool = False) -> _Trial:
        del is_short
        self.rates.append(rate)
        return _Trial(rate, rate * self._random.gauss(1, self._spread) <= self._capacity)


def _found(target: _Target, start: float = 2.0) -> Found[_Trial]:
    return search(target.load, start)


@pytest.mark.parametrize("capacity", [2.0, 3.3, 61.0, 64.0, 997.0])
def test_a_steady_target_is_found_within_a_step(capacity: float) -> None:
    """The rate was kept, the next one was not, and the spread is the resolution."""
    found = _found(_Target(capacity))
    assert found.low == pytest.approx(found.rate)
    assert found.low <= capacity < found.high
    assert found.high == pytest.approx(found.low * STEP)


def test_a_noisy_target_is_found_within_some_per_cent() -> None:
    """A trial is kept or broken by chance within some per cent: the result hardly depends on it."""
    found = [_found(_Target(60.0, spread=0.03, seed=seed)) for seed in range(300)]
    rates = sorted(each.rate for each in found)
    assert 56 <= rates[7] <= rates[-8] <= 61
    assert all(each.low <= each.rate < each.high for each in found)


def test_a_hiccup_while_doubling_does_not_end_the_range() -> None:
    """A rate that was broken once is tried again."""
    target = _Target(60.0)
    hiccups = iter([False, False, True])

    def load(rate: float, *, is_short: bool = False) -> _Trial:
        trial = target.load(rate, is_short=is_short)
        return _Trial(rate, trial.is_kept and not next(hiccups, False))

    assert search(load, 2.0).rate > 55


def test_a_wrong_bisection_is_left() -> None:
    """A lucky trial above the capacity takes the search there, and it comes back."""
    target = _Target(40.0)

    def load(rate: float, *, is_short: bool = False) -> _Trial:
        trial = target.load(rate, is_short=is_short)
        return _Trial(rate, trial.is_kept or len(target.rates) == 8)

    assert search(load, 2.0).rate <= 40
    assert target.rates[7] > 45


def test_a_target_that_breaks_at_once_is_named() -> None:
    """With the rate, and what to do."""
    with pytest.raises(LoadTestError, match=r"at 2 visits a second\n.*RATE=0\.5"):
        _found(_Target(1.0))


def test_a_search_that_finds_no_end_gives_up() -> None:
    """The target changes for good while it is searched."""
    target = _Target(60.0)

    def load(rate: float, *, is_short: bool = False) -> _Trial:
        return _Trial(rate, target.load(rate, is_short=is_short).is_kept or len(target.rates) > 12)

    with pytest.raises(LoadTestError, match=r"(?s)not answer evenly.*STEP="):
        search(load, 2.0)
