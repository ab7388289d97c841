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
# Student's t for ten blocks and 95 %.
_T = 2.262

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
    # As many independent requests would tell as much. More than there are is chance.
    effective = total / max(1.0, spread / alone) if alone else float(total)
    return _wilson(share if point is None else point, effective)


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


def _wilson(share: float, count: float) -> Interval:
    # Wilson's interval: unlike the usual one, it is right near 0 and 1, where errors and p99 are.
    square = _T * _T / count
    middle = share + square / 2
    half = math.sqrt(square * (share * (1 - share) + square / 4))
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))
