"""Two runs side by side."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from loadtest.console import table
from loadtest.harness import intervals
from loadtest.harness.endpoint import Endpoint
from loadtest.harness.intervals import Interval
from loadtest.harness.result import RunResult
from loadtest.report import charts, pages
from loadtest.report.charts import Line
from loadtest.report.pages import number
from loadtest.report.run import series
from loadtest.report.terminal import MB

_REPEAT = (
    "one run each: what changes slowly from run to run looks like a difference, so repeat both in "
    "turn before you trust a small one"
)
_NOISE, _DIFFERS = "noise", "differs"
_HEADER = ("", "A", "B", "B/A", "95 %", "")


def lines(a: RunResult, b: RunResult) -> list[str]:
    """Return the comparison for a terminal."""
    rows = _rows(a, b)
    return [
        f"A  {_described(a)}", f"B  {_described(b)}", "",
        *(f"  {line}" for line in table([_HEADER, *rows])), "",
        *(f"  note: {note}" for note in _notes(a, b, rows)),
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
    rows = _rows(a, b)
    return pages.write(
        path, "compare.html", runs=[("A", a, _described(a)), ("B", b, _described(b))],
        header=_HEADER, rows=rows, notes=_notes(a, b, rows), charts=drawn,
    )  # fmt: skip


def _rows(a: RunResult, b: RunResult) -> list[tuple[str, ...]]:
    rate = _ratio(a.throughput, a.throughput_interval, b.throughput, b.throughput_interval)
    rows = [_row("requests/s", a.throughput, b.throughput, rate)]
    rows += [_of_point(point, a.total, b.total) for point in ("p50", "p95", "p99")]
    rows.append(_of_errors(a.total, b.total))
    for kind in dict.fromkeys([*a.counts, *b.counts]):
        rows.append(_row(kind, a.counts.get(kind, 0), b.counts.get(kind, 0)))
    for tier in (tier for tier in a.tiers if tier in b.tiers):
        of_a, of_b = a.tiers[tier], b.tiers[tier]
        rows.append(_row(f"{tier}: CPU µs a request", of_a.cpu_us, of_b.cpu_us))
        rows.append(_row(f"{tier}: MB", of_a.memory / MB, of_b.memory / MB))
    if a.store and b.store:
        calls_a, calls_b = (sum(each.store.values()) for each in (a, b))
        rows.append(_row("store commands a request", calls_a, calls_b))
    ends_a, ends_b = ({end.name: end for end in each.endpoints} for each in (a, b))
    for name in (name for name in ends_a if name in ends_b):
        rows += [
            _of_point(point, ends_a[name], ends_b[name], f"{name} ") for point in ("p50", "p99")
        ]
    return rows


def _of_point(point: str, a: Endpoint, b: Endpoint, name: str = "") -> tuple[str, ...]:
    of_a, of_b = a.percentiles[point], b.percentiles[point]
    ratio = _ratio(of_a, a.intervals.get(point), of_b, b.intervals.get(point))
    return _row(f"{name}{point} ms", of_a, of_b, ratio)


def _of_errors(a: Endpoint, b: Endpoint) -> tuple[str, ...]:
    """Compare by the difference: often there is no error on one side, and so no ratio."""
    found = None
    if a.intervals and b.intervals:
        of_a, of_b = a.intervals["errors"], b.intervals["errors"]
        low, high = intervals.of_difference(a.error_share, of_a, b.error_share, of_b)
        found = low * 100, high * 100
    return _row("errors %", a.error_share * 100, b.error_share * 100, found, same=0)


def _ratio(a: float, of_a: Interval | None, b: float, of_b: Interval | None) -> Interval | None:
    return intervals.of_ratio(a, of_a, b, of_b) if of_a and of_b else None


def _row(
    name: str, a: float, b: float, found: Interval | None = None, *, same: float = 1
) -> tuple[str, ...]:
    """Return a row; `found` is the interval of how they differ, and holds `same` if by chance."""
    shown = f"{found[0]:.2f} to {found[1]:.2f}" if found else ""
    word = (_NOISE if found[0] <= same <= found[1] else _DIFFERS) if found else ""
    return name, number(a), number(b), f"{b / a:.2f}" if a else "-", shown, word


def _described(result: RunResult) -> str:
    return (
        f"{result.time}, {result.verdict.word}, commit {result.surroundings.commit}, "
        f"{result.plan}, {result.seconds:.0f} s, {result.target.url}"
    )


def _notes(a: RunResult, b: RunResult, rows: Sequence[tuple[str, ...]]) -> Sequence[str]:
    """Return what makes the two hard to compare."""
    notes = a.plan.differences(b.plan)
    if a.surroundings.machine != b.surroundings.machine:
        notes.append("the machines differ")
    if a.journeys.weights != b.journeys.weights:
        notes.append("the journeys differ")
    words = Counter(row[-1] for row in rows)
    if differ := words[_DIFFERS]:
        compared = differ + words[_NOISE]
        notes.append(
            f"{differ} of {compared} rows differ; between two runs of the same, about one row in "
            "twenty does, by chance"
        )
    return [*notes, _REPEAT]
