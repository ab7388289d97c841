"""Two runs side by side."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from runs import archive, charts, page, summary
from runs.charts import Line, number

_MB = 1024 * 1024
_POINTS = ("p50", "p95", "p99")


def lines(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return the comparison for a terminal."""
    rows = [("", "A", "B", "B/A"), *_rows(first, second)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = [
        "  " + row[0].ljust(widths[0]) + "".join(
            "  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        )
        for row in rows
    ]  # fmt: skip
    return [
        f"A  {_told(first)}", f"B  {_told(second)}", "", *shown, "",
        *(f"  note: {note}" for note in _notes(first, second)),
    ]  # fmt: skip


def write_page(first: Path, second: Path) -> Path:
    """Write the comparison of two runs' folders into the second one and return the file."""
    a, b = archive.read(first), archive.read(second)
    path = second / f"compared-with-{first.name}.html"
    path.write_text(_page(a, b), encoding="utf-8")
    return path


def _page(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    verdicts = "".join(
        f'<div class="verdict {one["verdict"]["word"]}"><h1><span class="word">'
        f"{one['verdict']['word']}</span>{name}</h1>"
        f'<p class="soft">{escape(_told(one))}</p>'
        + "".join(f"<p>{escape(reason)}</p>" for reason in one["verdict"]["reasons"])
        + "</div>"
        for name, one in (("A", a), ("B", b))
    )
    notes = "".join(f'<p class="soft">Note: {escape(note)}.</p>' for note in _notes(a, b))
    rows = [[escape(cell) for cell in row] for row in _rows(a, b)]
    return page.shell(
        "Two load tests",
        [
            f'<div class="pair">{verdicts}</div>',
            page.section("Figures", page.table(("", "A", "B", "B/A"), rows), notes),
            page.section(
                "Over time",
                "<h3>Requests a second</h3>", *_chart(a, b, "requests"),
                "<h3>p95 of all requests, ms</h3>", *_chart(a, b, "p95"),
            ),
        ],
    )  # fmt: skip


def _chart(a: Mapping[str, Any], b: Mapping[str, Any], name: str) -> tuple[str, str]:
    drawn = [
        Line(label, tone, [(row["second"], row[name]) for row in one["timeline"] if name in row])
        for label, tone, one in (("A", "c1", a), ("B", "c2", b))
    ]
    return charts.legend(drawn), charts.lines(drawn, title=f"{name} over time", x_unit="s")


def _rows(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    rows = [_row("requests/s", a["throughput"], b["throughput"])]
    rows += [
        _row(f"{point} ms", a["total"]["percentiles"][point], b["total"]["percentiles"][point])
        for point in _POINTS
    ]
    rows.append(_row("errors %", a["total"]["error_share"] * 100, b["total"]["error_share"] * 100))
    for kind in dict.fromkeys([*a["findings"], *b["findings"]]):
        rows.append(_row(kind, a["findings"].get(kind, 0), b["findings"].get(kind, 0)))
    for tier in (tier for tier in a["tiers"] if tier in b["tiers"]):
        of_a, of_b = a["tiers"][tier], b["tiers"][tier]
        rows.append(_row(f"{tier}: CPU µs a request", of_a["cpu_us"], of_b["cpu_us"]))
        rows.append(_row(f"{tier}: MB", of_a["memory"] / _MB, of_b["memory"] / _MB))
    if a["store"] and b["store"]:
        rows.append(_row("store commands a request", *(sum(x["store"].values()) for x in (a, b))))
    of_a, of_b = ({e["name"]: e for e in one["endpoints"]} for one in (a, b))
    for name in (name for name in of_a if name in of_b):
        rows += [
            _row(f"{name} {point} ms", *(of[name]["percentiles"][point] for of in (of_a, of_b)))
            for point in ("p50", "p99")
        ]
    return rows


def _row(name: str, a: float, b: float) -> tuple[str, str, str, str]:
    return name, number(a), number(b), f"{b / a:.2f}" if a else "-"


def _told(document: Mapping[str, Any]) -> str:
    return (
        f"{document['time']}, {document['verdict']['word']}, commit "
        f"{document['surroundings']['commit']}, {summary.loop(document)}, "
        f"{document['seconds']:.0f} s, {document['target']['url']}"
    )


def _notes(a: Mapping[str, Any], b: Mapping[str, Any]) -> Sequence[str]:
    """Return what makes the two hard to compare."""
    notes = []
    if a["surroundings"]["machine"] != b["surroundings"]["machine"]:
        notes.append("the machines differ")
    notes += [
        f"{name} differs: {a['plan'][name]} and {b['plan'][name]}"
        for name in ("users", "rate", "shape", "think", "scenario", "processes")
        if a["plan"][name] != b["plan"][name]
    ]
    if a["journeys"]["weights"] != b["journeys"]["weights"]:
        notes.append("the journeys differ")
    notes.append("one run each: repeat both in turn before believing a small difference")
    return notes
