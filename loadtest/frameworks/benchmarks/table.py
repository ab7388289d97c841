"""From raw data to one table: medians, how far they spread, and ratios to this library."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from loadtest.frameworks.benchmarks.race import ADDITIONS
from loadtest.frameworks.benchmarks.spread import ratio, spread
from loadtest.frameworks.load import Generator

REFERENCE: Final = "unsticky"
"""The peer that ratios refer to."""

ABSENT: Final = "–"

Raw = dict[str, Any]
"""The raw data of a comparison."""


@dataclass(frozen=True)
class Cell:
    """A figure, and its ratio to the reference's; both as text, the ratio may be missing."""

    text: str
    ratio: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One figure of all peers, in the order of the header."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Figure:
    """A row: its label and its values.

    Attributes:
        label: with its unit.
        values: the figure of a peer in each round, empty where it has none.
        digits: behind the point.
        high_is_good: otherwise low is.
        spreads: whether to show the median and the middle half of the rounds, instead of the least
            and the most.
    """

    label: str
    values: Callable[[Raw, str], list[float]]
    digits: int = 0
    high_is_good: bool = False
    spreads: bool = True


def _sampled(name: str, scale: float = 1) -> Callable[[Raw, str], list[float]]:
    return lambda raw, peer: [
        sample[name] * scale for sample in raw["samples"] if sample["peer"] == peer
    ]


def _all_tiers(raw: Raw, peer: str) -> list[float]:
    tiers = [_sampled(f"{tier}_us")(raw, peer) for tier in ("app", "nginx", "store")]
    return [sum(each) for each in zip(*tiers, strict=True)]


def _still(*path: str, scale: float = 1) -> Callable[[Raw, str], list[float]]:
    def values(raw: Raw, peer: str) -> list[float]:
        found = raw["still"][peer]
        for name in path:
            found = found[name]
        return [] if found is None else [found * scale]

    return values


def _raced(race: str, name: str) -> Callable[[Raw, str], list[float]]:
    return lambda raw, peer: [each[race][name] for each in raw["raced"] if each["peer"] == peer]


def _lost(raw: Raw, peer: str) -> list[float]:
    return [each["lost"] for each in raw["raced"] if each["peer"] == peer]


def generator(raw: Raw) -> Generator:
    """Return the load generator of a run; the first runs did not name it, and had wrk."""
    return Generator(raw.get("generator", Generator.WRK))


def figures(logouts: int, of_load: Generator) -> tuple[Figure, ...]:
    """Return the rows of the table; `logouts` is how many there were in each race."""
    bound = ", limited by Locust" if of_load is Generator.LOCUST else ""
    return (
        Figure(f"lost updates of {ADDITIONS}", _lost, spreads=False),
        Figure(f"refused updates of {ADDITIONS}", _raced("additions", "refused"), spreads=False),
        Figure(f"revived sessions of {logouts}", _raced("revivals", "revived"), spreads=False),
        Figure(f"old cookies that work after logout, of {logouts}",
               _raced("revivals", "replayed"), spreads=False),
        Figure(f"requests/s{bound}", _sampled("per_second"), high_is_good=True),
        Figure("p50, ms", _sampled("p50_ms"), 1),
        Figure("p99, ms", _sampled("p99_ms"), 1),
        Figure("CPU of the application, µs/request", _sampled("app_us")),
        Figure("CPU of nginx, µs/request", _sampled("nginx_us")),
        Figure("CPU of the store, µs/request", _sampled("store_us")),
        Figure("CPU of all three, µs/request", _all_tiers),
        Figure("round trips to the store, reading", _still("read", "trips"), spreads=False),
        Figure("round trips to the store, adding", _still("add", "trips"), spreads=False),
        Figure("bytes to and from the store, reading", _still("read", "bytes"), spreads=False),
        Figure("bytes to and from the store, adding", _still("add", "bytes"), spreads=False),
        Figure("memory of a worker, MB", _still("worker", scale=1e-6), 1, spreads=False),
        Figure("memory of the store, bytes/session", _still("session"), spreads=False),
    )  # fmt: skip


def rows(raw: Raw, peers: Sequence[str]) -> list[Row]:
    """Return the table of a run for these peers."""
    return [
        _row(raw, peers, figure) for figure in figures(raw["options"]["logouts"], generator(raw))
    ]


def _row(raw: Raw, peers: Sequence[str], figure: Figure) -> Row:
    values = {peer: figure.values(raw, peer) for peer in peers}
    middles = {
        peer: round(statistics.median(found), figure.digits)
        for peer, found in values.items()
        if found
    }
    best = (max if figure.high_is_good else min)(middles.values(), default=None)
    # If all are equal, none is best.
    distinct = len(set(middles.values())) > 1
    reference = values.get(REFERENCE, [])
    cells = []
    for peer, found in values.items():
        if not found:
            cells.append(Cell(ABSENT))
            continue
        text = spread(found, figure.digits) if figure.spreads else _range(found, figure.digits)
        compared = peer != REFERENCE and figure.spreads and any(reference)
        # Counts have no ratio: the library's is often zero.
        cells.append(
            Cell(
                _dashed(text),
                "× " + _dashed(ratio(found, reference)) if compared else "",
                distinct and middles[peer] == best,
            )
        )
    return Row(figure.label, tuple(cells))


def _range(values: Iterable[float], digits: int) -> str:
    texts = [f"{value:.{digits}f}" for value in sorted(values)]
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]}-{texts[-1]}"


def _dashed(text: str) -> str:
    return text.replace("-", "–")
