"""supervisord, one for each stack: start it, tell it about services, stop it."""

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.local import launch
from kit.local.configuration import configuration
from kit.local.rpc import NotRunningError, Supervisord
from kit.local.services import NGINX, Service, is_store
from kit.setup.environment import Environment
from kit.state import StateFolder, write_private
from kit.system import locks, logs

_NAME = "supervisord"
# It would print a failure to write a log to its standard error, and on a full disk end by that.
_PROGRAM = (
    "from supervisor import loggers, supervisord; "
    "loggers.Handler.handleError = lambda _: None; supervisord.main()"
)
_START_SECONDS = 15
_MUTE_STOP_SECONDS = 2
# Longer than startsecs of a service.
_SETTLE_SECONDS = 2


def stop_seconds(configuration: str) -> int:
    """Return how long supervisord may take to stop: longer than the slowest of its services."""
    waits = re.findall(r"^stopwaitsecs=(\d+)", configuration, re.MULTILINE)
    return 20 + max(map(int, waits), default=40)


@dataclass(frozen=True, slots=True)
class Process:
    """What supervisord knows of one service; ``pid`` is 0 if there is no process."""

    name: str
    state: str
    pid: int
    started: int
    """Seconds since the epoch."""

    @property
    def runs(self) -> bool:
        """Whether it runs, or supervisord is about to see that it does."""
        return self.state in {"RUNNING", "STARTING"}


