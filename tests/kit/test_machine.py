"""The operator's machine: another shell, other users, other settings, a checkout that moves."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import copy_checkout
from tests.support.checkout import ROOT
from tests.support.ports import free_port
from tests.support.stacks import loadtests
from tests.support.stacks.local import Stack
from tests.support.waiting import wait_until


@pytest.fixture(name="moving")
def _moving(small: Stack, tmp_path: Path) -> Stack:
    """The same, from a checkout that a test may move or change."""
    small.checkout = tmp_path / "checkout"
    small.checkout.mkdir()
    copy_checkout(small.checkout)
    return small


def _in_shell(stack: Stack, first: str) -> None:
    """Let a shell run a command before each verb."""
    stack.prefix = (*stack.prefix, "sh", "-c", f'{first}; exec "$@"', "sh")


# The working tree.


@pytest.mark.parametrize("change", ["moved", "switched"])
def test_stack_outlives_its_checkout(moving: Stack, change: str) -> None:
    """If the checkout moves, or loses the kit, killed services start again, and verbs work."""
    moving.up()
    if change == "moved":
        moving.checkout = moving.checkout.rename(moving.checkout.with_name("elsewhere"))
    else:
        shutil.rmtree(moving.checkout / "compose")
        shutil.rmtree(moving.checkout / "nginx")
    moving.end_service("app-1", signal.SIGKILL)
    moving.end_service("nginx", signal.SIGKILL)
    moving.end_service("valkey", signal.SIGKILL)
    wait_until(moving.is_ready, "the shop is ready again")
    if change == "switched":
        copy_again = moving.checkout.with_name("again")
        copy_again.mkdir()
        copy_checkout(copy_again)
        moving.checkout = copy_again
    moving.succeed("restart")
    assert moving.is_ready()
    assert "Nothing to deploy" in moving.up()


def test_moved_state_folder_starts_again(moving: Stack, tmp_path: Path) -> None:
    """If the folder of a running stack moves with its checkout, `make up` starts all again."""
    inner = Stack(moving.checkout / ".state", moving.port, moving.settings, moving.checkout)
    inner.up()
    browser = inner.browser()
    browser.add("tea", 2)
    moving.checkout = inner.checkout = inner.checkout.rename(tmp_path / "elsewhere")
    inner.state_dir = inner.checkout / ".state"
    assert "has moved to" in inner.up()
    assert browser.cart() == {"tea": 2}
    inner.down()
    assert inner.left() == []


def test_build_folders_are_no_release(moving: Stack) -> None:
    """What `pip install .` leaves in app/ replaces no replica."""
    moving.up()
    info = moving.checkout / "app" / "unsticky.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Name: unsticky\n")
    assert "Nothing to deploy" in moving.up()


# Other users.


def test_other_users_cannot_hold_a_lock(small: Stack, tmp_path: Path) -> None:
    """In a folder that all can enter, other users reach no file of a stack, and no lock."""
    small.state_dir.chmod(0o755)
    small.up()
    assert stat.S_IMODE(small.state_dir.stat().st_mode) == 0o700
    if os.geteuid() == 0 and (setpriv := shutil.which("setpriv")):
        (tmp_path / "here").touch()
        nobody = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
        lock = ["flock", "--nonblock", str(small.folder.verb_lock), "true"]
        held = subprocess.run([*nobody, *lock], capture_output=True, check=False)
        assert held.returncode != 0
        assert b"ermission denied" in held.stderr


@pytest.mark.parametrize("mask", ["000", "777"])
def test_umask_of_the_caller_does_not_matter(small: Stack, mask: str) -> None:
    """With any umask the stack works, and nobody else can write to what it made."""
    _in_shell(small, f"umask {mask}")
    small.up()
    assert small.is_ready()
    made = [small.state_dir, *small.state_dir.rglob("*")]
    files = [path for path in made if path.is_file() or path.is_dir()]
    assert [path for path in files if path.stat().st_mode & 0o022] == []


# The caller's shell.


def test_too_few_files_are_refused(small: Stack) -> None:
    """With too few open files, the message says how many the stack needs."""
    _in_shell(small, "ulimit -n 64")
    assert "you may open 64 files at once" in small.fail("up")
    assert small.left() == []


def test_python_settings_of_the_caller_do_not_count(small: Stack, tmp_path: Path) -> None:
    """PYTHONHOME, PYTHONPATH, PYTHONWARNINGS and others are for other programs."""
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')\n")
    small.prefix = (
        *("env", "PYTHONHOME=/nowhere", f"PYTHONPATH={tmp_path}", "PYTHONWARNINGS=error"),
        *("PYTHONOPTIMIZE=2", "PYTHONUTF8=x", "PYTHONINSPECT=1"),
    )
    small.up()
    assert small.is_ready()


def test_python_with_an_apostrophe_runs_nothing(small: Stack, tmp_path: Path) -> None:
    """A name of Python is never read as a command, whatever is in it."""
    mark = tmp_path / "ran"
    printed = small.fail("status", PYTHON=f"python3'; touch {mark}; '`touch {mark}`")
    assert "cannot find Python 3.11" in printed
    assert not mark.exists()


def test_dollar_on_the_command_line_is_refused(small: Stack) -> None:
    """A value that make would cut at a `$` is refused; a doubled one and the environment work."""
    status, printed = small.verb("status", SECRET_KEY="correct$horse-battery-staple")
    assert status != 0
    assert "make expands the `$` in it" in printed
    assert "horse" not in printed
    small.succeed("status", SECRET_KEY="correct$$horse-battery-staple")
    small.prefix = ("env", "SECRET_KEY=correct$horse-battery-staple")
    small.up()
    (spec,) = small.folder.run.glob("app-*.json")
    assert "correct$horse-battery-staple" in spec.read_text()


def test_env_file_of_another_editor_is_read(moving: Stack) -> None:
    """A byte-order mark and the line ends of Windows neither hide the first name nor stay."""
    (moving.checkout / ".env").write_bytes(b"\xef\xbb\xbfWORKERS=2\r\nREADY_TIMEOUT='20'\r\n")
    moving.settings["WORKERS"] = ""
    moving.up()
    assert len(moving.workers("app-1")) == 2


def test_settings_of_other_load_tests_do_not_count(small: Stack, tmp_path: Path) -> None:
    """Conda's HOST, Locust's variables and its file in the home folder change no load test."""
    (tmp_path / ".locust.conf").write_text("exclude-tags = [everything]\nno-such-option = 1\n")
    small.up()
    locust = ("LOCUST_TAGS=none", "LOCUST_HEADLESS=nonsense", "LOCUST_RUN_TIME=1s")
    host = "HOST=x86_64-conda-linux-gnu"
    small.prefix = ("env", f"HOME={tmp_path}", host, *locust, "GIT_DIR=/nowhere")
    ran = loadtests.run(small, DURATION="2s", USERS="2")
    assert f"{host} of the environment is no address" in ran.printed
    assert ran.status == 0, ran.printed
    small.prefix = ()
    typed = loadtests.run(small, HOST="localhost")
    assert "HOST=localhost is not the address of a server" in typed.printed


# What verbs say.


def test_up_and_status_count_alike(small: Stack) -> None:
    """What `make up` calls ready, `make status` does not call starting; one is not "each"."""
    printed = small.up()
    assert "app-1: 1 sync worker\n" in printed
    assert "(1 worker)" in printed
    printed = small.succeed("status")
    assert "starting" not in printed
    assert printed.count(" running ") == 3


def test_logs_end_with_the_stack(small: Stack) -> None:
    """`make logs` ends once nothing runs, and shows the last lines if nothing ran."""
    small.up()
    following = small.start_verb("logs")
    small.down()
    printed, _ = following.communicate(timeout=120)
    assert following.returncode == 0
    assert "Nothing is running" in printed
    assert "valkey | " in small.succeed("logs", SERVICE="valkey")


def test_clients_do_not_control_the_terminal(small: Stack) -> None:
    """Control characters that a client sends reach no terminal by `make logs`."""
    small.up()
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as client:
        client.sendall(
            b"GET /%1b]0;x\xc2\x9b31m\x7f HTTP/1.1\r\nHost: localhost\r\n"
            b"User-Agent: a\xc2\x9b2J\x1b[2J\r\nReferer: \xe2\x80\xae\r\nConnection: close\r\n\r\n"
        )
        client.recv(1000)
    small.down()
    printed = small.succeed("logs")
    assert [c for c in printed if not c.isprintable() and c not in "\t\n"] == []


def test_slow_start_says_what_it_waits_for(small: Stack) -> None:
    """A store that refuses the password: while `make up` waits, it says why."""
    small.up()
    url = f"unix://:wrong@{small.folder.sockets}/valkey.sock"
    guest = Stack(
        small.state_dir.with_name(f"{small.state_dir.name}-guest"),
        *(free_port(), small.settings, small.checkout),
    )
    printed = guest.fail("up", REDIS_URL=url, READY_TIMEOUT="6")
    assert "waiting 6 s at most" in printed
    assert not guest.dispose()


def test_linked_state_folder_can_be_cleaned(small: Stack, tmp_path: Path) -> None:
    """`make clean` empties the folder behind a link; the link stays for the next `make up`."""
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    link = small.state_dir / "linked"
    link.symlink_to(disk)
    linked = Stack(link, small.port, small.settings, small.checkout)
    linked.up()
    printed = linked.succeed("clean")
    assert "a link or a disk and stays" in printed
    assert list(disk.iterdir()) == []
    linked.up()
    assert linked.is_ready()
    linked.succeed("clean")
    link.unlink()


def test_install_from_the_checkout_takes_nothing_old(moving: Stack) -> None:
    """`pip install .` takes no module from build/, and leaves nothing in the checkout."""
    checkout = moving.checkout
    for name in ("setup.py", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, checkout)
    stale = checkout / "build" / "lib" / "unsticky" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    before = set(checkout.rglob("*"))
    wheels = checkout.with_name("wheels")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels))
    command: list[str | Path] = [sys.executable, "-m", "pip", "wheel", *options, checkout]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    assert "unsticky/py.typed" in names
    assert "unsticky/stale.py" not in names
    assert set(checkout.rglob("*")) == before


def test_comparison_needs_two_runs(small: Stack) -> None:
    """With one run, a comparison asks for another and names no setting that was not given."""
    run = small.state_dir / "loadtest" / "20260101-000000"
    small.folder.claim()
    run.mkdir(parents=True)
    (run / "run.json").touch()
    printed = small.fail("loadtest", ARGS="compare")
    assert "only one run" in printed
    assert "A=" not in printed
