"""The table that `make status` prints, for both runtimes."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kit.console import say

_HEADINGS = ("service", "pid", "state", "uptime", "memory", "requests")
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process.

    Attributes:
        pid: the host's.
        memory: resident, in bytes.
        requests: how many of those in nginx's log it served; None if that is unknown.
    """

    pid: int
    memory: int
    requests: int | None


@dataclass(frozen=True, slots=True)
class Service:
    """One row of the table, with a row for each worker below it.

    Attributes:
        pid: of its first process; 0 if there is none.
        started: seconds since the epoch.
        memory: resident, of all its processes, in bytes.
        requests: in nginx's log; None for services that serve none.
    """

    name: str
    pid: int
    state: str
    started: float
    memory: int
    requests: int | None
    workers: Sequence[Worker]


def show(services: Iterable[Service], url: str, notes: str) -> None:
    """Print the table, and where the stack answers."""
    rows = [_HEADINGS]
    for service in sorted(services, key=lambda service: service.name):
        running = bool(service.pid)
        rows.append((
            service.name, str(service.pid or "-"), service.state,
            _uptime(service.started) if running else "-", _megabytes(service.memory),
            _count(service.requests),
        ))  # fmt: skip
        for worker in service.workers:
            shown = _megabytes(worker.memory), _count(worker.requests)
            rows.append(("  worker", str(worker.pid), "", "", *shown))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    say(f"\n{url}   {notes}")


def _count(requests: int | None) -> str:
    return "" if requests is None else str(requests)


def _uptime(started: float) -> str:
    minutes, seconds = divmod(max(0, int(time.time() - started)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _megabytes(size: int) -> str:
    return f"{size / _MB:.0f} MB" if size else "-"
