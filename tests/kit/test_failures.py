"""Verbs of the local runtime that fail: the message, the exit status, and what runs afterwards."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import psutil
import pytest

from tests.conftest import StartStack, copy_checkout
from tests.support.disks import small_disk
from tests.support.ports import free_port
from tests.support.stacks.local import Stack, processes_of
from tests.support.waiting import PATIENCE, at_most, wait_until

_NOBODY = 65534


def _stores_of(stack: Stack) -> list[psutil.Process]:
    return [process for process in stack.processes() if "valkey" in process.name().lower()]


@pytest.fixture(name="taken_port")
def _taken_port() -> Iterator[str]:
    """A port on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield str(other.getsockname()[1])


def test_taken_port_starts_nothing(small: Stack, taken_port: str) -> None:
    """A taken port is named, before anything starts."""
    printed = small.fail("up", PORT=taken_port)
    assert taken_port in printed
    assert "PORT=" in printed
    assert small.processes() == []


def test_answer_of_another_program_is_not_nginx(small: Stack) -> None:
    """If another program takes the port while nginx restarts, a verb fails, although it answers."""
    small.up()
    restart = small.start_verb("restart", SERVICE="nginx")
    with wait_until(lambda: _taken(small.port), "nginx to stop") as other:
        threading.Thread(target=other.serve_forever).start()
        printed, _ = restart.communicate(timeout=120)
        other.shutdown()
    assert restart.returncode, printed
    assert f"bind() to 127.0.0.1:{small.port} failed" in printed


def _taken(port: int) -> HTTPServer | None:
    with contextlib.suppress(OSError):
        return HTTPServer(("127.0.0.1", port), SimpleHTTPRequestHandler)
    return None


def test_change_to_a_taken_port_is_refused(small: Stack, taken_port: str) -> None:
    """A change to a taken port is refused, and the stack stays at its port."""
    small.up()
    assert taken_port in small.fail("up", PORT=taken_port)
    assert small.is_ready()


def test_unusable_value_starts_nothing(small: Stack) -> None:
    """A value that cannot be used is named with its variable, and nothing starts."""
    printed = small.fail("up", WORKER_CLASS="tornado")
    assert "error: WORKER_CLASS=tornado is not one of" in printed
    assert small.processes() == []


def test_replica_that_does_not_start_is_explained(small: Stack) -> None:
    """An application that cannot be loaded: its last words are shown; `up` goes on from there."""
    printed = small.fail("up", APP="shop:no_such_factory()")
    assert "app-1" in printed
    assert "no_such_factory" in printed
    assert "make down" in printed
    small.up()
    assert small.is_ready()
    assert len(small.replicas()) == 1


@pytest.mark.parametrize("kind", ["TCP", "unix"])
def test_unreachable_store_fails_up_at_once(small: Stack, kind: str) -> None:
    """If nothing listens at REDIS_URL, `make up` says so at once, without a secret."""
    port, path = free_port(), f"{small.state_dir}/nobody.sock"
    url = f"redis://:pass-word@127.0.0.1:{port}/0" if kind == "TCP" else f"unix://:pass-word@{path}"
    where = f"127.0.0.1 port {port}" if kind == "TCP" else path
    with at_most(PATIENCE):
        printed = small.fail("up", REDIS_URL=url)
    assert f"cannot connect to the store at REDIS_URL: {where}" in printed
    assert "pass-word" not in printed
    assert small.left() == []


def test_own_store_replaces_the_kits(new_stack: StartStack, stack: Stack) -> None:
    """With REDIS_URL the carts are in that store, and the kit starts none."""
    guest = new_stack(REPLICAS="1", WORKERS="1")
    guest.up(REDIS_URL=f"unix://{stack.folder.sockets}/valkey.sock?db=1")
    browser = guest.browser()
    browser.add("tea")
    assert browser.cart() == {"tea": 1}
    assert _stores_of(guest) == []
    assert not guest.dispose()


