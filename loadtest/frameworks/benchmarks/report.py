"""A benchmark as one table: on the terminal, as Markdown, as a page of docs/."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loadtest import machine
from loadtest.console import say, show
from loadtest.frameworks.benchmarks.testbed import PROCESSES
from loadtest.frameworks.load import CONNECTIONS
from loadtest.report import pages

Raw = dict[str, Any]
"""The raw data of a run."""


@dataclass(frozen=True)
class Report:
    """What a run says.

    Attributes:
        title: of its page.
        command: what `--only` takes.
        rows: the header and the figures.
        conclusion: what follows from them, a sentence or more.
        facts: what the prose of the page, `bench_<command>.md`, needs beside the raw data.
        persists: whether the store writes to its disk.
    """

    title: str
    command: str
    rows: Sequence[Sequence[str]]
    conclusion: str
    facts: Mapping[str, Any]
    persists: bool = False


def write(path: Path, data: Raw, report: Report, *, is_documented: bool) -> None:
    """Print the table, and write it beside the raw data; if documented, also to docs/."""
    say()
    show(report.rows)
    say(f"\n{report.conclusion}")
    text = markdown(data, report)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    say(f"the same table: {path.with_suffix('.md')}")
    if is_documented:
        page = machine.CHECKOUT / "docs" / f"benchmarks-{report.command}.md"
        page.write_text(text, encoding="utf-8")
        say(f"written: {page}")


def markdown(data: Raw, report: Report) -> str:
    """Return the report as a Markdown document."""
    rows = [[_dashed(cell) for cell in row] for row in report.rows]
    report = replace(report, rows=rows, conclusion=_dashed(report.conclusion))
    text = pages.rendered(
        "bench_run.md",
        data=data,
        report=report,
        persists=report.persists,
        is_of_stores=False,
        connections=CONNECTIONS,
        processes=PROCESSES,
        **report.facts,
    )
    return f"{text}\n"


def _dashed(text: str) -> str:
    """Return a text with dashes from one figure to another, but not within a name."""
    return re.sub(r"(?<=\d)-(?=\d)", "–", text)


def of(samples: Sequence[Raw], peer: str, figure: str) -> list[float]:
    """Return a figure of a peer in each round."""
    return [sample[figure] for sample in samples if sample["peer"] == peer]


def all_us(samples: Sequence[Raw], peer: str) -> list[float]:
    """Return the CPU of all three tiers in each round, in µs for each request."""
    tiers = zip(
        *(of(samples, peer, tier) for tier in ("app_us", "nginx_us", "store_us")), strict=True
    )
    return [sum(each) for each in tiers]
