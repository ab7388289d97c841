"""The engine: what is wrong with it is said before anything is started."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kit.engine import Engine, explained
from kit.errors import KitError

FakeDocker = Callable[[str], None]


@pytest.fixture(name="fake_docker")
def _fake_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """Put a program `docker` on the PATH, alone, that runs some lines of shell."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(lines: str) -> None:
        program = tmp_path / "docker"
        program.write_text(f"#!/bin/sh\n{lines}\n")
        program.chmod(0o755)

    return make


def test_no_docker(fake_docker: FakeDocker) -> None:
    """Without the program, it is named as missing, and the local runtime as the way out."""
    del fake_docker
    with pytest.raises(KitError, match="not installed") as caught:
        Engine().require()
    assert "leave RUNTIME unset" in caught.value.cure


@pytest.mark.parametrize(
    ("lines", "problem", "cure"),
    [
        (
            "echo 'permission denied while trying to connect to the Docker daemon' >&2; exit 1",
            "You may not use the Docker engine",
            "usermod -aG docker",
        ),
        (
            "echo 'Cannot connect to the Docker daemon at unix:///x. Is it running?' >&2; exit 1",
            "No Docker engine answers",
            "systemctl start docker",
        ),
        ("echo 20.10.24", "engine is 20.10.24; 25.0.0 or newer", "Renew it"),
        (
            "[ $1 = version ] && echo 26.1.5 || { echo \"'compose' is no command\" >&2; exit 1; }",
            "Compose v2 is missing",
            "docker-compose-plugin",
        ),
        ("[ $1 = version ] && echo 26.1.5 || echo v2.24.3", "v2.24.3; 2.24.4 or newer", "Renew it"),
    ],
)
def test_an_engine_that_will_not_do(
    fake_docker: FakeDocker, lines: str, problem: str, cure: str
) -> None:
    """Not permitted, not running, too old, no Compose: each has its own sentence and cure."""
    fake_docker(lines)
    with pytest.raises(KitError) as caught:
        Engine().require()
    assert problem in caught.value.problem
    assert cure in caught.value.cure


@pytest.mark.parametrize("version", ["25.0.0", "29.1.3", "dev"])
def test_an_engine_that_will_do(fake_docker: FakeDocker, version: str) -> None:
    """The oldest that is new enough, a later one, and one without a number are taken."""
    fake_docker(f"[ $1 = version ] && echo {version} || echo 2.24.4-4")
    Engine().require()


def test_a_taken_port_is_explained() -> None:
    """What the engine says of a taken port becomes that, with the engine's own line."""
    error = explained(
        ["compose", "up"],
        " Container x  Starting\nError response from daemon: driver failed: Bind for "
        "127.0.0.1:8080 failed: port is already allocated\n",
    )
    assert "A port that nginx is to be published on is taken." in error.problem
    assert "127.0.0.1:8080" in error.problem
    assert "PORT=8081" in error.cure


def test_exhausted_networks_are_explained() -> None:
    """An engine that has many networks already can make no more: it says how to get room."""
    error = explained(
        ["compose", "up"],
        " Network x_edge  Error\nfailed to create network x_edge: Error response from daemon: "
        "could not find an available, non-overlapping IPv4 address pool among the defaults\n",
    )
    assert "no addresses left" in error.problem
    assert "docker network prune" in error.cure
