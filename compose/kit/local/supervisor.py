"""supervisord, one for each stack: its start, its services, its end."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kit import launch, locks
from kit.control import Control, NotRunningError
from kit.environment import Environment
from kit.errors import KitError
from kit.folder import StateFolder
from kit.program import configuration
from kit.services import PROXY, STORE, Service

_NAME = "supervisord"
_START_SECONDS = 15
# Longer than the longest stop_seconds of a service.
_STOP_SECONDS = 60
_MUTE_STOP_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Process:
    """What supervisord knows of one service; ``pid`` is 0 where there is no process."""

    name: str
    state: str
    pid: int
    started: int
    """Seconds since the epoch."""


class Supervisor:
    """One stack's supervisord."""

    def __init__(self, folder: StateFolder) -> None:
        """Speak to the supervisord of a state folder, running or not."""
        self._folder = folder
        self._control = Control(folder.sockets / "supervisor.sock")

    def is_running(self) -> bool:
        """Whether a supervisord of this state folder lives."""
        return locks.holder(self._folder.service_lock(_NAME)) is not None

    def start(self, services: Sequence[Service], environment: Environment) -> None:
        """Start supervisord and wait until its control socket answers.

        Raises:
            KitError: it ended instead; the message has its last words.
        """
        _write_launcher(self._folder, environment)
        write_private(self._conf, configuration(services, self._folder))
        supervisord = Service(
            name=_NAME,
            argv=(str(environment.python), "-m", "supervisor.supervisord", "-c", str(self._conf)),
            cwd=self._folder.root,
            priority=0,
            stop_signal="TERM",
            stop_seconds=_STOP_SECONDS,
            splits_output=False,
        )
        write_private(self._folder.service_spec(_NAME), supervisord.description(self._folder))
        output = self._folder.log / "supervisord.output.log"
        with output.open("wb") as file:
            # A session of its own: Ctrl-C in the caller's terminal is not for the stack.
            process = subprocess.Popen(
                [self._folder.run / "launch", _NAME],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self._folder.root,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        try:
            while time.monotonic() < deadline and process.poll() is None:
                if self._answers():
                    return
                time.sleep(0.02)
        except KeyboardInterrupt:
            # It may not have taken its lock yet, by which others would find it.
            process.terminate()
            process.wait()
            raise
        last = output.read_text(encoding="utf-8", errors="replace").strip()[-1000:]
        raise KitError(
            f"supervisord did not start. It said:\n{last or '(nothing)'}",
            f"Its log is {self._folder.log / 'supervisord.log'}; "
            "`make down` ends what has started.",
        )

    def adopt(self, services: Sequence[Service]) -> None:
        """Make a running supervisord know these services; forget none."""
        text = configuration(services, self._folder)
        known = self.processes()
        if self._conf.read_text(encoding="utf-8") == text and {s.name for s in services} <= {
            *known
        }:
            return
        write_private(self._conf, text)
        ((added, changed, _removed),) = self._control("reloadConfig")
        for name in changed:
            self.drop(name)
        for name in {*added, *changed} - ({*known} - {*changed}):
            self._control("addProcessGroup", name)

    def drop(self, name: str) -> None:
        """Stop a service and forget it."""
        self.stop(name)
        self._control("removeProcessGroup", name)

    def processes(self) -> dict[str, Process]:
        """Return what supervisord knows of each service, by name."""
        return {
            p["name"]: Process(p["name"], p["statename"], p["pid"], p["start"])
            for p in self._control("getAllProcessInfo")
        }

    def launch(self, service: Service) -> None:
        """Start a service as it is described now; do not wait until it is ready."""
        write_private(self._folder.service_spec(service.name), service.description(self._folder))
        self.start_again(service.name)

    def start_again(self, name: str) -> None:
        """Start a stopped service as it was described before."""
        self._control("startProcess", name, False)  # noqa: FBT003  (XML-RPC: do not wait)

    def is_as_described(self, service: Service) -> bool:
        """Whether the service was last started with the same description."""
        path = self._folder.service_spec(service.name)
        return path.exists() and path.read_text("utf-8") == service.description(self._folder)

    def stop(self, name: str) -> None:
        """Stop a service and wait until it has ended; nothing if it does not run."""
        self._stop_all([name])

    def signal(self, name: str, name_of_signal: str) -> None:
        """Send a signal, such as ``HUP``, to a service's first process."""
        self._control("signalProcess", name, name_of_signal)

    def shut_down(self) -> list[str]:
        """End supervisord and every service, however much of it is left.

        Returns:
            The names of the services that ended.
        """
        ended = self.living()
        patience = _STOP_SECONDS
        if supervisor := locks.holder(self._folder.service_lock(_NAME)):
            try:
                self._stop_in_order()
            except KitError:
                # It lives and does not answer: it may be stopped, or its socket was removed.
                patience = _MUTE_STOP_SECONDS
                os.kill(supervisor, signal.SIGTERM)
            _await_end([self._folder.service_lock(_NAME)], patience)
        self.end_orphans()
        self._folder.remove_sockets()
        return ended

    def living(self) -> list[str]:
        """Return the services that have a living process, whoever looks after them."""
        return [path.stem for path in self._held() if path.stem != _NAME]

    def end_orphans(self) -> list[str]:
        """End what a killed supervisord left behind; return the services' names."""
        found = self.living()
        for number, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            left = self._held()
            for path in left:
                if group := locks.holder(path):
                    with suppress(ProcessLookupError):
                        # A stopped process would keep the signal waiting.
                        os.killpg(group, signal.SIGCONT)
                        os.killpg(group, number)
            _await_end(left, seconds)
        return found

    @property
    def _conf(self) -> Path:
        return self._folder.run / "supervisord.conf"

    def _held(self) -> list[Path]:
        return [p for p in sorted(self._folder.run.glob("*.lock")) if locks.holder(p) is not None]

    def _stop_in_order(self) -> None:
        """Stop nginx, then the replicas at once, then the store, then supervisord itself.

        supervisord's own way to end would look at one service a second.
        """
        names = self.processes().keys()
        for group in ([PROXY], sorted(names - {PROXY, STORE}), [STORE]):
            self._stop_all([name for name in group if name in names])
        self._control("shutdown")

    def _stop_all(self, names: Sequence[str]) -> None:
        for name in names:
            with suppress(NotRunningError):
                self._control("stopProcess", name, False)  # noqa: FBT003  (XML-RPC: do not wait)
        # supervisord kills what outstays its stopwaitsecs. Each question also wakes it up.
        while any(self.processes()[name].state == "STOPPING" for name in names):
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return bool(self._control("getState")["statename"] == "RUNNING")
        except KitError:
            return False


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only."""
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def _write_launcher(folder: StateFolder, environment: Environment) -> None:
    """Write ``run/launch``, so that no path of the caller's stands in supervisord's own format."""
    path = folder.run / "launch"
    python, script = (shlex.quote(str(p)) for p in (environment.python, launch.__file__))
    write_private(
        path,
        f'#!/bin/sh\nexec {python} -I -S {script} {shlex.quote(str(folder.run))}/"$1".json\n',
    )
    path.chmod(0o700)


def _await_end(paths: Sequence[Path], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(locks.holder(p) is not None for p in paths):
        time.sleep(0.02)
