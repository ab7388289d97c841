"""What the programs print, and how they end."""

import sys
from collections.abc import Callable, Sequence


class BenchError(Exception):
    """The measurement cannot be made; the message says why and how to mend it."""


def say(text: str = "") -> None:
    """Print a line at once."""
    print(text, flush=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their header: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, ["-" * width for width in widths], *rows):
        first, *others = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        say("  ".join((first, *others)))


def run(program: Callable[[], None]) -> None:
    """Run a program; what cannot be measured is one line on standard error and exit code 1."""
    try:
        program()
    except BenchError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