def test_stale_pid_files_harm_nobody(small: Stack) -> None:
    """If stale pid files name another program, the stack starts, and the program goes on."""
    small.up()
    small.down()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        pid = str(stranger.pid)
        for name in ("supervisord.pid", *(f"{n}.lock" for n in ("supervisord", "nginx", "valkey"))):
            (small.folder.run / name).write_text(pid)
        (small.folder.nginx / "nginx.pid").write_text(pid)
        small.up()
        assert small.is_ready()
        small.down()
        assert stranger.poll() is None
        assert stranger.stdin is not None
        stranger.stdin.write(b"\n")
        stranger.stdin.close()


def test_killed_supervisord_is_no_empty_stack(small: Stack) -> None:
    """After kill -9 of supervisord, verbs name what runs; `up` and `down` start and stop it all."""
    small.up()
    browser = small.browser()
    browser.add("tea", 2)
    os.kill(small.pid("supervisord"), signal.SIGKILL)
    wait_until(lambda: "supervisord was killed" in small.verb("status")[1], "status notices")
    for verb in ("status", "restart"):
        printed = small.fail(verb)
        assert "app-1, nginx, valkey still run" in printed
        assert "Nothing is running" not in printed
    assert len(_stores_of(small)) == 1
    small.up()
    assert "running" in small.succeed("status")
    assert len(_stores_of(small)) == 1
    assert small.replicas() == ["app-1"]
    assert browser.cart() == {"tea": 2}
    os.kill(small.pid("supervisord"), signal.SIGKILL)
    small.down()
    assert small.processes() == []


def test_up_after_everything_was_killed(small: Stack) -> None:
    """After kill -9 of everything, `make up` starts with what the store had written."""
    small.up()
    browser = small.browser()
    browser.add("tea", 2)
    # While a slow disk syncs, the store may keep for two seconds what it has acknowledged.
    with small.store() as store:
        wait_until(lambda: store.info("persistence")["aof_buffer_length"] == 0, "all is written")
    for process in small.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until(lambda: small.processes() == [], "all are gone")
    small.up()
    assert browser.cart() == {"tea": 2}


@pytest.mark.parametrize("part", ["supervisord", "Valkey", "app-1"])
def test_interrupted_up_leaves_nothing(small: Stack, part: str) -> None:
    """Ctrl-C at any step ends `make up` without a traceback; `down` and `up` work afterwards."""
    process = small.start_verb("up")
    assert process.stdout is not None
    printed = ""
    while part not in printed:
        character = process.stdout.read(1)
        assert character, printed
        printed += character
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "Traceback" not in printed + rest
    assert "make down" in rest
    small.down()
    assert small.processes() == []
    small.up()
    assert small.is_ready()


def test_second_verb_is_refused(small: Stack) -> None:
    """While one verb changes a stack, another one is refused, with the name of the first."""
    first = small.start_verb("up")
    lock = small.folder.verb_lock
    wait_until(lambda: lock.exists() and "make up" in lock.read_text(), "the first verb works")
    printed = small.fail("down")
    assert "make up" in printed
    assert first.wait(120) == 0
    first.communicate()
    assert small.is_ready()


def test_first_up_without_network_fails(small: Stack) -> None:
    """Without a package index the first `make up` says so, and leaves no incomplete environment."""
    nowhere = f"http://127.0.0.1:{free_port()}/simple"
    pip = {"INDEX_URL": nowhere, "CONFIG_FILE": os.devnull, "RETRIES": "0", "NO_CACHE_DIR": "1"}
    small.prefix = ("env", "PIP_EXTRA_INDEX_URL=", *(f"PIP_{n}={v}" for n, v in pip.items()))
    venvs = small.state_dir / "venv"
    printed = small.fail("up", VENV_DIR=str(venvs))
    assert "package index" in printed
    assert not list(venvs.glob("run-*"))


