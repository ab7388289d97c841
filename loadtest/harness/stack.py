"""The stack of this checkout, seen from outside: its processes, its store, its events.

A run can tell what each tier used only if the target is that stack.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import redis
from kit.local import sentinel
from kit.state import StateFolder
from kit.system import locks
from kit.system.processes import children

from loadtest.processes import family


@dataclass(frozen=True)
class Event:
    """Something that happened to the stack, `at` seconds after the run began."""

    at: float
    kind: str
    target: str = ""
    detail: Any = ""
    time: str = ""


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

    def services(self) -> dict[str, int]:
        """Return the first process of each service, by its name: app-1, nginx, valkey."""
        found = {path.stem: locks.holder(path) for path in self._folder.run.glob("*.lock")}
        return {name: pid for name, pid in found.items() if pid}

    def primary(self) -> str:
        """Return the server of the store that its Sentinels name; empty if there are none."""
        return sentinel.latest(self._folder)

    def workers(self) -> frozenset[str]:
        """Return every worker as `<replica>/<pid>`."""
        return frozenset(
            f"{path.stem}/{worker}"
            for path in self._folder.run.glob("app-*.lock")
            if (master := locks.holder(path))
            for worker in children(master)
        )

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Return the processes of each tier: app, nginx and the store, if it is the stack's own."""
        tiers: dict[str, list[psutil.Process]] = {"app": [], "nginx": [], "store": []}
        for path in self._folder.run.glob("*.lock"):
            tier = {"nginx": "nginx", "valkey": "store"}.get(
                path.stem, "app" if path.stem.startswith("app-") else ""
            )
            if tier and (first := locks.holder(path)):
                tiers[tier] += family(first)
        return {tier: found for tier, found in tiers.items() if found}

    def store_calls(self) -> dict[str, int]:
        """Return how often its own store has run each command, also inside scripts."""
        path = self._folder.sockets / "valkey.sock"
        if not path.exists():
            return {}
        try:
            with redis.Redis(unix_socket_path=str(path)) as client:
                found: Mapping[str, Any] = client.info("commandstats")
        except redis.RedisError:
            return {}
        return {name.removeprefix("cmdstat_"): int(entry["calls"]) for name, entry in found.items()}

    def events(self, since: float, until: float) -> list[Event]:
        """Return what happened to the stack between two times (seconds since the epoch)."""
        try:
            lines = self._folder.events.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        events = [json.loads(line) for line in lines]
        times = [datetime.fromisoformat(event["time"]).timestamp() for event in events]
        return [
            Event(**event, at=at - since)
            for at, event in zip(times, events, strict=True)
            if since <= at <= until
        ]
