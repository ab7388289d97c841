"""The stack of this checkout in containers, seen from outside, as far as that is possible.

If the Docker engine runs on this machine, the kernel lists the containers' processes among all
others. An engine in a virtual machine (Docker Desktop) or elsewhere hides them: tiers and workers
are unknown then. Only the replicas reach the store, so its commands are unknown.
"""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from kit import settings
from kit.docker.containers import APP, NGINX, STORE, Container
from kit.docker.engine import Engine
from kit.docker.project import Project
from kit.docker.store import Watched
from kit.errors import KitError
from kit.state import StateFolder
from kit.system.processes import children
from kit.system.sentinel import SENTINELS

from loadtest.errors import LoadTestError
from loadtest.harness.stack import Stack
from loadtest.processes import family

_TIERS = {APP: "app", NGINX: "nginx", STORE: "store"}
# Asking the engine costs as much CPU as some hundred requests.
_FRESH_SECONDS = 5.0


class Containers(Stack):
    """A running stack of the docker runtime."""

    def __init__(self, folder: StateFolder, project: Project, engine: Engine) -> None:
        super().__init__(folder)
        self._project, self._engine = project, engine
        self._found: list[Container] = []
        self._refreshed = float("-inf")
        self._primary = ""

    @classmethod
    def running(cls, state_dir: Path) -> "Containers | None":
        """Return the containers of a state folder if there are any.

        Raises:
            LoadTestError: the engine does not answer.
        """
        folder = StateFolder(state_dir)
        if not folder.project:
            return None
        try:
            engine = Engine()
            project = Project(settings.load(), folder, engine)
            # The name that it was started with, not what COMPOSE_PROJECT_NAME says now.
            project.name = folder.project
            found = cls(folder, project, engine)
            return found if found._running() else None
        except KitError as error:
            raise LoadTestError(error.problem, " ".join(error.hints)) from error

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._folder.project_url

    @property
    def environment(self) -> None:
        """`None`: it is inside the image."""

    def services(self) -> dict[str, int]:
        """Return the first process of each container: of replicas by their answers' name."""
        return {
            container.host if container.service == APP else container.service: container.pid
            for container in self._running()
        }

    def primary(self) -> str:
        """Return the server of the store that its Sentinels name; empty if there are none."""
        self._running()
        return self._primary

    def workers(self) -> frozenset[str]:
        """Return every worker as its answers name it: `<container>/<pid inside the container>`."""
        return frozenset(
            f"{container.host}/{pid}"
            for container in self._seen()
            if container.service == APP
            for worker in children(container.pid)
            if (pid := _inner_pid(worker))
        )

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Return the processes of each tier that this machine can see."""
        tiers: dict[str, list[psutil.Process]] = {}
        for container in self._seen():
            tier = tiers.setdefault(_TIERS[container.service], [])
            tier += family(container.pid, recursive=True)
        return tiers

    def store_calls(self) -> dict[str, int]:
        """Return nothing: only the replicas reach the store."""
        return {}

    def _seen(self) -> Iterator[Container]:
        """Yield the running containers whose processes this machine can see."""
        return (container for container in self._running() if _is_here(container))

    def _running(self) -> list[Container]:
        """Return the running containers, refreshed every few seconds."""
        if time.monotonic() - self._refreshed > _FRESH_SECONDS:
            self._refreshed = time.monotonic()
            try:
                found = self._project.containers()
            except KitError:
                if not self._found:
                    raise
                # A run goes on without the engine, with its last answer.
                return self._found
            self._found = [one for one in found if one.runs and one.service in _TIERS]
            if any(one.service in SENTINELS for one in found):
                # It stays unknown while no Sentinel answers.
                with suppress(KitError):
                    self._primary = Watched(self._engine, found).primary()
        return self._found


def _is_here(container: Container) -> bool:
    """Whether the pid that the engine reports is that container's on this machine."""
    try:
        groups = Path(f"/proc/{container.pid}/cgroup").read_text(encoding="utf-8")
    except OSError:
        return False
    return container.id in groups


def _inner_pid(pid: int) -> str:
    """Return the pid of a process in its innermost namespace; empty if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r"^NSpid:.*\t(\d+)$", status, re.MULTILINE)
    return found[1] if found else ""
