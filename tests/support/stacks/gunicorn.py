"""One Gunicorn master, started as a replica is, and looked at from outside."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil

from tests.support.checkout import ROOT
from tests.support.http.wire import Answer, read_answer
from tests.support.waiting import PATIENCE, wait_until

# Nobody here needs longer to connect to a port (seconds); nginx gives a replica one.
_CONNECTING = 0.5

CONFIGURATION = ROOT / "app" / "gunicorn.conf.py"


class Gunicorn:
    """A master with its workers.

    Args:
        folder: an empty folder for its socket, its logs and what requests wait for.
        app: the application, such as `package.module:app`.
        arguments: further command-line arguments of Gunicorn.
        settings: further environment variables.
    """

    def __init__(self, folder: Path, app: str, *arguments: str, **settings: str) -> None:
        self.folder = folder
        self.socket = folder / "app.sock"
        # 0 for the unix socket.
        self._port = int(settings.get("BIND", ":0").rpartition(":")[2])
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}:{ROOT / 'app'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "APP": app,
            "BIND": f"unix:{self.socket}",
            "HOLDS": str(folder),
            "REPLICA": "app-1",
            **settings,
        }
        self._command = [sys.executable, "-m", "gunicorn", "-c", str(CONFIGURATION), *arguments]
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> "Gunicorn":
        """Start the master, without waiting for anything."""
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                self._command, env=self._environment, cwd=self.folder, stdout=out, stderr=err
            )
        return self

    def start(self, path: str = "/") -> "Gunicorn":
        """Start the master, and wait until all workers are there and `path` is answered."""
        return self.run().await_workers(path)

    def await_workers(self, path: str = "/") -> "Gunicorn":
        """Wait until all workers are there and `path` is answered."""
        workers = int(self._environment.get("WORKERS", "2"))
        wait_until(lambda: len(self.booted()) == workers, "workers that say they are there")
        wait_until(
            lambda: self.get(path).status == 200, "an answer", ignoring=(OSError, HTTPException)
        )
        return self

    @property
    def master(self) -> psutil.Process:
        """The master's process."""
        assert self.process
        return psutil.Process(self.process.pid)

    def workers(self) -> set[int]:
        """Return the pids of the workers that run."""
        # Applications of tests import this module, where there is no kit.
        from kit.system.processes import children

        return {*children(self.master.pid)}

    def booted(self) -> list[int]:
        """Return the pids of all workers that started, including those that ended."""
        starts = "Booting worker with pid: "
        lines = [str(line["message"]) for line in self.errors() if "message" in line]
        return [int(line.removeprefix(starts)) for line in lines if line.startswith(starts)]

    def connect(self) -> socket.socket:
        """Open a connection.

        Raises:
            OSError: the client did not get through.
        """
        connection = socket.socket(socket.AF_INET if self._port else socket.AF_UNIX)
        connection.settimeout(_CONNECTING if self._port else PATIENCE)
        try:
            connection.connect(("127.0.0.1", self._port) if self._port else str(self.socket))
        except OSError:
            connection.close()
            raise
        connection.settimeout(PATIENCE)
        return connection

    def connects(self) -> bool:
        """Return whether a client gets through."""
        with suppress(OSError):
            self.connect().close()
            return True
        return False

    @contextmanager
    def asked_by(self, clients: int) -> Iterator["Asked"]:
        """Let clients send requests without a pause until the block ends, or none connects."""
        asked = Asked()
        with ThreadPoolExecutor(clients) as pool:
            for _ in range(clients):
                pool.submit(asked.ask, self)
            try:
                yield asked
            finally:
                asked.stop.set()

    def send(self, path: str, *headers: str, on: socket.socket | None = None) -> socket.socket:
        """Send a request on a fresh connection or a given one; finish() reads its answer."""
        connection = on or self.connect()
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
        try:
            connection.sendall("\r\n".join(lines).encode("latin-1"))
        except OSError:
            connection.close()
            raise
        return connection

    def get(self, path: str = "/", *headers: str) -> Answer:
        """Send a request and return its answer."""
        return finish(self.send(path, *headers))

    def hold(self, name: str) -> socket.socket:
        """Send a request that a worker holds until release(), and wait until one does."""
        connection = self.send(f"/hold/{name}")
        wait_until((self.folder / f"{name}.held").exists, f"a worker that holds {name}")
        return connection

    def release(self, name: str) -> None:
        """Let a held request be answered."""
        (self.folder / f"{name}.go").touch()

    def signal(self, number: signal.Signals) -> None:
        """Send the master a signal."""
        self.master.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait until the master has ended, and return its exit code."""
        assert self.process
        return self.process.wait(seconds)

    def accesses(self) -> list[dict[str, Any]]:
        """Return the entries of the access log."""
        return _entries(self.folder / "out")

    def errors(self) -> list[dict[str, Any]]:
        """Return the entries of the error log; lines that are not JSON as ``{"text"}``."""
        return _entries(self.folder / "err")

    def output(self) -> bytes:
        """Return everything that it wrote."""
        return (self.folder / "out").read_bytes() + (self.folder / "err").read_bytes()

    def stop(self) -> None:
        """End the master and its workers, in whatever state they are."""
        if self.process is None:
            return
        processes = [self.process.pid, *self.booted()]
        for pid in processes:
            try:
                process = psutil.Process(pid)
                if process.environ().get("HOLDS") == str(self.folder):
                    process.kill()
            except psutil.Error:
                continue
        self.process.wait(PATIENCE)


@dataclass
class Asked:
    """What clients met.

    Attributes:
        statuses: of all answers.
        lost: why a request that was sent had no answer.
        refused: how many clients ended because they did not connect.
    """

    statuses: list[int] = field(default_factory=list)
    lost: list[Exception] = field(default_factory=list)
    refused: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, server: Gunicorn) -> None:
        """Send requests, one after the other."""
        while not self.stop.is_set():
            try:
                connection = server.connect()
            except OSError:
                self.refused += 1
                return
            try:
                with connection:
                    self.statuses.append(finish(server.send("/", on=connection)).status)
            except Exception as error:  # noqa: BLE001  (what was lost is what is asserted)
                self.lost.append(error)


def finish(connection: socket.socket) -> Answer:
    """Read the answer that a connection brings, and close it."""
    with connection:
        return read_answer(connection)


def _entries(path: Path) -> list[dict[str, Any]]:
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            entries.append({"text": line})
    return entries
