"""Locks that end with their holder."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from kit.errors import KitError
from kit.local import launch
from kit.system import locks

from tests.support.waiting import wait_until

_COMPOSE = str(Path(locks.__file__).parents[2])
Service = subprocess.Popen[bytes]


def test_second_verb_is_refused(tmp_path: Path) -> None:
    """A second verb is refused while the first runs, names it, and may run afterwards."""
    lock = tmp_path / "lock"
    with locks.one_verb(lock, "up"):
        refused = pytest.raises(KitError, match=f"`make up` .pid {os.getpid()}.")
        with refused, locks.one_verb(lock, "down"):
            pass
    with locks.one_verb(lock, "down"):
        assert "make down" in lock.read_text()


def test_what_a_killed_verb_started_is_waited_for(tmp_path: Path) -> None:
    """Its child holds the lock on; the next verb waits until that ends, and then runs."""
    lock, done = tmp_path / "lock", tmp_path / "done"
    script = (
        "import os, subprocess, sys; from pathlib import Path; from kit.system import locks\n"
        "with locks.one_verb(Path(sys.argv[1]), 'up'):\n"
        "    child = ['sh', '-c', 'sleep 1; touch \"$0\"', sys.argv[2]]\n"
        "    subprocess.Popen(child, close_fds=False)\n"
        "    os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", script, str(lock), str(done)]
    environment = {**os.environ, "PYTHONPATH": _COMPOSE}
    killed = subprocess.run(command, check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL
    with locks.one_verb(lock, "deploy"):
        assert done.exists()
        assert "make deploy" in lock.read_text()


@pytest.fixture(name="launched")
def _launched(tmp_path: Path) -> Iterator[Callable[[str], Service]]:
    """Start a shell script as a service, the way supervisord does; it has said that it runs."""
    started: list[Service] = []

    def start(script: str) -> Service:
        described = {
            "argv": ["/bin/sh", "-c", f"echo ready; {script}"],
            "env": {"PATH": "/usr/bin:/bin", "MARK": "given"},
            "cwd": str(tmp_path),
            "lock": str(tmp_path / "service.lock"),
        }
        spec = tmp_path / "service.json"
        spec.write_text(json.dumps(described))
        command = [sys.executable, "-I", "-S", launch.__file__, str(spec)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_service_gets_its_folder_and_environment(
    launched: Callable[[str], Service], tmp_path: Path
) -> None:
    """A service runs in its folder, with exactly the described environment."""
    out, _ = launched("pwd; env | grep -E 'PATH|MARK|HOME|LANG' | sort").communicate()
    assert out.decode().split() == [str(tmp_path), "MARK=given", "PATH=/usr/bin:/bin"]


def test_lock_names_the_living_service(launched: Callable[[str], Service], tmp_path: Path) -> None:
    """While a service lives its lock names its first process, and afterwards nobody."""
    lock = tmp_path / "service.lock"
    assert locks.holder(lock) is None
    process = launched("exec sleep 60")
    assert locks.holder(lock) == process.pid
    process.kill()
    process.wait()
    assert locks.holder(lock) is None


def test_child_keeps_the_lock(launched: Callable[[str], Service], tmp_path: Path) -> None:
    """A killed service counts as there while a child lives; its successor ends that child."""
    lock = tmp_path / "service.lock"
    first = launched("sleep 60 & wait")
    wait_until(lambda: psutil.Process(first.pid).children(), "there is a child")
    first.kill()
    first.wait()
    assert locks.holder(lock) == first.pid
    second = launched("exec sleep 60")
    assert locks.holder(lock) == second.pid
    second.kill()
    wait_until(lambda: locks.holder(lock) is None, "nobody holds it")


def test_stale_pid_names_no_service(tmp_path: Path) -> None:
    """A lock file that names a living process but is not locked names nobody."""
    lock = tmp_path / "service.lock"
    lock.write_text(str(os.getpid()))
    assert locks.holder(lock) is None


def test_two_verbs_that_ask_do_not_see_each_other(tmp_path: Path) -> None:
    """Two verbs that ask at the same moment do not take each other for the dead service."""
    lock = tmp_path / "service.lock"
    lock.write_text("4194304")
    with lock.open() as other_verb:
        fcntl.flock(other_verb, fcntl.LOCK_SH)
        assert locks.holder(lock) is None


def test_waiting_for_a_lock_is_reported(tmp_path: Path) -> None:
    """A process that waits for a lock says for whom, and learns that another one held it."""
    lock = tmp_path / "lock"
    with locks.in_turn(lock) as waited:
        assert not waited
    script = (
        "import pathlib, sys; from kit.system import locks\n"
        "print('imported', flush=True)\n"
        "with locks.in_turn(pathlib.Path(sys.argv[1])) as waited: print(waited)"
    )
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, "-c", script, lock],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": _COMPOSE},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"imported\n"
        waiting = process.stdout.readline().decode()
    out, _ = process.communicate(timeout=120)
    assert f"process {os.getpid()}" in waiting
    assert str(tmp_path) in waiting
    assert out == b"True\n"


@pytest.mark.parametrize("kind", ["one_verb", "in_turn"])
def test_lock_is_for_its_owner_alone(tmp_path: Path, kind: str) -> None:
    """No other user can open a lock, and so hold it, also if an older version made it for all."""
    lock = tmp_path / "lock"
    lock.touch(mode=0o666)
    lock.chmod(0o666)
    with locks.one_verb(lock, "up") if kind == "one_verb" else locks.in_turn(lock):
        assert lock.stat().st_mode & 0o777 == 0o600