@pytest.fixture(name="ordinary")
def _ordinary() -> Iterator[Stack]:
    """A stack of an ordinary user, in their checkout, not started."""
    with tempfile.TemporaryDirectory(prefix="user-") as home:
        checkout = Path(home, "checkout")
        checkout.mkdir()
        copy_checkout(checkout)
        stack = Stack(Path(home, "state"), free_port(), {"REPLICAS": "2", "WORKERS": "1"}, checkout)
        if os.geteuid() == 0:
            if shutil.which("setpriv") is None:
                pytest.skip("as root, setpriv (util-linux) is needed to become somebody else")
            stack.prefix = (
                *("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"),
                *("env", "-u", "PYTHON", f"HOME={home}"),
            )
            _give_a_python(stack, Path(home))
            for path in (Path(home), *Path(home).rglob("*")):
                os.chown(path, _NOBODY, _NOBODY)
        yield stack
        assert not stack.dispose()


def _give_a_python(stack: Stack, home: Path) -> None:
    """Let the user build an environment if root's Python is in a folder that only root enters."""

    def runs(*command: str) -> bool:
        found = subprocess.run([*stack.prefix, *command], capture_output=True, check=False)
        return found.returncode == 0

    if runs(sys.executable, "-V"):
        return
    stack.settings["VENV_DIR"] = str(home / "venv")
    wanted = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    if not runs("python3", "-c", wanted):
        pytest.skip("not run: there is no Python 3.11 with venv that an ordinary user may run")


def test_ordinary_user_needs_no_usual_limits(ordinary: Stack) -> None:
    """With an odd umask, 256 files and few processes a user can run a stack, which is theirs."""
    limits = 'umask 777; ulimit -n 256; ulimit -u 150; exec "$@"'
    ordinary.prefix = (*ordinary.prefix, "sh", "-c", limits, "sh")
    ordinary.up()
    browser = ordinary.browser()
    browser.add("tea")
    assert browser.cart() == {"tea": 1}
    users = {process.uids().effective for process in ordinary.processes()}
    assert users == {_NOBODY if os.geteuid() == 0 else os.geteuid()}
    ordinary.down()
    assert ordinary.processes() == []


def test_state_dir_without_permission_is_refused(ordinary: Stack) -> None:
    """A STATE_DIR that the caller may not write is named, with a hint."""
    locked = ordinary.checkout.parent / "locked"
    locked.mkdir(mode=0o555)
    printed = ordinary.fail("up", STATE_DIR=str(locked / "state"))
    assert "ermission" in printed
    assert str(locked) in printed
    assert processes_of(locked) == []


@pytest.fixture(name="on_small_disk")
def _on_small_disk(small: Stack) -> Iterator[Callable[[int], Stack]]:
    """Return a stack whose state folder is on a disk of so many KiB; root only."""
    with ExitStack() as disks:

        def make(kilobytes: int) -> Stack:
            folder = disks.enter_context(small_disk(kilobytes))
            return Stack(folder / "state", small.port, small.settings, small.checkout)

        yield make


def test_full_disk_fails_up(on_small_disk: Callable[[int], Stack]) -> None:
    """Without room for a release `make up` says that the disk is full; `down` stops the rest."""
    stack = on_small_disk(64)
    assert "disk" in stack.fail("up").lower()
    stack.verb("down")
    assert stack.processes() == []


def test_disk_that_fills_loses_nothing(on_small_disk: Callable[[int], Stack]) -> None:
    """If the disk fills while the shop runs, nothing acknowledged is lost; it recovers."""
    stack = on_small_disk(8 * 1024)
    stack.up()
    browser = stack.browser()
    assert browser.add("tea", 2).status == 200
    filler = stack.state_dir.with_name("filler")
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
    acknowledged = 2
    for _ in range(20):
        answer = browser.add("tea")
        assert answer.status in {200, 503}
        acknowledged += answer.status == 200
    filler.unlink()
    wait_until(stack.is_ready, "the shop is ready again")
    assert browser.cart()["tea"] >= acknowledged
    stack.down()
    assert stack.processes() == []
