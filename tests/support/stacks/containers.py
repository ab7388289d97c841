"""A stack of the docker runtime, driven by the same verbs, and what its engine says of it."""

import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kit.system.processes import is_exporter
from testcontainers.core.container import DockerContainer

from tests.support.needs import need
from tests.support.shop.client import ShopClient
from tests.support.stacks.local import Stack, stacks
from tests.support.stores.servers import Server, patient

_IMAGES = ("PYTHON", "NGINX", "REDIS", "VALKEY", "PROMETHEUS", "REDIS_EXPORTER", "BLACKBOX")


def docker(*arguments: str) -> str:
    """Run ``docker`` and return what it printed.

    Raises:
        AssertionError: it failed.
    """
    done = subprocess.run(
        ["docker", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"docker {arguments} failed:\n{done.stderr}"
    return done.stdout.strip()


def require_engine() -> None:
    """Need an engine that runs."""
    found = shutil.which("docker") and subprocess.run(
        ["docker", "compose", "ls"], check=False, capture_output=True
    )
    answers = found and found.returncode == 0
    need(answers, "no Docker engine with Compose v2 answers", "REQUIRE_CONTAINERS")


STORE_IMAGES = {
    "redis": (os.environ.get("REDIS_IMAGE") or "redis:8.2", "redis-server"),
    "valkey": (os.environ.get("VALKEY_IMAGE") or "valkey/valkey:9.1", "valkey-server"),
}


class ContainerServer(Server):
    """A server in a container, on a port of this host, without a file on disk."""

    def __init__(self, kind: str) -> None:
        image, program = STORE_IMAGES[kind]
        self._container = DockerContainer(image).with_exposed_ports(6379)
        self._container.with_command([program, "--save", "", "--protected-mode", "no"])
        try:
            self._container.start()
            port = self._container.get_exposed_port(6379)
            self.url = f"redis://127.0.0.1:{port}/0"
            self.raw = patient(self.url)
            self.raw.ping()
        except BaseException:
            # A failed start is never ended by the library itself.
            self._container.stop()
            raise

    def stop(self) -> None:
        """End the server; what it held is lost."""
        self.raw.close()
        self._container.stop()


StartContainers = Callable[..., "ContainerStack"]


@pytest.fixture(name="new_stack", scope="session")
def new_containers(checkout: Path) -> Iterator[StartContainers]:
    """Make stacks that are not started yet; remove every one of them afterwards."""
    require_engine()
    yield from stacks(ContainerStack, checkout)


@dataclass
class ContainerStack(Stack):
    """The containers of one state folder, with the face that the local runtime's stack has."""

    STORE = "redis"
    RECOVERY_SECONDS = 20.0

    def __post_init__(self) -> None:
        """Choose the runtime, and the images that the caller's environment names."""
        names = [f"{name}_IMAGE" for name in _IMAGES]
        images = {name: os.environ[name] for name in names if os.environ.get(name)}
        self.settings = {"RUNTIME": "docker", **images, **self.settings}

    @property
    def project(self) -> str:
        """The name of the Compose project."""
        return self.folder.project

    def inspect(self, service: str) -> list[dict[str, Any]]:
        """Return what the engine knows of a service's containers, in their order."""
        ids = _containers(f"project={self.project}", f"service={service}")
        found: list[dict[str, Any]] = (
            json.loads(docker("container", "inspect", *ids)) if ids else []
        )
        return sorted(found, key=_number)

    def running(self) -> dict[str, object]:
        """Return what runs, by its name in `make status`: an id that a restart changes."""
        return {
            f"app-{_number(entry)}" if service == "app" else service: (
                entry["Id"],
                entry["State"]["StartedAt"],
            )
            for service in ("app", "nginx", "redis")
            for entry in self.inspect(service)
            if entry["State"]["Running"]
        }

    def left(self) -> list[object]:
        """Return every container that still belongs to the stack."""
        digest = hashlib.sha256(os.fsencode(self.state_dir)).hexdigest()[:8]
        return [*_left_of(f"unsticky-{digest}")]

    def browser(self, *, keep_alive: bool = False) -> ShopClient:
        """Return a visitor without a cookie, who comes by TLS where that is spoken."""
        if "tls" not in self.settings.get("OVERLAYS", "").split(","):
            return super().browser(keep_alive=keep_alive)
        port = int(self.settings["TLS_PORT"])
        return ShopClient(port, keep_alive=keep_alive, tls=self.trusting())

    def trusting(self) -> ssl.SSLContext:
        """Return what a client needs who trusts the certificate that the kit made."""
        return ssl.create_default_context(cafile=str(self.folder.certificates / "fullchain.pem"))

    def replicas(self) -> list[str]:
        """Return the names by which the running replicas sign their answers."""
        return [entry["Id"][:12] for entry in self.inspect("app") if entry["State"]["Running"]]

    def workers(self, replica: str) -> set[int]:
        """Return the pids that a replica's workers have inside their container."""
        first = int(docker("inspect", "--format", "{{.State.Pid}}", replica))
        rows = map(str.split, docker("top", replica, "-eo", "pid,ppid,args").splitlines()[1:])
        return {
            _inside(int(pid))
            for pid, parent, *command in rows
            if int(parent) == first and not is_exporter(command)
        }

    def metrics(self, replica: str) -> str:
        """Return what a replica tells Prometheus, which comes from the stack's networks."""
        code = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:9200').read())"
        return docker("exec", replica, "python", "-c", code)

    def pid(self, service: str) -> int:
        """Return the host's pid of the first process of a service with one container."""
        (entry,) = self.inspect(service)
        pid: int = entry["State"]["Pid"]
        return pid

    def kill_replica(self, replica: str) -> None:
        """Kill the first process of a container, and so all of them."""
        os.kill(int(docker("inspect", "--format", "{{.State.Pid}}", replica)), signal.SIGKILL)

    def stop_service(self, service: str) -> None:
        """Let the engine stop a replica, and not start it again."""
        docker("stop", service)

    @contextmanager
    def store_paused(self) -> Iterator[None]:
        """Let the store accept connections and answer nothing."""
        with self.paused(self.inspect("redis")[0]["Id"]):
            yield

    @contextmanager
    def paused(self, container: str) -> Iterator[None]:
        """Freeze a container's processes: it accepts connections and answers nothing."""
        docker("pause", container)
        try:
            yield
        finally:
            docker("unpause", container)

    def dispose(self) -> str:
        """Remove all that was made; return what was wrong with that, if anything."""
        if not self.state_dir.exists():
            return ""
        project = self.project
        status, printed = self.verb("clean")
        left = _left_of(project)
        shutil.rmtree(self.state_dir, ignore_errors=True)
        for container in left:
            docker("rm", "--force", "--volumes", container)
        return f"make clean ended with {status}, left {left}:\n{printed}" if status or left else ""


def _number(entry: dict[str, Any]) -> int:
    return int(entry["Config"]["Labels"]["com.docker.compose.container-number"])


def _inside(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:  # noqa: PTH123  (no file of ours)
        return next(int(line.split()[-1]) for line in file if line.startswith("NSpid:"))


def _left_of(project: str) -> list[str]:
    return _containers(f"project={project}") if project else []


def _containers(*labels: str) -> list[str]:
    """Return the identities of the containers with these labels of Compose."""
    filters = [f"--filter=label=com.docker.compose.{label}" for label in labels]
    return docker("container", "ls", "--all", "--quiet", *filters).split()