class Supervisor:
    """The supervisord of one stack."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        # The sizes of logs before this verb started their services.
        self._log_starts: dict[str, int] = {}

    def is_running(self) -> bool:
        """Whether this stack's supervisord runs."""
        return locks.holder(self._state.service_lock(_NAME)) is not None

    def former_root(self) -> Path | None:
        """Return where the state folder was when supervisord started, if that is elsewhere."""
        if not self.is_running():
            return None
        former = Path(self.described(_NAME)["cwd"])
        with suppress(FileNotFoundError):
            return None if former.samefile(self._state.root) else former
        return former

    def start(self, services: Sequence[Service], environment: Environment) -> None:
        """Start supervisord, which knows these services, and wait until it answers."""
        write_private(self._conf, configuration(services, self._state))
        argv = (str(environment.python), "-c", _PROGRAM, "-c", str(self._conf))
        supervisord = Service(_NAME, argv, self._state.root)
        write_private(self._state.service_spec(_NAME), supervisord.description(self._state))
        output = self._state.log / "supervisord.output.log"
        with output.open("wb") as file:
            # In its own session, so that Ctrl-C in the caller's terminal does not reach the stack.
            process = subprocess.Popen(
                [self._state.run / "launch", _NAME],
                cwd=self._state.root,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        deadline = time.monotonic() + _START_SECONDS
        try:
            while time.monotonic() < deadline and process.poll() is None:
                if self._answers():
                    return
                time.sleep(0.02)
        except KeyboardInterrupt:
            # It may not hold its lock yet, by which other verbs would find it.
            process.terminate()
            process.wait()
            raise
        last = output.read_text(encoding="utf-8", errors="replace").strip()[-1000:]
        raise KitError(
            f"supervisord did not start. Its output:\n{last or '(nothing)'}",
            f"see its log, {self._state.log / 'supervisord.log'}",
            "`make down` stops what has started",
        )

    def write_launcher(self, environment: Environment) -> None:
        """Write ``run/launch``, so that supervisord's format contains no path of the caller's.

        It needs nothing of the checkout, and starts in the state folder.
        """
        path = self._state.run / "launch"
        script = Path(launch.__file__).read_text(encoding="utf-8")
        write_private(path.with_suffix(".py"), script)
        python = shlex.quote(str(environment.python))
        write_private(path, f'#!/bin/sh\nexec {python} -I -S run/launch.py run/"$1".json\n')
        path.chmod(0o700)

    def adopt(self, services: Sequence[Service]) -> None:
        """Tell supervisord about services; those that it knows already stay.

        supervisord changes a service only after it has stopped it. So what runs keeps its settings.
        """
        known = self.processes()
        running = {name for name, process in known.items() if process.pid}
        former = self._conf.read_text(encoding="utf-8") if self._conf.exists() else ""
        write_private(self._conf, configuration(services, self._state, former, running))
        unknown = {service.name for service in services} - known.keys()
        ((_added, changed, _removed),) = self._call("reloadConfig")
        for name in changed:
            self.drop(name)
        for name in sorted(unknown.union(changed)):
            self._call("addProcessGroup", name)

    def drop(self, *names: str) -> None:
        """Stop services, all at once, and forget them."""
        self.stop(*names)
        for name in names:
            self._call("removeProcessGroup", name)

    def processes(self) -> dict[str, Process]:
        """Return what supervisord knows of each service, by name."""
        return {
            p["name"]: Process(p["name"], p["statename"], p["pid"], p["start"])
            for p in self._call("getAllProcessInfo")
        }

    def settled(self) -> dict[str, Process]:
        """Return the same, once supervisord has seen that what it has just started runs."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < deadline and any(
            process.state == "STARTING" for process in self.processes().values()
        ):
            time.sleep(0.05)
        return self.processes()

    def launch(self, service: Service) -> None:
        """Start a service as it is described now. Do not wait until it is ready."""
        # Written first: on a full disk nothing stops.
        spec = self._state.service_spec(service.name)
        write_private(spec.with_suffix(".next"), service.description(self._state))
        self.stop(service.name)
        spec.with_suffix(".next").replace(spec)
        self.start_again(service.name)

    def start_again(self, name: str) -> None:
        """Start a stopped service as it was described before."""
        log = self._state.service_log(name)
        self._log_starts[name] = log.stat().st_size if log.exists() else 0
        self._call("startProcess", name, False)  # noqa: FBT003  (XML-RPC: do not wait)

    def last_words(self, name: str) -> str:
        """Return the end of a service's log, since it was started."""
        path, start = self._state.service_log(name), self._log_starts.get(name, 0)
        return logs.last_words(logs.last_lines(path, logs.READ_LINES, start))

    def is_as_described(self, service: Service) -> bool:
        """Whether the service was last started with the same description."""
        path = self._state.service_spec(service.name)
        return path.exists() and path.read_text("utf-8") == service.description(self._state)

    def described(self, name: str) -> dict[str, Any]:
        """Return the description that a service was last started with."""
        spec: dict[str, Any] = json.loads(self._state.service_spec(name).read_text("utf-8"))
        return spec

    def release_of(self, name: str) -> tuple[Path, Path]:
        """Return the folder of a replica's release, and the one of its packages."""
        spec = self.described(name)
        return Path(spec["cwd"]).parent, Path(spec["argv"][0]).parents[1]

    def digest(self, name: str, *ignored: str) -> str:
        """Return a digest of what a replica was started with, without its name and `ignored`."""
        if not self._state.service_spec(name).exists():
            return ""
        return digest(self.described(name), *ignored)

    def stop(self, *names: str) -> None:
        """Stop services, all at once, and wait until they have ended."""
        for name in names:
            with suppress(NotRunningError):
                self._call("stopProcess", name, False)  # noqa: FBT003  (XML-RPC: do not wait)
        # supervisord kills what exceeds its stopwaitsecs. Each question also wakes it up.
        while any(self.processes()[name].state == "STOPPING" for name in names):
            time.sleep(0.02)

    def signal(self, name: str, name_of_signal: str) -> None:
        """Send a signal, such as ``HUP``, to a service's first process."""
        self._call("signalProcess", name, name_of_signal)

    def shut_down(self) -> list[str]:
        """Stop everything, in whatever condition it is; return the services that ended."""
        ended = self.living()
        seconds = stop_seconds(
            self._conf.read_text(encoding="utf-8") if self._conf.exists() else ""
        )
        if supervisor := locks.holder(self._state.service_lock(_NAME)):
            try:
                self._stop_in_order()
            except KitError:
                # It runs and does not answer: it may be stopped, or its socket was removed.
                seconds = _MUTE_STOP_SECONDS
                os.kill(supervisor, signal.SIGTERM)
            _await_end([self._state.service_lock(_NAME)], seconds)
        self.end_orphans()
        self._state.remove_sockets()
        return ended

    def living(self) -> list[str]:
        """Return the services that have a process, with or without a supervisord."""
        return [path.stem for path in self._held() if path.stem != _NAME]

    def end_orphans(self) -> list[str]:
        """Stop what a killed supervisord left behind; return the services' names."""
        found = self.living()
        for number, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            left = self._held()
            for path in left:
                if group := locks.holder(path):
                    with suppress(ProcessLookupError):
                        # A stopped process would receive the signal only once it continues.
                        os.killpg(group, signal.SIGCONT)
                        os.killpg(group, number)
            _await_end(left, seconds)
        return found

    @property
    def _call(self) -> Supervisord:
        return Supervisord(self._state.sockets / "supervisor.sock")

    @property
    def _conf(self) -> Path:
        return self._state.run / "supervisord.conf"

    def _held(self) -> list[Path]:
        return [p for p in sorted(self._state.run.glob("*.lock")) if locks.holder(p) is not None]

    def _stop_in_order(self) -> None:
        """Stop nginx, then the replicas at once, then the store, then supervisord itself.

        Left alone, supervisord would look at one service a second.
        """
        names = self.processes().keys()
        stores = set(filter(is_store, names))
        for group in ([NGINX], sorted(names - {NGINX} - stores), sorted(stores)):
            self.stop(*(name for name in group if name in names))
        self._call("shutdown")

    def _answers(self) -> bool:
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except KitError:
            return False


def digest(spec: dict[str, Any], *ignored: str) -> str:
    """Return a digest of a replica's description, without its name and some variables."""
    left_out = {"BIND", "METRICS", "REPLICA", *ignored}
    env = {name: text for name, text in spec["env"].items() if name not in left_out}
    content = json.dumps([spec["argv"], spec["cwd"], sorted(env.items())])
    return hashlib.sha256(content.encode()).hexdigest()


def _await_end(paths: Sequence[Path], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(locks.holder(p) is not None for p in paths):
        time.sleep(0.02)
