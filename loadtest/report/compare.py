"""Two runs side by side."""

from collections.abc import Sequence
from pathlib import Path

from loadtest.console import table
from loadtest.harness.result import RunResult
from loadtest.report import charts, pages
from loadtest.report.charts import Line
from loadtest.report.pages import number
from loadtest.report.run import series
from loadtest.report.terminal import MB

_HEADER = ("", "A", "B", "B/A")


def lines(a: RunResult, b: RunResult) -> list[str]:
    """Return the comparison for a terminal."""
    return [
        f"A  {_described(a)}", f"B  {_described(b)}", "",
        *(f"  {line}" for line in table([_HEADER, *_rows(a, b)])), "",
        *(f"  note: {note}" for note in _notes(a, b)),
    ]  # fmt: skip


def write(path: Path, a: RunResult, b: RunResult) -> Path:
    """Write the comparison as a page, and return its file."""
    drawn = {
        name: charts.lines(
            [Line("A", "c1", series(a.timeline, name)), Line("B", "c2", series(b.timeline, name))],
            title=f"{name} over time",
            x_unit="s",
        )
        for name in ("requests", "p95")
    }
    return pages.write(
        path, "compare.html", runs=[("A", a, _described(a)), ("B", b, _described(b))],
        header=_HEADER, rows=_rows(a, b), notes=_notes(a, b), charts=drawn,
    )  # fmt: skip


def _rows(a: RunResult, b: RunResult) -> list[tuple[str, ...]]:
    rows = [_row("requests/s", a.throughput, b.throughput)]
    rows += [
        _row(f"{point} ms", a.total.percentiles[point], b.total.percentiles[point])
        for point in ("p50", "p95", "p99")
    ]
    rows.append(_row("errors %", a.total.error_share * 100, b.total.error_share * 100))
    for kind in dict.fromkeys([*a.counts, *b.counts]):
        rows.append(_row(kind, a.counts.get(kind, 0), b.counts.get(kind, 0)))
    for tier in (tier for tier in a.tiers if tier in b.tiers):
        of_a, of_b = a.tiers[tier], b.tiers[tier]
        rows.append(_row(f"{tier}: CPU µs a request", of_a.cpu_us, of_b.cpu_us))
        rows.append(_row(f"{tier}: MB", of_a.memory / MB, of_b.memory / MB))
    if a.store and b.store:
        calls = [sum(each.store.values()) for each in (a, b)]
        rows.append(_row("store commands a request", *calls))
    points_a, points_b = ({e.name: e.percentiles for e in each.endpoints} for each in (a, b))
    for name in (name for name in points_a if name in points_b):
        rows += [
            _row(f"{name} {point} ms", points_a[name][point], points_b[name][point])
            for point in ("p50", "p99")
        ]
    return rows


def _row(name: str, a: float, b: float) -> tuple[str, ...]:
    return name, number(a), number(b), f"{b / a:.2f}" if a else "-"


def _described(result: RunResult) -> str:
    return (
        f"{result.time}, {result.verdict.word}, commit {result.surroundings.commit}, "
        f"{result.plan}, {result.seconds:.0f} s, {result.target.url}"
    )


def _notes(a: RunResult, b: RunResult) -> Sequence[str]:
    """Return what makes the two hard to compare."""
    notes = a.plan.differences(b.plan)
    if a.surroundings.machine != b.surroundings.machine:
        notes.append("the machines differ")
    if a.journeys.weights != b.journeys.weights:
        notes.append("the journeys differ")
    return [*notes, "one run each: repeat both in turn before you trust a small difference"]
