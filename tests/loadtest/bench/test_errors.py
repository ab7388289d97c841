"""`make bench` says why it cannot measure, and what to do about it."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest import machine
from loadtest.errors import LoadTestError
from loadtest.frameworks import load, mongodb, servers
from tests.support.checkout import ROOT

_NO_STORE = "/nonexistent/redis-server"
_NO_NODE = (
    "express is left out: node is not on the PATH; on Debian and Ubuntu: apt-get install npm\n"
)
_NO_MONGODB = (
    "unsticky-mongodb is left out: MONGODB_URL is not set: name a MongoDB server on this machine\n"
)
_NO_WRK = (
    "wrk is not installed (apt-get install wrk, or brew install wrk): Locust makes the load, and "
    "its CPU limits the throughput\n"
)


def _bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    modules = f"{ROOT}:{ROOT / 'app'}:{ROOT / 'compose'}"
    return subprocess.run(
        [sys.executable, "-m", "loadtest", "bench", *arguments],
        env={**os.environ, "PYTHONPATH": modules, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    """A folder for PATH with a program named wrk, and nothing else."""
    (tmp_path / "wrk").write_text("#!/bin/sh\n")
    (tmp_path / "wrk").chmod(0o700)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "environment", "printed", "error"),
    [
        (["--only", "express"], {}, _NO_NODE, "nothing is left to measure"),
        (["--only", "unsticky-mongodb"], {"MONGODB_URL": ""}, _NO_MONGODB,
         "nothing is left to measure"),
        (["--only", "anomalies", "unsticky-memory"], {},
         "unsticky-memory is left out: it has one process", "nothing is left to measure"),
        ([], {"REDIS_SERVER": _NO_STORE}, "", f"cannot start store: .*{_NO_STORE}"),
        ([], {"REDIS_SERVER": "/bin/false"}, "", "store did not start"),
        # Without wrk, a line says what Locust means for the figures, and the benchmark goes on.
        ([], {"PATH": "/none", "REDIS_SERVER": _NO_STORE}, _NO_WRK, "cannot start store: "),
        (["--again", f"{ROOT}/loadtest/frameworks/catalog.json"], {}, "",
         "catalog.json is no raw data of a comparison"),
        (["--again", "anomalies-none.json"], {}, "",
         "anomalies-none.json is no raw data of the anomalies"),
    ],
    ids=["npm", "no MongoDB", "one process", "no store", "broken store", "wrk", "raw data",
         "no anomalies"],
)  # fmt: skip
def test_what_is_missing_is_named(
    path: Path, arguments: list[str], environment: dict[str, str], printed: str, error: str
) -> None:
    """The benchmark ends with the reason, or goes on without a peer that cannot run."""
    done = _bench(*arguments, **{"PATH": str(path), **environment})
    assert done.returncode == 2
    assert printed in done.stdout
    assert re.match(f"error: .*{error}", done.stderr)


@pytest.mark.usefixtures("mongodb")
def test_a_mongodb_server_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The id of a server on another machine or in a container is no process here, or another."""
    assert mongodb.pid() > 1
    monkeypatch.setattr("psutil.pid_exists", lambda _: False)
    with pytest.raises(LoadTestError, match=r"no such process here\n  hint: start it on this"):
        mongodb.pid()


def test_a_mongodb_server_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark says that the server at MONGODB_URL does not answer."""
    monkeypatch.setattr(mongodb, "START_SECONDS", 0.1)
    monkeypatch.setenv("MONGODB_URL", f"mongodb://127.0.0.1:{machine.free_port()}")
    with pytest.raises(LoadTestError, match="the server at MONGODB_URL does not answer: "):
        mongodb.pid()


def test_without_wrk_and_locust_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without both, the hint names wrk, which is better."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        LoadTestError, match=r"neither wrk nor Locust is installed\n  hint: apt-get install"
    ):
        load.generator()


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
    node: str, npm: str, reason: str, path: Path
) -> None:
    """Their last line is quoted, the others go on, and nothing incomplete is kept."""
    for name, script in (("node", node), ("npm", npm)):
        (path / name).write_text(f"#!/bin/sh\n{script}\n")
        (path / name).chmod(0o700)
    environments = path / "environments"
    environments.mkdir()
    # Without a store: which applications take part has been decided when it is missed.
    done = _bench(
        "--only", "express", "unsticky",
        PATH=str(path), VENV_DIR=str(environments), REDIS_SERVER=_NO_STORE,
    )  # fmt: skip
    assert f"express is left out: {reason}\n" in done.stdout
    assert done.stderr.startswith("error: cannot start store: ")
    assert not list(environments.iterdir())
