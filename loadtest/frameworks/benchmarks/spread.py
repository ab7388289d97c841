"""Medians, and how far they can be trusted."""

import random
import statistics
from collections.abc import Sequence


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return the median with the middle half of the values: `103 (98-110)`."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def least_most(values: Sequence[float], digits: int = 0) -> str:
    """Return the least and the greatest value: `98-110`, or one number if they look alike."""
    texts = [f"{value:.{digits}f}" for value in (min(values), max(values))]
    return "-".join(dict.fromkeys(texts))


def ratio(mine: Sequence[float], theirs: Sequence[float]) -> str:
    """Return the ratio of two medians, and where 90 % of it lie if the rounds are drawn again.

    Not the median of the ratios: a difference near zero in one noisy round would make it anything.
    """
    low, middle, high = ratios(mine, theirs)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def ratios(mine: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Return what `ratio` shows as numbers: the low end, the ratio, the high end."""
    draw = random.Random(1)
    pairs = list(zip(mine, theirs, strict=True))
    drawn = sorted(_of_medians(draw.choices(pairs, k=len(pairs))) for _ in range(1000))
    return drawn[50], _of_medians(pairs), drawn[949]


def _of_medians(pairs: Sequence[tuple[float, float]]) -> float:
    mine, theirs = zip(*pairs, strict=True)
    return float(statistics.median(mine) / statistics.median(theirs))
