"""The table that `make status` shows, whoever runs the services."""

import time
from collections.abc import Sequence

from kit.console import say

_HEADINGS = ("service", "pid", "state", "uptime", "memory", "requests")
_MB = 1024 * 1024

Row = tuple[str, str, str, str, str, str]
"""A line of the table: service, pid, state, uptime, memory, requests."""


def show(rows: Sequence[Row]) -> None:
    """Print the lines under their headings."""
    lines = [_HEADINGS, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def uptime(started: float) -> str:
    """Return the time since ``started`` (seconds since the epoch) in hours, minutes, seconds."""
    minutes, seconds = divmod(max(0, int(time.time() - started)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def megabytes(octets: int) -> str:
    """Return an amount of memory; a dash for none."""
    return f"{octets / _MB:.0f} MB" if octets else "-"
