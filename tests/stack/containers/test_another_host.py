"""`compose/deploy` through a Docker context, onto a host with files of its own."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from kit.docker.containers import parsed
from kit.docker.script import Script

from tests.stack.containers.standalone import Project, visitors
from tests.support.checkout import ROOT
from tests.support.pages import blocks
from tests.support.stacks.containers import STORE_IMAGES, docker, require_engine
from tests.support.stacks.node import Node

_CONTEXT, _COPY = blocks("Deploy to another host", "sh", page=ROOT / "docs" / "operations.md")
# The caller's clock, which also made the times of files, differs from that of the engine.
_CLOCK = """
import os, time
ahead, now, stat = float(os.environ["AHEAD"]), time.time, os.stat

class Status:
    def __init__(self, *words, **options): self.real = stat(*words, **options)
    def __getattr__(self, name): return getattr(self.real, name) + ahead * (name == "st_ctime")

time.time, os.stat = lambda: now() + ahead, Status
"""


class Machine:
    """Somebody's machine, which knows the other host by a context."""

    def __init__(self, project: Project, node: Node, config: Path) -> None:
        self.folder = project.folder / "blog" / "deploy"
        self.variables = {"DOCKER_CONFIG": str(config), "DOCKER_CONTEXT": "shop"}
        self._environ = {**project.environ, **self.variables}
        script = _CONTEXT.text.replace("ssh://me@shop.example.org", node.host)
        assert node.host in script
        self.run(f"unset DOCKER_CONTEXT\n{script}")

    def run(self, script: str) -> None:
        """Run a script in the folder `deploy/`."""
        done = subprocess.run(
            ["sh", "-euc", script], env=self._environ, cwd=self.folder,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def copy(self) -> None:
        """Copy the folder to the other host, as the page says."""
        script = _COPY.text.replace("redis:8.2", STORE_IMAGES["redis"][0])
        self.run(script.replace("&& ./deploy", ""))


@pytest.fixture(name="node", scope="module")
def _node(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    port = f"--publish=127.0.0.1:{project.port}:{project.port}"
    node = Node(tmp_path_factory.mktemp("n"), port)
    try:
        images = (os.environ.get(f"{name}_IMAGE") for name in ("PYTHON", "NGINX", "REDIS"))
        node.load(*filter(None, images))
        yield node
    finally:
        node.dispose()


@pytest.fixture(name="project", scope="module")
def _project(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """An application whose folder is here."""
    require_engine()
    return Project(tmp_path_factory.mktemp("p"), checkout)


@pytest.fixture(name="machine", scope="module")
def _machine(project: Project, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The machine that deploys, with nothing on the other host yet."""
    project.environ.pop("DOCKER_HOST", None)
    machine = Machine(project, node, tmp_path_factory.mktemp("c"))
    project.environ |= {**machine.variables, "BIND_ADDRESS": "0.0.0.0"}  # noqa: S104
    project.docker = node.docker
    return machine


@pytest.fixture(name="deployed", scope="module")
def _deployed(project: Project, node: Node, machine: Machine) -> Machine:
    """The same, after its first deployment, before which one without a copy was refused."""
    status, printed = project.deploy()
    assert status == 1
    assert "error: the engine's host lacks a file: " in printed
    assert "another host needs a copy of this folder" in printed
    for kind in ("container", "volume", "image"):
        label = f"--filter=label=com.docker.compose.project={project.name}"
        assert not node.docker(kind, "ls", "--quiet", label)
    machine.copy()
    project.release("first")
    return machine


def test_changed_secret(project: Project, deployed: Machine, tmp_path: Path) -> None:
    """It exchanges the replicas once, although this machine's clock is wrong by an hour."""
    (tmp_path / "sitecustomize.py").write_text(_CLOCK)
    before = project.replicas()
    path = deployed.folder / "secrets" / "secret_key"
    path.chmod(0o644)
    path.write_text("changed")
    path.chmod(0o444)
    deployed.copy()
    # Into the file that the containers have mounted.
    assert project.inside("cat", "/run/secrets/secret_key") == "changed"
    clock = {"PYTHONPATH": str(tmp_path)}
    status, printed = project.deploy(**clock, AHEAD="-3600")
    assert status == 0, printed
    assert not before.items() & project.replicas().items()
    status, printed = project.deploy(**clock, AHEAD="3600")
    assert status == 0, printed
    assert "nothing to deploy" in printed


def test_old_copy_is_named(project: Project, deployed: Machine) -> None:
    """A template that is newer here than there: nothing changes."""
    before = project.replicas()
    template = deployed.folder / "nginx" / "server.conf.template"
    text = template.read_text()
    template.write_text(text + "# newer\n")
    status, printed = project.deploy()
    template.write_text(text)
    assert (status, project.replicas()) == (1, before)
    assert f"error: the engine's host has another {template}\n  hint: copy" in printed


def test_slow_names(
    project: Project, node: Node, deployed: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the engine names no replica, nginx knows where they are: nobody gets a 502."""
    del deployed
    engine = psutil.Process(int(docker("inspect", "--format={{.State.Pid}}", node.name)))
    monkeypatch.setenv("DOCKER_HOST", node.host)
    script, nginx = Script(project.name), project.containers("nginx")[0]
    found = json.loads(node.docker("inspect", *project.containers("app")))
    script.route([parsed(entry, project.name) for entry in found])
    # The script reads this file before it changes nginx' list.
    node.docker("exec", nginx, "sh", "-c", "echo sleep 2 >/var/cache/nginx/$HOSTNAME.sh")
    with ThreadPoolExecutor(1) as pool:
        routed = pool.submit(script.route, [])
        time.sleep(1)  # the script has begun, and waits: a suspended engine starts nothing
        engine.suspend()
        try:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                assert project.ask("GET")[0] == 200
                time.sleep(0.05)  # nginx's log has a pipe, which the engine does not empty now
        finally:
            engine.resume()
        routed.result()
    used = node.docker("exec", nginx, "cat", "/etc/nginx/conf.d/upstream.conf")
    assert "resolve" in used
    node.docker("exec", nginx, "sh", "-c", "rm /var/cache/nginx/$HOSTNAME.sh")


def test_release_and_rollback(
    project: Project, node: Node, deployed: Machine, tmp_path: Path
) -> None:
    """No request is lost, and a colleague who deploys at the same time is refused."""
    del deployed
    colleague = Machine(project, node, tmp_path)
    project.write("second")
    with visitors(project.port) as visits:
        first = project.start()
        try:
            assert first.stdout
            assert first.stdout.readline().startswith("building")
            status, printed = project.deploy("rollback", **colleague.variables)
            assert status == 1
            assert f"error: another deployment of {project.name} runs" in printed
            printed, _ = first.communicate()
        finally:
            first.kill()
        assert (first.returncode, project.serving()) == (0, {"second": 12}), printed
        status, printed = project.deploy("rollback", **colleague.variables)
        assert (status, project.serving()) == (0, {"first": 12}), printed
    assert not visits.lost[:10]
    assert visits.answered.total() > 100
