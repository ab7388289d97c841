"""What the engine knows of containers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kit.docker.engine import Engine
from kit.errors import KitError
from kit.system.processes import is_exporter

APP, STORE, MONGODB, NGINX = "app", "redis", "mongodb", "nginx"
LABEL = "com.docker.compose"


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a Compose project.

    Attributes:
        state: created, running, paused, restarting, exited or dead.
        health: healthy, unhealthy or starting; empty without a health check.
        started: seconds since the epoch.
        pid: of its first process, on the engine's host; 0 if there is none.
        image: its id.
        addresses: by the network's name, without the project's.
    """

    id: str
    service: str
    number: int
    state: str
    health: str
    exit_code: int
    restarts: int
    started: float
    pid: int
    addresses: Mapping[str, str]
    env: Mapping[str, str]
    image: str

    @property
    def name(self) -> str:
        """Its name in the table, in messages and in ``SERVICE=``: app-1, nginx, redis."""
        return f"{APP}-{self.number}" if self.service == APP else self.service

    @property
    def host(self) -> str:
        """Its name in ``X-Served-By`` and in logs."""
        return self.id[:12]

    @property
    def runs(self) -> bool:
        """Whether it has a process that is not paused."""
        return self.state == "running"


def parsed(entry: Any, project: str) -> Container:
    """Return a container of a project from what ``docker container inspect`` prints."""
    state, labels = entry["State"], entry["Config"]["Labels"]
    return Container(
        id=entry["Id"],
        service=labels[f"{LABEL}.service"],
        number=int(labels[f"{LABEL}.container-number"]),
        state=state["Status"],
        health=state.get("Health", {}).get("Status", ""),
        exit_code=state["ExitCode"],
        restarts=entry["RestartCount"],
        started=_seconds(state["StartedAt"]),
        pid=state["Pid"],
        addresses={
            name.removeprefix(f"{project}_"): network["IPAddress"]
            for name, network in entry["NetworkSettings"]["Networks"].items()
        },
        image=entry["Image"],
        env=dict(pair.split("=", 1) for pair in entry["Config"]["Env"] or [] if "=" in pair),
    )


def find(containers: Sequence[Container], name: str) -> Container:
    """Return the container of that name."""
    for container in containers:
        if container.name == name:
            return container
    known = ", ".join(container.name for container in containers)
    raise KitError(f"SERVICE={name} is not a service of this stack", f"choose one of {known}")


def processes(container: Container, engine: Engine) -> list[tuple[int, int, int, str]]:
    """Return pid, parent's pid, resident memory (bytes) and kind of a container's processes.

    The pids are those of the engine's host; the kind of a master's child is worker or metrics.
    """
    listed = engine.attempt("top", container.id, "-eo", "pid,ppid,rss,args")
    rows = [line.split() for line in listed.stdout.splitlines()[1:]]
    return [
        (int(pid), int(parent), int(rss) * 1024, "metrics" if is_exporter(command) else "worker")
        for pid, parent, rss, *command in rows
    ]


def _seconds(time: str) -> float:
    # RFC 3339 with nanoseconds, of which Python takes six digits.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", time)).timestamp()
