"""What `make status` shows of containers."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kit import status, table
from kit.console import say
from kit.engine import Engine
from kit.folder import StateFolder
from kit.project import APP, PROXY, Container, Project
from kit.upstream import processes


def show(
    containers: Sequence[Container], project: Project, folder: StateFolder, engine: Engine
) -> None:
    """Print a table of containers and their workers, and where the stack answers."""
    counts = _requests(containers, engine)
    rows: list[table.Row] = []
    for container in sorted(containers, key=lambda c: (c.service, c.number)):
        inside = processes(container, engine) if container.runs else []
        own = sum(n for who, n in counts.items() if who.startswith(f"{container.host}/"))
        total = {APP: str(own), PROXY: str(sum(counts.values()))}.get(container.service, "")
        rows.append((
            container.name, str(container.pid or "-"), _state(container),
            table.uptime(container.started) if container.pid else "-",
            table.megabytes(sum(memory for _, _, memory in inside)), total,
        ))  # fmt: skip
        rows.extend(
            (
                "  worker", str(pid), "", "", table.megabytes(memory),
                _of_worker(container, pid, counts),
            )
            for pid, parent, memory in inside
            if parent == container.pid
        )  # fmt: skip
    table.show(rows)
    say(f"\n{folder.project_url}   state: {folder.root}   project: {project.name}")
    say("requests: lines of nginx's log that the engine keeps (50 MB), by worker; pids: the host's")


def _state(container: Container) -> str:
    if container.runs:
        return container.health or container.state
    return f"exited ({container.exit_code})" if container.state == "exited" else container.state


def _requests(containers: Sequence[Container], engine: Engine) -> Counter[str]:
    found: Counter[str] = Counter()
    for container in containers:
        if container.service == PROXY:
            found += status.served_by(engine.attempt("logs", container.id).stdout.splitlines())
    return found


def _of_worker(container: Container, pid: int, counts: Counter[str]) -> str:
    """Return a worker's requests: it signs with the pid that it has in its container."""
    if container.service != APP:
        return ""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        # The engine's host is not this one.
        return ""
    for line in text.splitlines():
        if line.startswith("NSpid:"):
            return str(counts[f"{container.host}/{line.split()[-1]}"])
    return ""
