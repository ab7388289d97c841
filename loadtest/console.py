"""What the commands print."""

import os
import sys
from collections.abc import Sequence


def say(text: str = "", end: str = "\n") -> None:
    """Print a line at once; do nothing if nobody reads any more."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(text: str) -> None:
    """Print to standard error at once."""
    print(text, file=sys.stderr, flush=True)


def show(rows: Sequence[Sequence[str]]) -> None:
    """Print a table, with a line below its header."""
    for line in table(rows, ruled=True):
        say(line)


def table(rows: Sequence[Sequence[str]], *, ruled: bool = False) -> list[str]:
    """Return lines with the first column to the left, the others to the right; the header first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    header, *others = rows
    rules = [["-" * width for width in widths]] if ruled else []
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rules, *others)
    ]


class Progress:
    """The progress of a run: a line redrawn on a terminal, one every five seconds elsewhere."""

    _PERIOD = 5.0

    def __init__(self, duration: float) -> None:
        self._duration = duration
        self._shown = -self._PERIOD
        self._drawn = False

    def __call__(
        self, elapsed: float, per_second: float, p95: float, errors: int, findings: int
    ) -> None:
        """Show it."""
        line = (
            f"  {elapsed:5.0f} of {self._duration:.0f} s  {per_second:7,.0f} requests/s  "
            f"p95 {p95:7.1f} ms  {errors} errors  {findings} findings"
        )
        if sys.stdout.isatty():
            say(f"\r\033[K{line}", end="")
            self._drawn = True
        elif elapsed - self._shown >= self._PERIOD:
            self._shown = elapsed
            say(line)

    def finish(self) -> None:
        """End the redrawn line."""
        if self._drawn:
            say()
