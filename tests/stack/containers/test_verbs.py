"""The verbs with RUNTIME=docker: what they start, change and end, and what they say."""

import json
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stack.containers.conftest import StartContainers
from tests.support.containers import ContainerStack, docker
from tests.support.waiting import wait_until


@pytest.fixture(name="fresh", scope="module")
def _fresh(new_stack: StartContainers) -> Iterator[ContainerStack]:
    """Containers that each test finds as the one before left them."""
    stack = new_stack(REPLICAS="2", WORKERS="1")
    yield stack
    assert not stack.dispose()


@contextmanager
def _ended_after(seconds: float, process: subprocess.Popen[str]) -> Iterator[None]:
    timer = threading.Timer(seconds, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _ids(stack: ContainerStack) -> list[tuple[str, str]]:
    found = [entry for name in ("app", "nginx", "redis") for entry in stack.inspect(name)]
    return [(entry["Id"], entry["State"]["StartedAt"]) for entry in found]


def test_up_says_what_runs_and_what_comes_next(fresh: ContainerStack) -> None:
    """`make up` prints the URL, each part, and the next commands; the URL answers at once."""
    printed = fresh.up()
    for word in (f"http://127.0.0.1:{fresh.port}", "app-1, app-2", "nginx", "Redis", "make status"):
        assert word in printed
    assert fresh.is_ready()
    assert len(fresh.replicas()) == 2


def test_up_again_changes_nothing(fresh: ContainerStack) -> None:
    """A second `make up` says that there is nothing to change, and restarts nobody."""
    before = _ids(fresh)
    assert "Nothing to change" in fresh.up()
    assert _ids(fresh) == before


def test_the_status(fresh: ContainerStack) -> None:
    """`make status` names each container and each worker, with its requests."""
    for _ in range(4):
        fresh.browser().cart()
    lines = [line.split() for line in fresh.succeed("status").splitlines()]
    by_name = {line[0]: line for line in lines if line}
    assert {"app-1", "app-2", "nginx", "redis"} <= by_name.keys()
    assert all(by_name[name][2] == "healthy" for name in ("app-1", "app-2", "nginx", "redis"))
    assert sum(int(by_name[name][-1]) for name in ("app-1", "app-2")) >= 4
    workers = [line for line in lines if line[:1] == ["worker"] and len(line) == 5]
    assert sum(int(line[-1]) for line in workers) >= 4


def test_the_logs(fresh: ContainerStack) -> None:
    """`make logs SERVICE=` follows one container's log until interrupted; an unknown one fails."""
    process = fresh.start_verb("logs", SERVICE="app-1")
    assert process.stdout is not None
    # It follows for ever, so that a log without a line would hold the test up.
    with _ended_after(60, process):
        printed = process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        printed += process.communicate()[0]
    assert "app-1" in printed
    assert "app-2" not in printed
    assert "nginx" in fresh.fail("logs", SERVICE="app-9")


def test_secrets(fresh: ContainerStack) -> None:
    """Secrets are files in a folder that only their owner enters; a second start keeps them."""
    folder = fresh.folder.secrets
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(fresh.folder.secret_key.stat().st_mode) == 0o600
    assert {path.name for path in folder.iterdir()} == {
        "secret_key", "redis_url", "redis_users", "redis_health_password",
    }  # fmt: skip


def test_the_other_runtime_keeps_off(fresh: ContainerStack, tmp_path: Path) -> None:
    """The local runtime refuses a folder whose containers run at once, and says whose it is."""
    assert fresh.project in fresh.fail("up", RUNTIME="local", VENV_DIR=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert fresh.project in fresh.fail("clean", RUNTIME="local")
    assert "RUNTIME=docker" in fresh.succeed("status", RUNTIME="local")
    assert fresh.is_ready()


def test_down_keeps_the_data(fresh: ContainerStack) -> None:
    """`make down` ends every container and says so; after `make up` the cart is there."""
    browser = fresh.browser()
    browser.add("tea", 2)
    project = fresh.project
    printed = fresh.down()
    assert "Stopped: redis, app-1, app-2, nginx." in printed
    assert (
        docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project}")
        == ""
    )
    assert "Nothing is running" in fresh.succeed("status")
    fresh.up()
    assert browser.cart() == {"tea": 2}


def test_an_interrupted_start_leaves_nothing(fresh: ContainerStack) -> None:
    """Ctrl-C half-way through a first start ends the containers that it had begun."""
    fresh.down()
    process = fresh.start_verb("up")
    wait_until(lambda: bool(fresh.inspect("redis")), "it has begun")
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in printed
    assert "Interrupted" in printed
    assert not fresh.inspect("redis")


def test_events(fresh: ContainerStack) -> None:
    """What happened is in events.jsonl, in order."""
    lines = fresh.folder.events.read_text().splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds[:3] == ["started", "stopped", "started"]


def test_clean_removes_everything(fresh: ContainerStack) -> None:
    """`make clean` leaves no container, volume, network, image or folder."""
    fresh.up()
    project = fresh.project
    fresh.succeed("clean")
    mine = f"label=com.docker.compose.project={project}"
    for kind in ("container", "volume", "network"):
        everything = ["--all"] if kind == "container" else []
        assert docker(kind, "ls", "--quiet", *everything, "--filter", mine) == ""
    assert docker("image", "ls", "--quiet", f"{project}/app") == ""
    assert not fresh.state_dir.exists()
