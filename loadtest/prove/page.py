"""`python -m loadtest prove`: makes the rows, and writes the page as Markdown and as HTML."""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest import machine, settings
from loadtest.console import say
from loadtest.prove import rows, stacks
from loadtest.prove.rows import ROWS, Measured, Options, Row
from loadtest.report import pages

_DOCUMENT = machine.CHECKOUT / "docs" / "proofs.md"
_BEGIN, _END = "<!-- make prove ARGS=--document writes this part -->", "<!-- end -->"


def main(arguments: Sequence[str]) -> int:
    """Make the rows, print and write the page; return 1 unless every row passed or did not run."""
    options = _parsed(arguments)
    how = Options(
        seconds=options.seconds,
        deploys=options.deploys,
        health_path=os.environ.get("HEALTH_PATH") or "/",
    )
    began, made = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        say("starting the stack and the stock server")
        with stacks.running(Path(folder)) as (kit, stock):
            for name in options.only or ROWS:
                row = rows.make(name, kit, stock, how)
                say(_line(row))
                made.append(row)
            runtime = kit.runtime
    data = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.description(),
        "python": machine.python(),
        "commit": machine.commit(),
        "runtime": runtime,
        "application": os.environ.get("APP_DIR", "the shop") and (
            "the application of APP_DIR" if os.environ.get("APP_DIR") else "the shop"
        ),
        "load_average": round(os.getloadavg()[0], 1),
        "seconds": round(time.monotonic() - began),
        "options": asdict(how),
        "rows": [{**asdict(row), "command": row.command} for row in made],
    }  # fmt: skip
    path = _write(data, made)
    if options.document:
        _document(data, made)
        say(f"written: {_DOCUMENT}")
    failed = [row.name for row in made if row.verdict == "failed"]
    missing = [row.name for row in made if row.verdict == "not run"]
    say(f"\npage: {path}")
    passed = len(made) - len(failed) - len(missing)
    say(f"{passed} of {len(made)} passed" + (f"; failed: {', '.join(failed)}" if failed else "")
        + (f"; not run: {', '.join(missing)}" if missing else ""))  # fmt: skip
    return 1 if failed or not passed else 0


def _line(row: Row) -> str:
    lines = [f"{row.verdict:8} {row.name}: {row.title}"]
    if row.why:
        lines.append(f"         {row.why}")
    for name, each in (("the kit", row.kit), ("stock", row.stock)):
        if each:
            lines.append(f"         {name}: {each.done}: {_figures(each)}")
            lines += [f"           {problem}" for problem in each.problems]
    return "\n".join(lines)


def _figures(each: Measured) -> str:
    return (
        f"{each.failed:,} of {each.requests:,} requests failed, {each.lost:,} of "
        f"{each.acknowledged:,} changes lost, {each.doubled:,} doubled"
    )


def share(number: int, of: int) -> str:
    """Return a count, and behind a zero the highest rate that it leaves possible."""
    if number or not of:
        return f"{number:,} of {of:,}"
    return f"0 of {of:,}, so at most 1 in {int(1 / rows.bound(of)):,}"


def _write(data: dict[str, Any], made: Sequence[Row]) -> Path:
    folder = settings.state_dir() / "prove"
    folder.mkdir(parents=True, exist_ok=True)
    name = folder / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    text = json.dumps(data, indent=1) + "\n"
    name.with_suffix(".json").write_text(text, encoding="utf-8")
    name.with_suffix(".md").write_text(_markdown(data, made), encoding="utf-8")
    return pages.write(name.with_suffix(".html"), "prove.html", **_values(data, made))


def _markdown(data: dict[str, Any], made: Sequence[Row]) -> str:
    return f"{pages.rendered('prove.md', **_values(data, made))}\n"


def _values(data: dict[str, Any], made: Sequence[Row]) -> dict[str, Any]:
    return {"data": data, "rows": made, "share": share}


def _document(data: dict[str, Any], made: Sequence[Row]) -> None:
    """Write the table into its place in docs/proofs.md."""
    text = _DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    table = _markdown(data, made).strip()
    _DOCUMENT.write_text(f"{before}{_BEGIN}\n\n{table}\n\n{_END}{after}", encoding="utf-8")


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=tuple(ROWS), metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument("--seconds", type=float, default=20, help="of load in a row")
    parser.add_argument("--deploys", type=int, default=3, help="in a row")
    parser.add_argument("--document", action="store_true", help="write docs/proofs.md")
    return parser.parse_args(arguments)
