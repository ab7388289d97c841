"""From raw data to one table: medians, how far they spread, and ratios to this library."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from loadtest.frameworks.benchmarks.spread import least_most, ratio, spread
from loadtest.frameworks.load import Generator
from loadtest.frameworks.peers import PEERS

ABSENT: Final = "–"

_REFERENCES: Final = {peer.name: peer.reference for peer in PEERS}
_WITHOUT_SERVER: Final = {peer.name for peer in PEERS if peer.place not in {"redis", "mongodb"}}

_MODES: Final = ("read", "add")
_TIERS: Final = ("app_us", "nginx_us", "store_us")

Raw = dict[str, Any]
"""The raw data of a comparison."""


@dataclass(frozen=True)
class Cell:
    """A figure, and its ratio to that of `Peer.reference`, which may be missing; both as text."""

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
        name: of the values, see `_values`.
        digits: behind the point.
        high_is_good: otherwise low is.
        spreads: whether to show the median and the middle half of the rounds, instead of the least
            and the most.
    """

    label: str
    name: str
    digits: int = 0
    high_is_good: bool = False
    spreads: bool = True


def _values(raw: Raw, peer: str) -> dict[str, list[float]]:
    """Return the figures of a peer in each round, empty where it has none."""
    samples = [sample for sample in raw["samples"] if sample["peer"] == peer]
    still = raw["still"][peer]
    loads = ("per_second", "p50_ms", "p99_ms", *_TIERS)
    return {
        **{name: [sample[name] for sample in samples] for name in loads},
        # Of those without a server, it is what another peer's idle server did meanwhile.
        "store_us": [] if peer in _WITHOUT_SERVER else [sample["store_us"] for sample in samples],
        "all_us": [sum(sample[tier] for tier in _TIERS) for sample in samples],
        **{f"{mode} trips": [still[mode]["trips"]] for mode in _MODES},
        # A server that counts no bytes says 0.
        **{f"{mode} bytes": [still[mode]["bytes"]] for mode in _MODES
           if still[mode]["bytes"] or not still[mode]["trips"]},
        "worker_mb": [still["worker"] / 1e6],
        "session": [] if still["session"] is None else [still["session"]],
    }  # fmt: skip


def generator(raw: Raw) -> Generator:
    """Return the load generator of a run; the first runs did not name it, and had wrk."""
    return Generator(raw.get("generator", Generator.WRK))


def figures(of_load: Generator) -> tuple[Figure, ...]:
    """Return the rows of the table."""
    bound = ", limited by Locust" if of_load is Generator.LOCUST else ""
    return (
        Figure(f"requests/s{bound}", "per_second", high_is_good=True),
        Figure("p50, ms", "p50_ms", 1),
        Figure("p99, ms", "p99_ms", 1),
        Figure("CPU of the application, µs/request", "app_us"),
        Figure("CPU of nginx, µs/request", "nginx_us"),
        Figure("CPU of the store, µs/request", "store_us"),
        Figure("CPU of all three, µs/request", "all_us"),
        Figure("round trips to the store, reading", "read trips", spreads=False),
        Figure("round trips to the store, adding", "add trips", spreads=False),
        Figure("bytes to and from the store, reading", "read bytes", spreads=False),
        Figure("bytes to and from the store, adding", "add bytes", spreads=False),
        Figure("memory of a worker, MB", "worker_mb", 1, spreads=False),
        Figure("memory of the store, bytes/session", "session", spreads=False),
    )


def rows(raw: Raw, peers: Sequence[str]) -> list[Row]:
    """Return the table of a run for these peers."""
    found = {peer: _values(raw, peer) for peer in peers}
    return [
        _row(figure, {peer: values.get(figure.name, []) for peer, values in found.items()})
        for figure in figures(generator(raw))
    ]


def _row(figure: Figure, values: Mapping[str, Sequence[float]]) -> Row:
    middles = {
        peer: round(statistics.median(found), figure.digits)
        for peer, found in values.items()
        if found
    }
    best = (max if figure.high_is_good else min)(middles.values(), default=None)
    # If all are equal, none is best.
    distinct = len(set(middles.values())) > 1
    cells = []
    for peer, found in values.items():
        if not found:
            cells.append(Cell(ABSENT))
            continue
        text = spread(found, figure.digits) if figure.spreads else least_most(found, figure.digits)
        reference = values.get(_REFERENCES[peer], [])
        compared = (
            peer != _REFERENCES[peer] and figure.spreads and bool(reference) and all(reference)
        )
        # Counts have no ratio: the library's is often zero.
        cells.append(
            Cell(
                _dashed(text),
                "× " + _dashed(ratio(found, reference)) if compared else "",
                distinct and middles[peer] == best,
            )
        )
    return Row(figure.label, tuple(cells))


def _dashed(text: str) -> str:
    return text.replace("-", "–")
