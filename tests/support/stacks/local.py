"""A stack of the local runtime, driven by the verbs a user types."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import httpx
import psutil
import redis
from kit.state import StateFolder
from kit.system import locks
from kit.system.processes import children

from tests.support.http.client import ask, serves
from tests.support.ports import free_port
from tests.support.shop.client import ShopClient
from tests.support.waiting import wait_until

# Longer than any verb takes, also on a slow machine (seconds).
_VERB_SECONDS = 120.0

# Not the settings of the developer's own stack, nor what the make that runs the tests hands down.
_INHERITED = re.compile(
    "PATH|HOME|USER|LANG|LC_.*|TMPDIR|TZ|PYTHON|NGINX_BIN|REDIS_SERVER|PIP_.*|SSL_CERT_.*|.*_proxy"
)


@dataclass
class Stack:
    """One stack: a state folder, a port, and the settings it was last started with.

    Args:
        state_dir: its folder; the environments are shared with the checks.
        port: on 127.0.0.1.
        settings: other variables of ``make up``.
        checkout: whose Makefile is used.
        prefix: stands before ``make``, such as ``setpriv …`` for another user.
    """

    state_dir: Path
    port: int
    settings: dict[str, str]
    checkout: Path
    prefix: tuple[str, ...] = ()

    STORE: ClassVar = "valkey"
    """The store's name in `make status`."""
    RECOVERY_SECONDS: ClassVar = 5.0
    """How long the workers may take until they use a store that answers again."""

    @property
    def folder(self) -> StateFolder:
        """The layout of its state folder."""
        return StateFolder(self.state_dir)

    def start_verb(self, verb: str, **settings: str) -> subprocess.Popen[str]:
        """Start a verb in a process group of its own, as a terminal does; do not wait for it."""
        given = {
            "VENV_DIR": os.environ.get("VENV_DIR", str(Path(sys.prefix).parent)),
            "STATE_DIR": str(self.state_dir),
            "PORT": str(self.port),
            # Its tests set it.
            "SMOKE_SECONDS": "0",
            **self.settings,
            **settings,
        }
        return subprocess.Popen(
            [
                *self.prefix,
                *("make", "--no-print-directory", "-C", str(self.checkout), verb),
                *(f"{name}={value}" for name, value in given.items()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={name: os.environ[name] for name in os.environ if _INHERITED.fullmatch(name)},
            start_new_session=True,
        )

    def verb(self, verb: str, **settings: str) -> tuple[int, str]:
        """Run a verb to its end; return its exit status and all it printed."""
        process = self.start_verb(verb, **settings)
        try:
            printed, _ = process.communicate(timeout=_VERB_SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return process.returncode, printed

    def succeed(self, verb: str, **settings: str) -> str:
        """Run a verb that has to work; return what it printed."""
        status, printed = self.verb(verb, **settings)
        assert status == 0, f"make {verb} failed with {status}:\n{printed}"
        return printed

    def fail(self, verb: str, **settings: str) -> str:
        """Run a verb that must not work; return what it printed.

        Raises:
            AssertionError: it worked, or it failed with a trace instead of a message.
        """
        status, printed = self.verb(verb, **settings)
        assert status != 0, f"make {verb} worked:\n{printed}"
        assert "Traceback" not in printed, printed
        assert "hint:" in printed, printed
        return printed

    def up(self, **settings: str) -> str:
        """Start the stack, or bring it to other settings, which it keeps."""
        self.settings |= settings
        return self.succeed("up")

    def down(self) -> str:
        """Stop the stack."""
        return self.succeed("down")

    def dispose(self) -> str:
        """Stop the stack and remove its folder; return what was wrong with that, if anything.

        A process that ``make down`` left is killed, so that one failure is not the cause of the
        next.
        """
        if not self.state_dir.exists():
            return ""
        status, printed = self.verb("down")
        left = self.processes()
        for process in left:
            process.kill()
        shutil.rmtree(self.state_dir)
        if left:
            return f"make down left {left}:\n{printed}"
        return f"make down ended with {status}:\n{printed}" if status else ""

    def browser(self, *, keep_alive: bool = False) -> ShopClient:
        """Return a client of the shop without a cookie."""
        return ShopClient(self.port, keep_alive=keep_alive)

    def is_live(self) -> bool:
        """Whether nginx and some replica answer."""
        return serves(self.port)

    def is_ready(self) -> bool:
        """Whether the shop can store sessions."""
        return serves(self.port, "/readyz")

    def is_ready_throughout(self) -> bool:
        """Whether every worker can store sessions.

        A worker that met no store refuses at once for a second, each for itself.
        """
        everyone = {(name, pid) for name in self.replicas() for pid in self.workers(name)}
        ready: set[str] = set()
        for _ in range(4 * len(everyone)):
            try:
                answer = ask(self.port, "GET", "/readyz")
            except httpx.TransportError:
                return False
            if answer.status != 200:
                return False
            ready.add(answer.headers["X-Served-By"])
        return ready == {f"{name}/{pid}" for name, pid in everyone}

    def pid(self, service: str) -> int:
        """Return the first process of a service: nginx, valkey, app-1 and so on."""
        found = locks.holder(self.folder.service_lock(service))
        assert found is not None, f"{service} does not run"
        return found

    def workers(self, replica: str) -> set[int]:
        """Return the pids of a replica's workers."""
        return {*children(self.pid(replica))}

    def metrics(self, replica: str) -> str:
        """Return what a replica tells Prometheus."""
        transport = httpx.HTTPTransport(uds=str(self.folder.sockets / f"{replica}-metrics.sock"))
        with httpx.Client(transport=transport) as client:
            return client.get("http://replica/metrics").text

    def replicas(self) -> list[str]:
        """Return the names of the replicas that run."""
        return sorted(
            path.stem
            for path in self.folder.run.glob("app-*.lock")
            if locks.holder(path) is not None
        )

    def running(self) -> dict[str, object]:
        """Return what runs, by its name in `make status`: an id that a restart changes."""
        held = {path.stem: locks.holder(path) for path in self.folder.run.glob("*.lock")}
        return {
            name: pid for name, pid in held.items() if pid is not None and name != "supervisord"
        }

    def left(self) -> list[object]:
        """Return every process that still belongs to the stack."""
        return [*self.processes()]

    def kill_replica(self, replica: str) -> None:
        """Kill the processes of a replica, all at once."""
        os.killpg(self.pid(replica), signal.SIGKILL)

    def end_service(self, service: str, number: signal.Signals) -> None:
        """Signal a service's first process and wait until it is started again."""
        before = self.running()[service]
        os.kill(self.pid(service), number)
        wait_until(
            lambda: (now := self.running().get(service)) and now != before,
            f"{service} is started again",
        )

    def stop_service(self, service: str) -> None:
        """Let supervisord stop a service, and not start it again."""
        url = f"unix://{self.folder.sockets}/supervisor.sock"
        command = [sys.executable, "-m", "supervisor.supervisorctl", "-s", url, "stop", service]
        subprocess.run(command, check=True, capture_output=True)

    @contextmanager
    def store_paused(self) -> Iterator[None]:
        """Let the store accept connections and answer nothing."""
        pid = self.pid("valkey")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def store(self) -> "redis.Redis":
        """Return a client of the kit's own store."""
        return redis.Redis(unix_socket_path=str(self.folder.sockets / "valkey.sock"))

    def stored(self) -> set[bytes]:
        """Return the keys that the store holds, those of the page /status left out."""
        with self.store() as client:
            return {key for key in client.scan_iter() if not key.startswith(b"shop:{status}:")}

    def processes(self) -> list[psutil.Process]:
        """Return every process that runs from the state folder or has it in its command."""
        return processes_of(self.state_dir)


AnyStack = TypeVar("AnyStack", bound=Stack)


def stacks(kind: type[AnyStack], checkout: Path) -> Iterator[Callable[..., AnyStack]]:
    """Yield a function that makes stacks, not started; remove every one of them afterwards."""
    made: list[AnyStack] = []

    def make(**settings: str) -> AnyStack:
        state_dir = Path(tempfile.mkdtemp(prefix="stack-"))
        made.append(kind(state_dir, free_port(), settings, checkout))
        return made[-1]

    yield make
    errors = [error for stack in made if (error := stack.dispose())]
    assert not errors, "\n".join(errors)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return every process that works in a folder or names it in its command."""
    found = []
    for process in psutil.process_iter():
        try:
            words, cwd = process.cmdline(), process.cwd()
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if process.pid != os.getpid() and any(str(folder) in word for word in (*words, cwd)):
            found.append(process)
    return found
