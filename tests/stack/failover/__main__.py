"""`python -m tests.stack.failover [TIMES]`: what a fail-over costs the shop's visitors.

Each fault in each mode so many times; what a folder already has is not run again. Prints a table;
the folder keeps the results, and each request and change of every run.
"""

import argparse
import gzip
import json
import os
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Final

import httpx
import redis

from loadtest import machine
from loadtest.report import pages
from tests.stack.failover.run import DOWN_AFTER, FAULTS, MODES, Result, Run, failed_over
from tests.stack.failover.visitors import SHOPPERS
from tests.support.checkout import ROOT

_DOCUMENT: Final = ROOT / "docs" / "guarantees.md"
_BEGIN: Final = "<!-- python -m tests.stack.failover --document writes this part -->"

_ZEROS: Final = {
    "hung": "Requests beyond their deadline",
    "wrong": "without an answer, or with another error than 503",
    "early": "failed before the fault",
    "twice": "changes that are there twice",
    "restarted": "workers restarted",
}
"""What no fail-over may cost, in any mode."""

_COLUMNS: Final = (
    "what happens to the primary",
    "mode",
    "runs",
    "changes lost",
    "logouts and revocations undone",
    "these had been acknowledged",
    "unknown",
    "Sentinel names another",
    "a visitor had nothing acknowledged for",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return 1 if something was found that no fail-over may cost."""
    chosen = _parsed(arguments)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    kept, failed = chosen.folder / "results.jsonl", False
    kept.touch()
    done = Counter((result.fault, result.mode) for result in _read(kept))
    for number in range(1, chosen.times + 1):
        for fault, mode in product(chosen.only, chosen.mode):
            if done[fault, mode] >= number:
                continue
            try:
                run = failed_over(fault, mode)
            except (AssertionError, OSError, redis.RedisError, httpx.HTTPError) as error:
                failed = True
                _say(f"{fault}, {mode}: not measured: {error}")
                continue
            name = f"{fault}-{mode}-{number}".replace(" ", "-")
            _write(run, chosen.folder / f"{name}.jsonl.gz")
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(run.result._asdict()) + "\n")
            _say(str(run.result))
    results = _read(kept)
    text = _text(results)
    _say(f"\n{text}\n\nraw data: {chosen.folder}")
    if chosen.document:
        pages.insert(_DOCUMENT, _BEGIN, text)
    return int(failed or any(map(found_wrong, results)))


def found_wrong(result: Result) -> bool:
    """Tell whether a fail-over did what none may do, in any mode."""
    return any(getattr(result, name) for name in _ZEROS)


def _write(run: Run, path: Path) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        entries = [run.result._asdict() | {"moment": run.moment}]
        entries += [request._asdict() for request in run.requests]
        # Enough of a cookie to tell sessions apart.
        entries += [vars(each) | {"cookie": each.cookie[-12:]} for each in run.changes]
        file.writelines(f"{json.dumps(entry)}\n" for entry in entries)


def _read(path: Path) -> list[Result]:
    return [Result(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _text(results: Sequence[Result]) -> str:
    """Return the table and what it was measured with, as Markdown."""
    lines = [
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
    ]
    for fault, mode in product(FAULTS, MODES):
        if runs := [each for each in results if (each.fault, each.mode) == (fault, mode)]:
            lines.append(f"| {FAULTS[fault].title} | {mode} | {' | '.join(_cells(runs))} |")
    return "\n".join([*lines, "", *(_summary(results) if results else ())])


def _cells(runs: Sequence[Result]) -> Iterator[str]:
    gone = [each for each in runs if each.lost or each.undone]
    yield str(len(runs))
    yield _share([each.lost for each in runs], sum(each.acknowledged for each in runs))
    yield _share([each.undone for each in runs], sum(each.ends for each in runs))
    yield " to ".join(map(_short, _window(gone))) + " s" if gone else ""
    yield f"{sum(each.unknown for each in runs):,}"
    yield _spread([each.named for each in runs if each.named])
    yield _spread([each.away for each in runs])


def _window(runs: Sequence[Result]) -> tuple[float, float]:
    """Return when the first and the last change that was lost or undone was acknowledged."""
    return min(each.first for each in runs), max(each.last for each in runs)


def _share(counts: Sequence[int], of: int) -> str:
    most = f"; {max(counts):,} in a run" if any(counts) and len(counts) > 1 else ""
    return f"{sum(counts):,} of {of:,}{most}"


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return ""
    least, most = _short(min(seconds)), _short(max(seconds))
    middle = f"{_short(statistics.median(seconds))} s"
    return middle if least == most else f"{middle} ({least} to {most})"


def _short(seconds: float) -> str:
    return f"{round(seconds, 1) + 0.0:.1f}"  # not -0.0


def _summary(results: Sequence[Result]) -> Iterator[str]:
    """Yield sentences about all runs."""
    zeros = [
        f"{words}: {sum(getattr(each, name) for each in results):,}"
        for name, words in _ZEROS.items()
    ]
    moved = [each for each in results if each.named]
    cut = [each for each in results if each.fault == "cut"]
    loads = [each.load for each in results]
    yield (
        f"{len(results):,} runs, {sum(each.requests for each in results):,} requests, "
        f"{sum(each.unavailable for each in results):,} of them answered 503; the longest took "
        f"{max(each.longest for each in results):.1f} s. {'; '.join(zeros)}. "
        f"In {sum(each.served - each.named <= 1 for each in moved)} of {len(moved)} runs all were "
        "served within a second after a Sentinel named the other primary. In "
        f"{sum(each.switches > 1 for each in results)} runs a server that was up counted as down. "
        f"In {sum(each.apart for each in cut)} of {len(cut)} runs with a server that was cut off, "
        "the network dropped its packets."
    )
    yield ""
    yield (
        "Times are seconds after the fault: median, least and most. A second before it, "
        f"{SHOPPERS + 3} visitors began. A server counts as down after {DOWN_AFTER} ms. "
        f"{_all(results, 'date')}, commit {_all(results, 'commit')}, {machine.description()}, "
        f"{machine.python()}, load average {min(loads):g} to {max(loads):g}. `python -m "
        "tests.stack.failover 20 --only FAULT --mode MODE` repeats a row; the faults, in this "
        f"order: {', '.join(FAULTS)}."
    )


def _all(results: Sequence[Result], name: str) -> str:
    return " and ".join(sorted({getattr(each, name) for each in results}))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.stack.failover", description=__doc__)
    parser.add_argument("times", type=int, nargs="?", default=1, help="of each; 0: the table alone")
    parser.add_argument("--only", nargs="+", choices=tuple(FAULTS), default=tuple(FAULTS))
    parser.add_argument("--mode", nargs="+", choices=tuple(MODES), default=tuple(MODES))
    state = Path(os.environ.get("STATE_DIR") or ROOT / ".state") / "failovers"
    folder = state / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    parser.add_argument("--folder", type=Path, default=folder, help="goes on with an earlier one")
    parser.add_argument("--document", action="store_true", help="write docs/guarantees.md")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
