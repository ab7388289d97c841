"""The local runtime: real processes under supervisord, and no Docker."""

import shutil

from kit import desktop, environment, events, locks, logs, status
from kit.console import say, step, warn
from kit.convergence import Convergence
from kit.errors import KitError
from kit.folder import StateFolder
from kit.settings import Settings
from kit.supervision import Supervisor


class LocalRuntime:
    """Runs one stack under one state folder."""

    def __init__(self, settings: Settings) -> None:
        """Look at the stack of these settings; nothing is touched yet."""
        self._settings = settings
        self._folder = StateFolder(settings.state_dir)
        self._environment = environment.to_run(settings)
        self._supervisor = Supervisor(self._folder)

    def up(self) -> None:
        """Make the stack what the settings say; an interrupted first start is undone."""
        self._folder.claim()
        # Now, before minutes may go into the environment, and again when nobody else can start.
        self._refuse_two_runtimes()
        environment.ensure(self._environment)
        environment.enter(self._environment)
        with locks.one_verb(self._folder.verb_lock, "up"):
            self._refuse_two_runtimes()
            was_running = self._supervisor.is_running()
            try:
                Convergence(self._settings, self._folder, self._environment).converge()
            except KeyboardInterrupt:
                if not was_running:
                    say("\nInterrupted: ending what was started.")
                    self._supervisor.shut_down()
                raise
            finally:
                # A start refused early leaves nothing outside the state folder.
                if not self._supervisor.is_running():
                    self._folder.remove_sockets()

    def down(self) -> None:
        """End every process of the state folder."""
        if not self._folder.is_claimed():
            say(f"Nothing is running: there is no stack in {self._folder.root}.")
            return
        with locks.one_verb(self._folder.verb_lock, "down"):
            self._stop()
        say(f"Data, logs and settings stay in {self._folder.root}; `make clean` removes them.")

    def restart(self, service: str | None) -> None:
        """Restart one service, or the replicas one after the other."""
        self._enter_recorded("restart")
        with locks.one_verb(self._folder.verb_lock, "restart"):
            Convergence(self._settings, self._folder, self._environment).restart(service)
        say("Done. `make status` shows what runs.")

    def status(self) -> None:
        """Print what runs."""
        if not self._supervisor.is_running():
            if orphans := self._supervisor.living():
                warn(f"no supervisord, but {', '.join(orphans)} still run; `make down` ends them")
            say(f"Nothing is running in {self._folder.root}. `make up` starts it.")
            self._hint_at_containers()
            return
        self._enter_recorded("status")
        status.show(self._supervisor.processes(), self._folder)

    def logs(self, service: str | None) -> None:
        """Follow the logs."""
        known = {path.name.partition(".")[0] for path in logs.files(self._folder.log, None)}
        if not known:
            raise KitError("There are no logs yet.", "Start the stack: make up")
        if service is not None and service not in known:
            raise KitError(
                f"SERVICE={service} has no log.", f"There are {', '.join(sorted(known))}."
            )
        logs.follow(logs.files(self._folder.log, service), 10)

    def open(self) -> None:
        """Print where the stack answers, and show it in a browser if there is one."""
        if not self._supervisor.is_running() or (url := self._folder.url) is None:
            raise KitError("Nothing is running.", "Start it: make up")
        desktop.show(url)

    def clean(self) -> None:
        """End everything and remove the state folder."""
        root = self._folder.root
        if not self._folder.is_claimed():
            say(f"Nothing to remove: there is no stack in {root}.")
            return
        with locks.one_verb(self._folder.verb_lock, "clean"):
            self._refuse_two_runtimes()
            self._stop()
            shutil.rmtree(root)
        say(f"Removed {root}.")
        if self._settings.venv_dir.exists():
            say(f"VENV_DIR={self._settings.venv_dir} may serve other stacks: it stays.")

    def _enter_recorded(self, verb: str) -> None:
        """Go on in the environment that the stack was started with, whatever Python this is."""
        if not self._supervisor.is_running():
            raise KitError("Nothing is running.", "Start it: make up")
        recorded = environment.Environment(self._folder.environment or self._environment.root, ())
        if not recorded.is_complete():
            raise KitError(
                f"`make {verb}` needs the environment {recorded.root}, which is gone.",
                "End the stack with `make down`, then `make up` makes it anew.",
            )
        environment.enter(recorded)

    def _stop(self) -> None:
        with step("stopping"):
            ended = self._supervisor.shut_down()
        if ended:
            events.append(self._folder.events, "stopped", "stack")
        say(f"Stopped: {', '.join(ended)}." if ended else "Nothing was running.")
        self._hint_at_containers()

    def _hint_at_containers(self) -> None:
        if self._folder.project:
            say("Containers were started from here: their verbs are given RUNTIME=docker.")

    def _refuse_two_runtimes(self) -> None:
        if self._folder.project:
            raise KitError(
                f"{self._folder.root} belongs to the containers of {self._folder.project}.",
                "End them with `make down RUNTIME=docker` (or `make clean RUNTIME=docker`), or "
                "give this one another STATE_DIR.",
            )
