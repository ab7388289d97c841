"""What `make status` shows."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from kit.console import say
from kit.folder import StateFolder
from kit.processes import children, memory
from kit.supervision import Process

_HEADINGS = ("service", "pid", "state", "uptime", "memory", "requests")
_MB = 1024 * 1024


def show(processes: Mapping[str, Process], folder: StateFolder) -> None:
    """Print a table of services and their workers, and where the stack answers."""
    counts = requests(folder)
    rows: list[Sequence[str]] = [_HEADINGS]
    for process in sorted(processes.values(), key=lambda p: p.name):
        workers = sorted(children(process.pid)) if process.pid else []
        is_replica = process.name.startswith("app-")
        own = sum(n for who, n in counts.items() if who.startswith(f"{process.name}/"))
        total = sum(counts.values()) if process.name == "nginx" else own if is_replica else None
        rows.append((
            process.name, str(process.pid or "-"), process.state.lower(),
            _uptime(process), _megabytes([process.pid, *workers]),
            "" if total is None else str(total),
        ))  # fmt: skip
        rows.extend(
            (
                "  worker", str(pid), "", "", _megabytes([pid]),
                str(counts[f"{process.name}/{pid}"]) if is_replica else "",
            )
            for pid in workers
        )  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    say(f"\n{folder.url}   state: {folder.root}")
    say("requests: lines of nginx's access log and its two rotated ones (10 MB each), by worker")


def requests(folder: StateFolder) -> Counter[str]:
    """Count the requests in nginx's access log by ``replica/pid``, empty where none is named."""
    found: Counter[str] = Counter()
    for path in folder.log.glob("nginx.access.log*"):
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    found[json.loads(line)["served_by"]] += 1
                except (ValueError, KeyError, TypeError):
                    # A line that is being written, or was cut by the rotation.
                    continue
    return found


def _uptime(process: Process) -> str:
    if not process.pid:
        return "-"
    minutes, seconds = divmod(max(0, int(time.time() - process.started)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _megabytes(pids: Sequence[int]) -> str:
    total = sum(memory(pid) for pid in pids if pid)
    return f"{total / _MB:.0f} MB" if total else "-"
