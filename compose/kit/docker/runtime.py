"""The docker runtime: the same stack in containers, by Docker Compose."""

import os
import shutil
import subprocess

from kit import container_status, credentials, desktop, events, locks
from kit.console import say, step, warn
from kit.engine import Engine
from kit.errors import KitError
from kit.folder import StateFolder
from kit.image import Images
from kit.project import Project, find
from kit.rollout import Rollout
from kit.settings import PROJECT, Settings
from kit.supervision import Supervisor


class DockerRuntime:
    """Runs one Compose project, whose secrets and events are under one state folder."""

    def __init__(self, settings: Settings) -> None:
        """Look at the project of these settings; nothing is touched yet."""
        self._settings = settings
        self._folder = StateFolder(settings.state_dir)
        self._engine = Engine()
        self._project = Project(settings, self._folder, self._engine)

    def up(self) -> None:
        """Make the stack what the settings say; an interrupted first start is undone."""
        self._engine.require()
        self._folder.claim()
        with locks.one_verb(self._folder.verb_lock, "up"):
            self._refuse_two_runtimes()
            was_there = bool(self._project.containers())
            try:
                self._rollout(self._prepare()).converge()
            except KeyboardInterrupt:
                if not was_there:
                    say("\nInterrupted: ending what was started.")
                    self._project.remove_all(data=False)
                raise

    def down(self) -> None:
        """End every container of the project."""
        if not self._folder.is_claimed():
            say(f"Nothing is running: there is no stack in {self._folder.root}.")
            return
        self._engine.require()
        with locks.one_verb(self._folder.verb_lock, "down"):
            self._stop(data=False)
        say(
            "The store's data stays in its volume, secrets and settings in "
            f"{self._folder.root}; `make clean` removes them."
        )

    def restart(self, service: str | None) -> None:
        """Restart one container, or the replicas one after the other."""
        self._require_running()
        with locks.one_verb(self._folder.verb_lock, "restart"):
            self._rollout({}).restart(service)
        say("Done. `make status` shows what runs.")

    def status(self) -> None:
        """Print what runs."""
        self._engine.require()
        found = self._project.containers()
        if not found:
            say(f"Nothing is running in {self._folder.root}. `make up` starts it.")
            return
        container_status.show(found, self._project, self._folder, self._engine)

    def logs(self, service: str | None) -> None:
        """Follow the logs."""
        self._require_running()
        chosen = find(self._project.containers(), service) if service else None
        self._project.follow_logs(chosen, 10)

    def open(self) -> None:
        """Print where the stack answers, and show it in a browser if there is one."""
        self._require_running()
        desktop.show(self._folder.project_url or self._settings.url)

    def clean(self) -> None:
        """End everything and remove containers, volumes, built images and the state folder."""
        root = self._folder.root
        if not self._folder.is_claimed():
            say(f"Nothing to remove: there is no stack in {root}.")
            return
        self._engine.require()
        with locks.one_verb(self._folder.verb_lock, "clean"):
            self._refuse_two_runtimes()
            self._stop(data=True)
            Images(self._settings, self._project, self._engine).remove_all()
            shutil.rmtree(root)
        say(f"Removed {root}, and the containers, volumes and images of {self._project.name}.")

    def _rollout(self, variables: dict[str, str]) -> Rollout:
        return Rollout(self._settings, self._folder, self._project, self._engine, variables)

    def _prepare(self) -> dict[str, str]:
        """Make the secrets and whatever else Compose is to find, and name it."""
        files = credentials.prepare(self._settings, self._folder)
        self._folder.record_project(self._project.name, self._settings.url)
        self._project.write_overlay(files)
        if "tls" in self._settings.overlays and "TLS_DIR" not in self._settings.compose:
            self._make_certificate()
        return files

    def _make_certificate(self) -> None:
        folder = self._folder.certificates
        if (folder / "fullchain.pem").exists():
            return
        made = subprocess.run(
            ["/bin/sh", PROJECT / "compose" / "certificate.sh"],
            env={"TLS_DIR": str(folder), "PATH": os.environ["PATH"]},
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if made.returncode:
            raise KitError(
                f"There is no certificate for OVERLAYS=tls: {made.stderr.strip()}",
                "Name a folder with fullchain.pem and privkey.pem: "
                "make up RUNTIME=docker TLS_DIR=/etc/tls",
            )
        warn(f"made a certificate for development in {folder}; set TLS_DIR for a real one")

    def _require_running(self) -> None:
        self._engine.require()
        if not self._project.containers():
            raise KitError("Nothing is running.", "Start it: make up RUNTIME=docker")

    def _refuse_two_runtimes(self) -> None:
        if Supervisor(self._folder).is_running():
            raise KitError(
                f"A stack of the local runtime runs in {self._folder.root}.",
                "End it with `make down RUNTIME=local`, or give this one another STATE_DIR.",
            )

    def _stop(self, *, data: bool) -> None:
        with step("stopping"):
            ended = self._project.remove_all(data=data)
            self._folder.forget_project()
        if ended:
            events.append(self._folder.events, "stopped", "stack")
        say(f"Stopped: {', '.join(ended)}." if ended else "Nothing was running.")
