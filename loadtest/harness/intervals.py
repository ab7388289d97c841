"""Between which values another run of the same length would measure: 95 % confidence intervals.

The requests of one run depend on each other: a pause of the machine slows all that are under way.
Taken one by one, they look more certain than they are. Therefore a run is cut into ten blocks of
equal length, and how much these differ tells how much another run would (batch means; Schmeiser,
Batch Size Effects in the Analysis of Simulation Output, 1982). A disturbance as long as a block,
such as another program in the second half of a run, is not covered.
"""

import math
from collections.abc import Sequence

BLOCKS = 10
# Outside of an interval, on each side.
_TAIL = 0.025
# Student's t for ten blocks and 95 %, and what it would be for any number of blocks.
_T, _Z = 2.262, 1.960

Interval = tuple[float, float]


def of_share(hits: Sequence[int], counts: Sequence[int], point: float | None = None) -> Interval:
    """Return the interval of a share: by block, `hits` of `counts`.

    Args:
        hits: how many had the property.
        counts: how many there were.
        point: the share to put the interval around, by default the one that was measured. Around
            0.99, with the requests that are not above p99 as hits, it is the interval of ranks
            between which the p99 lies (Woodruff, Confidence Intervals for Medians, 1952).
    """
    total = sum(counts)
    share = sum(hits) / total
    spread = sum((hit - share * count) ** 2 for hit, count in zip(hits, counts, strict=True))
    spread *= len(counts) / (len(counts) - 1)
    alone = total * share * (1 - share)
    # As many independent requests would tell as much. More than there are is chance. The spread of
    # ten blocks is itself uncertain (Korn and Graubard, Confidence Intervals for Proportions with
    # Small Expected Number of Positive Counts, 1998).
    effective = total / max(1.0, spread / alone) if alone else float(total)
    effective *= (_Z / _T) ** 2
    return exact((share if point is None else point) * effective, effective)


def exact(hits: float, count: float) -> Interval:
    """Return the interval of the share of `hits` in `count` independent events (or parts of them).

    It is exact also for a single hit (Clopper and Pearson, The Use of Confidence or Fiducial Limits
    Illustrated in the Case of the Binomial, 1934).
    """
    low = _quantile(_TAIL, hits, count - hits + 1) if hits > 0 else 0.0
    high = _quantile(1 - _TAIL, hits + 1, count - hits) if hits < count else 1.0
    return low, high


def fewest(point: float) -> int:
    """Return how many requests it takes, at least, to tell a percentile (0 to 100).

    Of fewer, all may be below the true percentile by chance, and nothing shows how high it is.
    """
    return math.ceil(math.log(_TAIL) / math.log(point / 100))


def of_rate(counts: Sequence[int], seconds: float) -> Interval:
    """Return the interval of events a second, from how many there were in each block."""
    mean = sum(counts) / len(counts)
    spread = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
    half = _T * math.sqrt(spread * len(counts))
    return max(0.0, sum(counts) - half) / seconds, (sum(counts) + half) / seconds


def of_difference(a: float, of_a: Interval, b: float, of_b: Interval) -> Interval:
    """Return the interval of b - a, from that of each.

    Their distances to a and b are added as those of independent values are (MOVER; Zou and Donner,
    Construction of confidence limits about effect measures, 2008).
    """
    low = math.hypot(b - of_b[0], of_a[1] - a)
    high = math.hypot(of_b[1] - b, a - of_a[0])
    return b - a - low, b - a + high


def of_ratio(a: float, of_a: Interval, b: float, of_b: Interval) -> Interval | None:
    """Return the interval of b / a, from that of each; `None` if one of them reaches 0."""
    if min(a, b, of_a[0], of_b[0]) <= 0:
        return None
    log_a, log_b = (tuple(map(math.log, ends)) for ends in (of_a, of_b))
    low, high = of_difference(math.log(a), (log_a[0], log_a[1]), math.log(b), (log_b[0], log_b[1]))
    return math.exp(low), math.exp(high)


def _quantile(share: float, a: float, b: float) -> float:
    """Return the value below which this share of a beta distribution is."""
    low, high = 0.0, 1.0
    # A part in ten thousand millions.
    for _ in range(34):
        middle = (low + high) / 2
        low, high = (middle, high) if _beta(middle, a, b) < share else (low, middle)
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """Return which share of a beta distribution is below x: DLMF 8.17.22, by Lentz's method."""
    if x > (a + 1) / (a + b + 2):
        # The fraction converges slowly there.
        return 1 - _beta(1 - x, b, a)
    log_whole = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    value = math.exp(a * math.log(x) + b * math.log1p(-x) - log_whole) / a
    upper, lower = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value *= lower
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            upper, lower = 1 + term / upper, 1 / (1 + term * lower)
            value *= upper * lower
        if abs(upper * lower - 1) < 1e-12:
            break
    return value
