"""What `make status` shows."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from kit import table
from kit.console import say
from kit.folder import StateFolder
from kit.processes import children, memory
from kit.supervision import Process


def show(processes: Mapping[str, Process], folder: StateFolder) -> None:
    """Print a table of services and their workers, and where the stack answers."""
    counts = requests(folder)
    rows: list[table.Row] = []
    for process in sorted(processes.values(), key=lambda p: p.name):
        workers = sorted(children(process.pid)) if process.pid else []
        is_replica = process.name.startswith("app-")
        own = sum(n for who, n in counts.items() if who.startswith(f"{process.name}/"))
        total = sum(counts.values()) if process.name == "nginx" else own if is_replica else None
        rows.append((
            process.name, str(process.pid or "-"), process.state.lower(),
            table.uptime(process.started) if process.pid else "-",
            _megabytes([process.pid, *workers]),
            "" if total is None else str(total),
        ))  # fmt: skip
        rows.extend(
            (
                "  worker", str(pid), "", "", _megabytes([pid]),
                str(counts[f"{process.name}/{pid}"]) if is_replica else "",
            )
            for pid in workers
        )  # fmt: skip
    table.show(rows)
    say(f"\n{folder.url}   state: {folder.root}")
    say("requests: lines of nginx's access log and its two rotated ones (10 MB each), by worker")


def requests(folder: StateFolder) -> Counter[str]:
    """Count the requests in nginx's access log by ``replica/pid``, empty where none is named."""
    found: Counter[str] = Counter()
    for path in folder.log.glob("nginx.access.log*"):
        with path.open(encoding="utf-8", errors="replace") as file:
            found += served_by(file)
    return found


def served_by(lines: Iterable[str]) -> Counter[str]:
    """Count the lines of an access log by the ``replica/pid`` that they name."""
    found: Counter[str] = Counter()
    for line in lines:
        try:
            found[json.loads(line)["served_by"]] += 1
        except (ValueError, KeyError, TypeError):
            # A line that is being written, was cut by the rotation, or is of another log.
            continue
    return found


def _megabytes(pids: Sequence[int]) -> str:
    return table.megabytes(sum(memory(pid) for pid in pids if pid))
