"""Somebody else's application, put into containers as docs/your-app.md says."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.conftest import copy_checkout
from tests.support.pages import blocks
from tests.support.ports import free_port
from tests.support.waiting import wait_until

FOREIGN = Path(__file__).parent / "foreign"

# What the caller's machine says of its engine and of its registry; nothing of the caller's own
# settings, and nothing of our tools.
_PASSED_ON = (
    "PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG",
    "PYTHON_IMAGE", "NGINX_IMAGE", "REDIS_IMAGE", "VALKEY_IMAGE",
)  # fmt: skip
# Seconds: a build that installs all packages, and whatever else an engine takes long for.
_BUILD, _PATIENCE = 300.0, 60.0


class ForeignApp:
    """An application's folder, ``blog``, beside a checkout of this project.

    Args:
        name: its folder in ``foreign/``.
        parent: an empty folder.
    """

    def __init__(self, name: str, parent: Path) -> None:
        self.checkout, self.folder = parent / "unsticky", parent / "blog"
        self.port = free_port()
        self.project = f"blog-{name}-{secrets.token_hex(4)}"
        self.environ = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        # The names and ports of .env, so that no two stacks meet.
        self.environ |= {"COMPOSE_PROJECT_NAME": self.project, "PORT": str(self.port)}
        self.checkout.mkdir()
        copy_checkout(self.checkout)
        shutil.copytree(FOREIGN / name, self.folder)
        self.shell("git init --quiet; git add .")
        usual, self._start, named = blocks("5. Put it into containers", "sh")
        init = named if f"APP={name}:" in named.text else usual
        self.printed = self.shell(init.text, self.checkout)
        if "+++ b/" in self.printed:
            self.run(["git", "apply", "-"], text=self.printed)

    def run(
        self,
        command: list[str],
        text: str = "",
        patience: float = _PATIENCE,
        folder: Path | None = None,
    ) -> str:
        """Run a command in the application's folder, or another one; return what it printed.

        Raises:
            AssertionError: it failed.
        """
        done = subprocess.run(
            command, cwd=folder or self.folder, env=self.environ, input=text,
            capture_output=True, text=True, check=False, timeout=patience,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def shell(self, script: str, folder: Path | None = None) -> str:
        """Run a script as a reader would, and end with its first command that fails."""
        return self.run(["sh", "-eu"], script, _BUILD, folder)


class ForeignStack(ForeignApp):
    """The same, run by its `deploy`."""

    stopped = False

    def start(self) -> None:
        """Start it as the guide says."""
        self.shell(self._start.text, self.checkout)
        self.stopped = False

    def compose(self, *arguments: str) -> str:
        """Run ``docker compose`` and return what it printed."""
        return self.run(["docker", "compose", *arguments], folder=self.folder / "deploy")

    def containers(self) -> dict[str, str]:
        """Return the service of each container, stopped ones included, by its identity."""
        rows = map(json.loads, self.compose("ps", "--all", "--format=json").splitlines())
        return {row["ID"]: row["Service"] for row in rows}

    def replicas(self) -> list[str]:
        """Return the identities of the application's containers."""
        return [identity for identity, service in self.containers().items() if service == "app"]

    def exits(self) -> dict[str, tuple[str, int, bool]]:
        """Return, for each container, its service, its exit code and whether it still runs."""
        found = {}
        for identity, service in self.containers().items():
            state = json.loads(self.run(["docker", "inspect", "-f", "{{json .State}}", identity]))
            found[identity] = (service, state["ExitCode"], state["Running"])
        return found

    def served(self, requests: set[str]) -> dict[str, str]:
        """Return the container and process that answered each request, from Gunicorn's log.

        Raises:
            AssertionError: some are not in the log.
        """

        def found() -> dict[str, str] | None:
            entries = {
                entry["request_id"]: entry["served_by"]
                for entry in self._log()
                if entry.get("request_id") in requests
            }
            return entries if len(entries) == len(requests) else None

        return wait_until(found, f"{len(requests)} requests in the log", _PATIENCE)

    def _log(self) -> Iterator[Mapping[str, Any]]:
        for identity in self.replicas():
            # Not by Compose, which puts a terminal's codes into each line.
            yield from map(json.loads, self.run(["docker", "logs", identity]).splitlines())

    def dispose(self) -> None:
        """Remove all that was made, the images included."""
        try:
            self.compose("down", "--volumes", "--remove-orphans", "--timeout=5")
        finally:
            # An overlay's `down` leaves the volume of the store that it replaces.
            label = f"label=com.docker.compose.project={self.project}"
            for listing in (
                ["image", "ls", "--quiet", f"{self.project}/app"],
                ["volume", "ls", "--quiet", "--filter", label],
            ):
                if found := self.run(["docker", *listing]).split():
                    self.run(["docker", listing[0], "rm", "--force", *found])
