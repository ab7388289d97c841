"""The table that `make status` prints, for both runtimes."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kit.console import say

_HEADINGS = ("service", "pid", "state", "uptime", "memory", "requests")
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Worker:
    """A row below its service's: pid on the host, and resident memory in bytes.

    Attributes:
        signature: ``replica/pid``, as in nginx's log; None if it is unknown, or serves nothing.
        name: worker, or what else it is.
    """

    pid: int
    memory: int
    signature: str | None
    name: str = "worker"


@dataclass(frozen=True, slots=True)
class Service:
    """A row of the table: its first process, when that started, and the memory of all, in bytes.

    Attributes:
        pid: 0 if there is no process.
        started: seconds since the epoch.
        signature: how the signatures of its requests begin; None if it serves none.
    """

    name: str
    pid: int
    state: str
    started: float
    memory: int
    signature: str | None
    workers: Sequence[Worker]


@dataclass(frozen=True, slots=True)
class Release:
    """A release that has served.

    Attributes:
        since: when it served first, or when its image was built.
        code: its folder or image, and its packages.
    """

    number: int
    since: str
    code: str
    serves: bool


def show(services: Iterable[Service], served: Counter[str], url: str, *notes: str) -> None:
    """Print the table, with the requests that each signature served, the address, and notes."""
    rows = [_HEADINGS]
    for each in sorted(services, key=lambda service: service.name):
        requests = ""
        if each.signature is not None:
            requests = str(sum(n for who, n in served.items() if who.startswith(each.signature)))
        uptime = _uptime(each.started) if each.pid else "-"
        memory = _megabytes(each.memory)
        rows.append((each.name, str(each.pid or "-"), each.state, uptime, memory, requests))
        for worker in each.workers:
            requests = "" if worker.signature is None else str(served[worker.signature])
            rows.append(
                (f"  {worker.name}", str(worker.pid), "", "", _megabytes(worker.memory), requests)
            )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    say(f"\n{url}")
    for note in notes:
        say(note)


def show_releases(releases: Iterable[Release]) -> None:
    """Print a line for each release."""
    for each in releases:
        mark = "   serves" if each.serves else ""
        say(f"r{each.number:<4} {each.since}   {each.code}{mark}")


def _uptime(started: float) -> str:
    minutes, seconds = divmod(max(0, int(time.time() - started)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _megabytes(size: int) -> str:
    return f"{size / _MB:.0f} MB" if size else "-"
