"""The Docker engine: an unusable one is refused before anything starts, with a reason."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kit.docker.engine import Engine, explained
from kit.errors import KitError

FakeDocker = Callable[[str], None]


@pytest.fixture(name="fake_docker")
def _fake_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """Put a program `docker` that runs some lines of shell on the PATH, alone."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(lines: str) -> None:
        program = tmp_path / "docker"
        program.write_text(f"#!/bin/sh\n{lines}\n")
        program.chmod(0o755)

    return make


_NEW = "[ $1 = version ] && echo 26.1.5 ||"


@pytest.mark.parametrize(
    ("lines", "problem", "hint"),
    [
        ("", "not installed", "leave RUNTIME unset"),
        (
            "echo 'permission denied while trying to connect to the Docker daemon' >&2; exit 1",
            *("may not use the Docker engine", "usermod -aG docker"),
        ),
        (
            "echo 'Cannot connect to the Docker daemon at unix:///x. Is it running?' >&2; exit 1",
            *("no Docker engine answers", "systemctl start docker"),
        ),
        ("echo 20.10.24", "Docker engine 20.10.24 is too old", "upgrade it"),
        (f"{_NEW} exit 1", "Docker Compose v2 is not installed", "docker-compose-plugin"),
        (f"{_NEW} echo v2.24.3", "Docker Compose v2.24.3 is too old: 2.24.4", "upgrade it"),
    ],
    ids=["missing", "forbidden", "stopped", "old engine", "no compose", "old compose"],
)
def test_unusable_engine_is_refused(
    fake_docker: FakeDocker, lines: str, problem: str, hint: str
) -> None:
    """Each way in which engine or Compose cannot be used has its own error and hint."""
    if lines:
        fake_docker(lines)
    with pytest.raises(KitError) as caught:
        Engine().require()
    assert problem in caught.value.problem
    assert hint in "\n".join(caught.value.hints)


@pytest.mark.parametrize("version", ["25.0.0", "29.1.3", "dev"])
def test_new_engine_is_accepted(fake_docker: FakeDocker, version: str) -> None:
    """The oldest version that works, a later one, and one without a number are accepted."""
    fake_docker(f"[ $1 = version ] && echo {version} || echo 2.24.4-4")
    Engine().require()


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("Bind for 127.0.0.1:8080 failed: port is already allocated", "PORT=8081"),
        ("could not find an available, non-overlapping IPv4 address pool", "network prune"),
        ("something new", "make status"),
    ],
)
def test_failed_command_is_explained(said: str, hint: str) -> None:
    """A known failure becomes a reason with hints; its line of the output is shown, too."""
    error = explained(["compose", "up"], f" Container x  Starting\n{said}\n")
    assert said in error.problem
    assert hint in "\n".join(error.hints)
