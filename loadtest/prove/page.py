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
from loadtest.frameworks.benchmarks.page import bound
from loadtest.prove import stacks
from loadtest.prove.row import Measured, Options, Row, made
from loadtest.prove.rows import ROWS
from loadtest.prove.soak import soak
from loadtest.report import pages

_DOCUMENT = machine.CHECKOUT / "docs" / "proofs.md"
_BEGIN = "<!-- make prove RUNTIME={} ARGS=--document writes this part -->"
_STOCK = {
    "local": "Stock is Flask with Flask-Session over a Valkey of its own, under gunicorn -w 4 "
    "without other settings, behind one nginx; a deployment of it is a restart.",
    "docker": "Stock is Flask with Flask-Session, gunicorn -w 4, nginx and Redis in one plain "
    "Compose file; a deployment of it is docker compose up --build -d.",
}
_ROWS = {**ROWS, "soak": soak}


def main(arguments: Sequence[str]) -> int:
    """Make the rows, print and write the page; return 1 unless all passed that could be made."""
    options = _parsed(arguments)
    soak_time = os.environ.get("SOAK")
    how = Options(
        seconds=options.seconds,
        deploys=options.deploys,
        rollbacks=options.rollbacks,
        times=options.times,
        health_path=os.environ.get("HEALTH_PATH") or "/",
        soak=settings.parse({"DURATION": soak_time}).plan.duration if soak_time else 0,
    )
    began = time.monotonic()
    found = _made(options.only or (["soak"] if how.soak else list(ROWS)), how)
    runtime = os.environ.get("RUNTIME") or "local"
    is_foreign = bool(os.environ.get("APP_DIR"))
    data = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.description(),
        "python": machine.python(),
        "commit": machine.commit(),
        "runtime": runtime,
        "application": "the application of APP_DIR" if is_foreign else "the shop",
        "stock": _STOCK[runtime],
        "load_average": round(os.getloadavg()[0], 1),
        "seconds": round(time.monotonic() - began),
        "options": asdict(how),
        "command": _command(runtime, how),
        "rows": [asdict(row) for row in found],
    }
    say(f"\npage: {_write(data, found)}")
    if options.document:
        pages.insert(_DOCUMENT, _BEGIN.format(runtime), _markdown(data, found))
        say(f"written: {_DOCUMENT}")
    names = {
        verdict: [row.name for row in found if row.verdict == verdict]
        for verdict in ("passed", "failed", "not run")
    }
    rest = [f"{each}: {', '.join(names[each])}" for each in ("failed", "not run") if names[each]]
    say("; ".join([f"{len(names['passed'])} of {len(found)} passed", *rest]))
    return 1 if names["failed"] or not names["passed"] else 0


def _command(runtime: str, how: Options) -> str:
    """Return what repeats a row, with its name in the place of ROW."""
    given = {name: getattr(how, name) for name in ("seconds", "deploys", "rollbacks", "times")}
    changed = [f" --{n} {v:g}" for n, v in given.items() if v != getattr(Options, n)]
    return f"make prove RUNTIME={runtime} ARGS='--only ROW{''.join(changed)}'"


def _made(names: Sequence[str], how: Options) -> list[Row]:
    found = []
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        say("starting the stack and the stock server")
        with stacks.running(Path(folder)) as (kit, stock):
            for name in names:
                found.append(made(name, _ROWS[name], kit, stock, how))
                say(_line(found[-1]))
    return found


def _line(row: Row) -> str:
    lines = [f"{row.verdict:8} {row.name}: {row.title} ({row.seconds} s)"]
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
    """Return a count of so many."""
    return f"{number:,} of {of:,}"


def at_most(each: Measured) -> str:
    """Return the highest rates that the zeros of what was measured leave possible."""
    counts = (
        ("failed", each.failed, each.requests),
        ("lost", each.lost, each.acknowledged),
    )
    return ", ".join(
        f"{name} 1 in {int(100 / bound(of)):,}" for name, number, of in counts if of and not number
    )


def _write(data: dict[str, Any], found: Sequence[Row]) -> Path:
    folder = settings.state_dir() / "prove"
    folder.mkdir(parents=True, exist_ok=True)
    name = folder / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    text = json.dumps(data, indent=1) + "\n"
    name.with_suffix(".json").write_text(text, encoding="utf-8")
    name.with_suffix(".md").write_text(_markdown(data, found), encoding="utf-8")
    return pages.write(name.with_suffix(".html"), "prove.html", **_values(data, found))


def _markdown(data: dict[str, Any], found: Sequence[Row]) -> str:
    return f"{pages.rendered('prove.md', **_values(data, found))}\n"


def _values(data: dict[str, Any], found: Sequence[Row]) -> dict[str, Any]:
    return {"data": data, "rows": found, "share": share, "at_most": at_most}


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=tuple(_ROWS), metavar="ROW", help=", ".join(_ROWS)
    )
    parser.add_argument("--seconds", type=float, default=20, help="of load in a row")
    parser.add_argument("--deploys", type=int, default=3, help="in a row")
    parser.add_argument("--rollbacks", type=int, default=1, help="in a row")
    parser.add_argument("--times", type=int, default=1, help="that each wrong release is deployed")
    parser.add_argument("--document", action="store_true", help="write docs/proofs.md")
    return parser.parse_args(arguments)
