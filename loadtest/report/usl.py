"""The Universal Scalability Law, fitted to measured throughputs.

Gunther, *Guerrilla Capacity Planning*: `X(N) = l N / (1 + s (N - 1) + k N (N - 1))`, where `l` is
the throughput of one worker, `s` the serial share of the work (contention), and `k` what workers
cost each other (coherency).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


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
    kept = [0, 1, 2]
    while True:
        rows = [[_terms(workers)[column] for column in kept] for workers, _ in points]
        solved = _least_squares(rows, [workers / throughput for workers, throughput in points])
        values = dict(zip(kept, solved, strict=True))
        negative = [column for column in kept[1:] if values[column] < 0]
        if not negative:
            break
        kept.remove(min(negative, key=lambda column: values[column]))
    base = values[0]
    return Law(1 / base, values.get(1, 0.0) / base, values.get(2, 0.0) / base) if base > 0 else None


def _terms(workers: float) -> tuple[float, float, float]:
    return 1.0, workers - 1, workers * (workers - 1)


def _least_squares(rows: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """Solve the normal equations by Gaussian elimination with pivots."""
    size = len(rows[0])
    system = [
        [sum(row[i] * row[j] for row in rows) for j in range(size)]
        + [sum(row[i] * value for row, value in zip(rows, values, strict=True))]
        for i in range(size)
    ]
    for i in range(size):
        pivot = max(range(i, size), key=lambda place: abs(system[place][i]))
        system[i], system[pivot] = system[pivot], system[i]
        for place in range(size):
            if place != i:
                factor = system[place][i] / system[i][i]
                system[place] = [
                    a - factor * b for a, b in zip(system[place], system[i], strict=True)
                ]
    return [system[i][size] / system[i][i] for i in range(size)]
