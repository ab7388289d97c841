"""`summary.md`: a run on one screen, for the page of a CI."""

import re
from pathlib import Path

from loadtest.console import warn
from loadtest.harness.gate import Judged, Word
from loadtest.harness.result import RunResult
from loadtest.report import pages

# One character for each sign that Markdown or HTML would act on.
_SIGNS = re.compile(r"([\\`*_{}\[\]<>#|~!&])")


def write(folder: Path, result: RunResult, summary: str | None) -> Path:
    """Write the file into the run's folder, and return it.

    Args:
        folder: the run's.
        result: the run.
        summary: a file to append it to, such as GitHub's `GITHUB_STEP_SUMMARY`.
    """
    text = str(
        pages.rendered(
            "run.md",
            run=result,
            endpoints=[*result.endpoints, result.total],
            rows=[_row(each) for each in result.verdict.judged if each.word is not Word.PASS],
            plain=_plain,
            fenced=_fenced,
        )
    )
    path = folder / "summary.md"
    path.write_text(text, encoding="utf-8", errors="replace")
    if summary:
        try:
            with Path(summary).open("a", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except OSError as error:
            # The verdict is not at fault.
            warn(f"warning: cannot append to GITHUB_STEP_SUMMARY={summary}: {error.strerror}")
    return path


def _row(judged: Judged) -> tuple[str, ...]:
    scale, unit = (100, "%") if judged.unit == "share" else (1, judged.unit)
    value, low, high, limit = (
        pages.number(each * scale) for each in (judged.value, *judged.interval, judged.limit)
    )
    interval = f"{low} to {high}" if low != high else ""
    return judged.word, _plain(judged.name), f"{value} {unit}", interval, limit


def _plain(text: object) -> str:
    """Return text in which no sign has a meaning: names and details are the target's."""
    return " ".join(_SIGNS.sub(r"\\\1", str(text)).split())


def _fenced(text: str) -> str:
    """Return text as a block of code that it cannot end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
