"""`make bench` says why it cannot measure, and what to do about it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest import machine
from loadtest.errors import LoadTestError
from loadtest.frameworks import load, servers
from tests.support.checkout import ROOT


def _bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    modules = f"{ROOT}:{ROOT / 'app'}"
    return subprocess.run(
        [sys.executable, "-m", "loadtest", "bench", *arguments],
        env={**os.environ, "PYTHONPATH": modules, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _programs(folder: Path) -> str:
    """Return a PATH with a program named wrk, and nothing else."""
    (folder / "wrk").write_text("#!/bin/sh\n")
    (folder / "wrk").chmod(0o700)
    return str(folder)


def test_without_wrk_it_says_how_to_get_it_and_takes_locust(tmp_path: Path) -> None:
    """Without wrk a line says what Locust means for the figures, and the benchmark goes on."""
    done = _bench(PATH=str(tmp_path), REDIS_SERVER="/nonexistent/redis-server")
    assert done.stdout.startswith(
        "wrk is not installed (apt-get install wrk, or brew install wrk): Locust makes the load, "
        "and its CPU limits the throughput\n"
    )
    assert done.stderr.startswith("error: cannot start store: ")


def test_without_wrk_and_locust_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without both, the hint names wrk, which is better."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        LoadTestError, match=r"neither wrk nor Locust is installed\n  hint: apt-get install"
    ):
        load.generator()


def test_without_npm_express_is_left_out(tmp_path: Path) -> None:
    """Express is named with the reason; if it is alone, nothing is left to measure."""
    done = _bench("--only", "express", PATH=_programs(tmp_path))
    assert "express is left out: node is not on the PATH" in done.stdout
    assert "apt-get install npm" in done.stdout
    assert done.returncode == 2
    assert done.stderr.startswith("error: nothing is left to measure")


def test_a_store_that_cannot_start_is_named(tmp_path: Path) -> None:
    """The message says that REDIS_SERVER names no program, or another one."""
    missing = _bench(PATH=_programs(tmp_path), REDIS_SERVER="/nonexistent/redis-server")
    assert missing.returncode == 2
    assert "cannot start store: " in missing.stderr
    assert "/nonexistent/redis-server" in missing.stderr
    other = _bench(PATH=_programs(tmp_path), REDIS_SERVER="/bin/false")
    assert other.returncode == 2
    assert "store did not start" in other.stderr


def test_a_port_that_was_taken_meanwhile_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server on nginx's port is not taken for nginx."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(machine, "free_port", lambda: other.getsockname()[1])
        app = servers.Running(os.getpid(), folder / "app.sock")
        with (
            pytest.raises(LoadTestError, match=r"(?s)bind\(\).*run it again"),
            servers.nginx({"app": app}, folder),
        ):
            pass


@pytest.mark.parametrize(
    ("node", "npm", "reason"),
    [
        (
            "echo v22.1.0",
            "echo 'npm error no such registry' >&2; echo 'npm error A complete log' >&2; exit 7",
            "`npm install` ended with 7: npm error no such registry",
        ),
        ("echo v22.1.0", "exit 1", "`npm install` ended with 1: without a message"),
        ("echo v22.1.0", "exit 0", "npm has not installed connect-redis"),
        ("echo 'no libuv' >&2; exit 127", "", "`node --version` ended with 127: no libuv"),
        ("echo 22", "", "`node --version` ended with 0: 22"),
        ("echo v16.20.2", "", "node is v16.20.2, and Express needs 18 or newer"),
    ],
)
def test_npm_or_node_that_fails_leaves_express_out(
    node: str, npm: str, reason: str, tmp_path: Path
) -> None:
    """Their last line is quoted, the others go on, and nothing incomplete is kept."""
    path = _programs(tmp_path)
    for name, script in (("node", node), ("npm", npm)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o700)
    environments = tmp_path / "environments"
    environments.mkdir()
    # Without a store: which applications take part has been decided when it is missed.
    done = _bench(
        "--only", "express", "unsticky",
        PATH=path, VENV_DIR=str(environments), REDIS_SERVER="/nonexistent/redis-server",
    )  # fmt: skip
    assert f"express is left out: {reason}\n" in done.stdout
    assert done.stderr.startswith("error: cannot start store: ")
    assert not list(environments.iterdir())


def test_another_file_than_raw_data_is_refused(tmp_path: Path) -> None:
    """`--again` says which kind of file it takes."""
    (tmp_path / "other.json").write_text("{}")
    done = _bench("--again", str(tmp_path / "other.json"))
    assert done.returncode == 2
    assert "is no raw data of a comparison" in done.stderr
