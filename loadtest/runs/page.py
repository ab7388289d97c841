"""Pages that need nothing beside them and run no script: the frame and its parts."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

_STYLE = Path(__file__).with_name("style.css")


def shell(title: str, parts: Sequence[str]) -> str:
    """Return a whole page around its parts."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "", last: str = ""
) -> str:
    """Return a table; cells are HTML already. ``last`` is the class of its last row."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f'<tr class="{last if place == len(rows) - 1 else ""}">'
        + "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in row)
        + "</tr>"
        for place, row in enumerate(rows)
    )
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def tile(value: str, label: str, tone: str = "") -> str:
    """Return one figure with its label."""
    return f'<div class="tile {tone}"><b>{escape(value)}</b><span>{escape(label)}</span></div>'


def section(title: str, *parts: str) -> str:
    """Return a section, or nothing if it has nothing to show."""
    shown = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{shown}</section>" if shown else ""
