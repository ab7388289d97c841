"""The stack of this checkout, seen from outside: its processes, its store, its events.

Only where the target is that stack can a run say what each tier used.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import redis
from kit.state import StateFolder
from kit.system import locks


class Stack:
    """A running stack of the local runtime."""

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder

    @classmethod
    def running(cls, state_dir: Path) -> "Stack | None":
        """Return the stack of a state folder if it runs."""
        folder = StateFolder(state_dir)
        return cls(folder) if locks.holder(folder.service_lock("nginx")) and folder.url else None

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._folder.url or ""

    @property
    def environment(self) -> Path | None:
        """The virtual environment that it runs in."""
        return self._folder.environment

    def workers(self) -> frozenset[str]:
        """Return every worker as ``<replica>/<pid>``."""
        return frozenset(
            f"{path.stem}/{child.pid}"
            for path in self._folder.run.glob("app-*.lock")
            if (master := locks.holder(path))
            for child in children(master)
        )

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Return the processes of each tier: app, nginx and, where it is the stack's own, store."""
        tiers: dict[str, list[psutil.Process]] = {"app": [], "nginx": [], "store": []}
        for path in self._folder.run.glob("*.lock"):
            tier = {"nginx": "nginx", "valkey": "store"}.get(
                path.stem, "app" if path.stem.startswith("app-") else ""
            )
            first = locks.holder(path) if tier else None
            if first:
                tiers[tier] += [*_itself(first), *children(first)]
        return {tier: found for tier, found in tiers.items() if found}

    def store(self) -> "redis.Redis | None":
        """Return a client of the store, or ``None`` if it is not the stack's own."""
        path = self._folder.sockets / "valkey.sock"
        return redis.Redis(unix_socket_path=str(path)) if path.exists() else None

    def events(self, since: float, until: float) -> list[dict[str, Any]]:
        """Return what happened to the stack between two times (seconds since the epoch)."""
        found = []
        try:
            lines = self._folder.events.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            event = json.loads(line)
            at = datetime.fromisoformat(event["time"]).timestamp()
            if since <= at <= until:
                found.append({"at": at - since, **event})
        return found


@dataclass
class Usage:
    """What a tier used: CPU seconds in all, and the most resident memory in bytes."""

    cpu: float = 0.0
    memory: int = 0


@dataclass
class Meter:
    """Adds up the CPU time of tiers whose processes come and go.

    Attributes:
        usage: by tier.
        rows: what was seen, as (seconds since the epoch, tier, CPU seconds so far, bytes).
    """

    usage: dict[str, Usage] = field(default_factory=dict)
    rows: list[tuple[float, str, float, int]] = field(default_factory=list)
    _before: dict[tuple[int, float], float] = field(default_factory=dict)

    def look(self, at: float, tiers: Mapping[str, Iterable[psutil.Process]]) -> None:
        """Take a reading. A process counts from the first reading that it is in."""
        for tier, processes in tiers.items():
            usage = self.usage.setdefault(tier, Usage())
            memory = 0
            for process in processes:
                try:
                    with process.oneshot():
                        times, key = process.cpu_times(), (process.pid, process.create_time())
                        memory += process.memory_info().rss
                except psutil.Error:
                    continue
                spent = times.user + times.system
                usage.cpu += spent - self._before.get(key, spent)
                self._before[key] = spent
            usage.memory = max(usage.memory, memory)
            self.rows.append((at, tier, usage.cpu, memory))


def store_calls(client: "redis.Redis | None") -> dict[str, int]:
    """Return how often the store has carried out each command, those inside scripts included."""
    if client is None:
        return {}
    try:
        found: Mapping[str, Any] = client.info("commandstats")
    except redis.RedisError:
        return {}
    return {name.removeprefix("cmdstat_"): int(entry["calls"]) for name, entry in found.items()}


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    return [*_itself(pid), *children(pid, recursive=True)]


def children(pid: int, *, recursive: bool = False) -> list[psutil.Process]:
    """Return the children of a process, or all its descendants."""
    try:
        return psutil.Process(pid).children(recursive=recursive)
    except psutil.NoSuchProcess:
        return []


def _itself(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []
