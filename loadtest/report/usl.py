"""The Universal Scalability Law, fitted to measured throughputs.

Gunther, *Guerrilla Capacity Planning*: `X(N) = l N / (1 + s (N - 1) + k N (N - 1))`, where `l` is
the throughput of one worker, `s` the serial share of the work (contention), and `k` what workers
cost each other (coherency).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression


@dataclass(frozen=True)
class Law:
    """A fitted law.

    Attributes:
        alone: throughput of one worker, requests a second.
        contention: 0 for none, 1 if everything is serial; above 1, each further worker lowers the
            throughput.
        coherency: 0 for none.
    """

    alone: float
    contention: float
    coherency: float

    def throughput(self, workers: float) -> float:
        """Return the throughput of so many workers, requests a second."""
        more = workers - 1
        return self.alone * workers / (1 + self.contention * more + self.coherency * workers * more)

    @property
    def peak(self) -> float:
        """The number of workers with the greatest throughput, from 1 to infinity."""
        if self.coherency <= 0:
            return 1.0 if self.contention > 1 else math.inf
        return math.sqrt(max((1 - self.contention) / self.coherency, 1.0))


def fit(points: Sequence[tuple[float, float]]) -> Law | None:
    """Fit the law to (workers, throughput) by least squares; `None` for fewer than three sizes.

    `N / X` is linear in `1/l`, `s/l` and `k/l`. None of the three may be negative: a
    negative one is left out, and the others are fitted again.
    """
    if len({workers for workers, _ in points}) < 3:
        return None
    serial = [workers - 1 for workers, _ in points]
    pairs = [workers * (workers - 1) for workers, _ in points]
    times = [workers / throughput for workers, throughput in points]
    # The slope of a multiple regression is that of what the other variable leaves unexplained.
    coherency = linear_regression(_unexplained(pairs, serial), _unexplained(times, serial)).slope
    coherency = max(coherency, 0.0)
    without = [time - coherency * pair for time, pair in zip(times, pairs, strict=True)]
    contention, base = linear_regression(serial, without)
    if contention < 0:
        contention = 0.0
        coherency, base = linear_regression(pairs, times)
    if coherency < 0:
        coherency, base = 0.0, fmean(times)
    return Law(1 / base, contention / base, coherency / base) if base > 0 else None


def _unexplained(values: Sequence[float], by: Sequence[float]) -> list[float]:
    slope, intercept = linear_regression(by, values)
    return [value - slope * x - intercept for value, x in zip(values, by, strict=True)]
