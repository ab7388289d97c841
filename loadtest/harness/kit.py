"""A stack of this checkout's kit, started from a copy of it, which can be changed."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from kit.system.processes import children

from loadtest import machine
from loadtest.errors import LoadTestError
from loadtest.harness import stack as harness
from loadtest.harness.containers import Containers
from loadtest.processes import kill_one

_PARTS = ("Makefile", "app", "compose", "loadtest", "nginx", "requirements", "pyproject.toml")
_VERB_SECONDS = 600
# What would reach out of the folder, or is for other verbs.
_OWN = frozenset(
    {
        "ARGS",
        "COMPOSE_FILE",
        "COMPOSE_PROJECT_NAME",
        "DATA_DIR",
        "DIR",
        "MAKEFLAGS",
        "MFLAGS",
        "OVERLAYS",
        "REDIS_URL",
        "SERVICE",
        "TRUSTED_HOSTS",
        "UNSTICKY_STORE",
    }
)


def inherited() -> dict[str, str]:
    """Return the caller's environment without what a stack in a copy must not have."""
    return {name: text for name, text in os.environ.items() if text and name not in _OWN}


class Kit:
    """See the module.

    Attributes:
        port: of nginx.
        is_shop: whether it runs the shop, and not the application of APP_DIR.
        runtime: local or docker.
        checkout: the copy.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        """Copy the checkout into the folder. Settings replace the environment's; "" is none."""
        self.port = machine.free_port()
        self.state = folder / "state"
        self.checkout = folder / "checkout"
        self.checkout.mkdir(parents=True)
        for part in _PARTS:
            source = machine.CHECKOUT / part
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, self.checkout / part)
        given = {name: text for name, text in (inherited() | settings).items() if text}
        self.runtime = given.get("RUNTIME", "local")
        self.is_shop = "APP_DIR" not in given
        self._code = self.checkout / "app" / "shop"
        if not self.is_shop:
            self._code = folder / "application"
            # Relative to the checkout, as the kit reads it.
            source = machine.CHECKOUT / Path(given["APP_DIR"]).expanduser()
            shutil.copytree(source, self._code, symlinks=True)
            given["APP_DIR"] = str(self._code)
        self._environment = {
            **given,
            "STATE_DIR": str(self.state),
            "PORT": str(self.port),
            "SHOP_DEMO": "1",
            "REPLICAS": "2",
            "WORKERS": given.get("WORKERS", "2"),
            # The load takes the same cores.
            "READY_TIMEOUT": "180",
        }
        self._release = 0
        self._verbs: list[subprocess.Popen[str]] = []

    def start_verb(self, verb: str, **settings: str) -> "subprocess.Popen[str]":
        """Start a verb in a session of its own."""
        process = subprocess.Popen(
            [self.checkout / "compose" / "kit" / "run", verb],
            env={**self._environment, **settings},
            text=True,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

        self._verbs.append(process)
        return process

    def verb(self, verb: str, **settings: str) -> tuple[int, str]:
        """Run a verb to its end; return its exit code and what it printed."""
        process = self.start_verb(verb, **settings)
        try:
            printed, _ = process.communicate(timeout=_VERB_SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return process.returncode, printed

    def succeed(self, verb: str, **settings: str) -> str:
        """Run a verb that has to work; return what it printed.

        Raises:
            LoadTestError: it did not.
        """
        status, printed = self.verb(verb, **settings)
        if status:
            raise LoadTestError(f"make {verb} ended with {status}:\n{printed[-2000:]}")
        return printed

    def change(self) -> None:
        """Change the code, as a new release does."""
        self._release += 1
        (self._code / "a_release.py").write_text(f"NUMBER = {self._release}\n", encoding="utf-8")

    @contextmanager
    def broken(self, build: str) -> Iterator[None]:
        """Change the shop to one of the builds of `wrong.py`, for as long as the block lasts."""
        package, wrong = self._code / "__init__.py", self.checkout / "app" / "wrong.py"
        text = package.read_text(encoding="utf-8")
        shutil.copy2(Path(__file__).with_name("wrong.py"), wrong)
        # The number makes it another release each time.
        self._release += 1
        faulty = f"{text}\nfrom wrong import {build} as create_app  # {self._release}\n"
        package.write_text(faulty, encoding="utf-8")
        try:
            yield
        finally:
            package.write_text(text, encoding="utf-8")
            wrong.unlink()

    def masters(self) -> set[int]:
        """Return the pids of the replicas' Gunicorn masters, as far as this machine sees them."""
        app = self._tiers().get("app", [])
        workers = {each.pid for each in app if _parent(each) in {other.pid for other in app}}
        return {each.pid for each in app} - workers

    def kill_worker(self) -> int:
        """Kill one worker; return how many were killed.

        Raises:
            LoadTestError: this machine cannot see them.
        """
        if not (app := self._tiers().get("app")):
            raise LoadTestError("this machine does not see the workers")
        masters = {process.pid for process in app}
        workers = {pid for master in masters for pid in children(master)}
        return kill_one([each for each in app if each.pid in workers])

    def processes(self) -> list[psutil.Process]:
        """Return its processes, as far as this machine sees them."""
        return [process for tier in self._tiers().values() for process in tier]

    def _tiers(self) -> dict[str, list[psutil.Process]]:
        stack = harness.Stack.running(self.state) or Containers.running(self.state)
        return stack.processes() if stack else {}

    def dispose(self) -> None:
        """Stop it, and remove what it made.

        Raises:
            LoadTestError: it could not be stopped.
        """
        # After Ctrl-C, one may run, and no other could begin.
        for process in self._verbs:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.succeed("clean" if self.runtime == "docker" else "down")


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return 0
