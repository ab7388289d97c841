"""The stock server that stands beside the kit: Flask-Session under Gunicorn, behind nginx."""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import psutil

from loadtest import machine
from loadtest.errors import LoadTestError
from loadtest.frameworks import servers
from loadtest.frameworks.servers import Running
from loadtest.processes import kill_one

_CART = "loadtest.frameworks.apps.flask_cart:create_app('flask-session')"
_PACKAGES = ("flask", "flask-session", "gunicorn", "msgspec", "redis")


class Stock:
    """Flask with its own session under Gunicorn as its documentation starts it, behind nginx.

    Attributes:
        port: of nginx.
    """

    def __init__(self, folder: Path) -> None:
        self._socket, self._running = folder / "stock.sock", ExitStack()
        self._folder, self._rest, self._store = folder, ExitStack(), ExitStack()
        self._start_store()
        self._start(_CART)
        server = Running(0, self._socket)
        _, ports = self._rest.enter_context(servers.nginx({"stock": server}, folder))
        self.port = ports["stock"]

    def deploy(self, app: str = _CART) -> None:
        """Stop it and start it again, as `systemctl restart` does."""
        self._running.close()
        self._start(app)

    def scale(self, replicas: int) -> None:
        """Give it the workers of so many replicas by another start: there is one master."""
        self._running.close()
        self._start(_CART, 2 * replicas)

    def kill(self) -> None:
        """Kill the Gunicorn master; its workers end by themselves."""
        psutil.Process(self._pid).kill()

    def kill_worker(self) -> int:
        """Kill one worker; return how many were killed."""
        return kill_one(psutil.Process(self._pid).children())

    def dispose(self) -> None:
        """End it."""
        self._running.close()
        self._rest.close()
        self._store.close()

    def restart_store(self) -> None:
        """Restart the store, which saves its data as it does without settings."""
        self._store.close()
        self._start_store()

    def _start_store(self) -> None:
        self._url = self._store.enter_context(servers.store(self._folder, ())).database()

    def _start(self, app: str, workers: int = 4) -> None:
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "-w",
            str(workers),
            "-b",
            f"unix:{self._socket}",
            app,
        ]
        environment = {"REDIS_URL": self._url}
        served = servers.listening(command, self._socket, workers, environment, keepalive=False)
        self._pid = self._running.enter_context(served).pid


class ContainerStock(Stock):
    """The same in containers: `docker compose up --build -d` starts it and deploys it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder / "stock", machine.free_port()
        self._folder.mkdir()
        shutil.copytree(machine.CHECKOUT / "loadtest", self._folder / "loadtest")
        shutil.copy2(Path(__file__).with_name("stock.yaml"), self._folder / "compose.yaml")
        packages = "".join(f"{name}=={version(name)}\n" for name in _PACKAGES)
        (self._folder / "requirements.txt").write_text(packages, encoding="utf-8")
        self._releases = 0
        try:
            self._up(_CART)
        except LoadTestError:
            self.dispose()
            raise

    def deploy(self, app: str = _CART) -> None:
        """Build it and start it again, as `docker compose up --build -d` does."""
        self._up(app)

    def scale(self, replicas: int) -> None:
        """Run so many containers of the application."""
        self._compose("up", "--detach", "--scale", f"app={replicas}")

    def kill(self) -> None:
        """Kill the container of the application."""
        self._compose("kill", "app")

    def kill_worker(self) -> int:
        """Kill one worker; return how many were killed."""
        found = self._compose("ps", "--quiet", "app").split()[0]
        pid = int(self._docker("inspect", "--format", "{{.State.Pid}}", found))
        return kill_one(psutil.Process(pid).children())

    def restart_store(self) -> None:
        """Restart the store."""
        self._compose("restart", "redis")

    def dispose(self) -> None:
        """Remove it, its image included."""
        self._compose("down", "--volumes", "--rmi", "local", "--timeout", "2")

    def _up(self, app: str) -> None:
        self._releases += 1
        release = self._folder / "release.txt"
        release.write_text(f"{self._releases}\n", encoding="utf-8")
        self._app = app
        self._compose("up", "--build", "--detach")

    def _compose(self, *words: str) -> str:
        return self._docker("compose", "--project-name", f"prove-stock-{self.port}", *words)

    def _docker(self, *words: str) -> str:
        given = {name: text for name, text in os.environ.items() if not name.startswith("COMPOSE_")}
        ran = subprocess.run(
            ["docker", *words],
            cwd=self._folder,
            env={**given, "STOCK_APP": self._app, "STOCK_PORT": str(self.port)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise LoadTestError(f"docker {' '.join(words)}: {ran.stderr[-2000:]}")
        return ran.stdout
