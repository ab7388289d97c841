"""The tests themselves leave nothing behind, even if they are interrupted."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.stacks.local import processes_of
from tests.support.waiting import wait_until


@pytest.mark.parametrize("processes", ["0", "2"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_test_run_leaves_nothing(number: signal.Signals, processes: str) -> None:
    """A test run that is interrupted, in one process or in more, stops its stack."""
    with tempfile.TemporaryDirectory(prefix="run-") as temporary:
        folder = Path(temporary)
        test = ROOT / "tests/stack/local/test_continuity.py"
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={temporary}/cache"),
            *("-n", processes, f"--basetemp={temporary}/base"),
            *("-k", "meets_the_workers and 400", str(test)),
        ]
        # A path short enough for sockets, and nobody else's.
        env = os.environ | {"TMPDIR": temporary}
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            text=True,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as run:
            wait_until(lambda: _has_served(folder), "the run has a stack that works", seconds=120)
            run.send_signal(number)
            printed, _ = run.communicate(timeout=120)
        assert "KeyboardInterrupt" in printed, printed
        assert processes_of(folder) == []
        assert {path.name for path in folder.iterdir()} <= {"cache", "base"}


def test_cleaning_up_may_take_long(tmp_path: Path) -> None:
    """A fixture that needs longer than pytest-xdist and execnet would wait ends all the same."""
    test = tmp_path / "test_slow.py"
    test.write_text(_SLOW)
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-n", "1"),
        *("-o", f"cache_dir={tmp_path}/cache", f"--rootdir={tmp_path}", str(test)),
    ]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as run:
        wait_until((tmp_path / "begun").exists, "the test runs", seconds=60)
        run.send_signal(signal.SIGTERM)
        run.wait(timeout=120)
    assert (tmp_path / "ended").exists()


_SLOW = """
import pathlib, time
import pytest

folder = pathlib.Path(__file__).parent

@pytest.fixture
def slow():
    (folder / "begun").touch()
    yield
    time.sleep(17)
    (folder / "ended").touch()

def test_something(slow):
    time.sleep(60)
"""


def _has_served(folder: Path) -> bool:
    return any(log.stat().st_size for log in folder.glob("stack-*/log/nginx.access.log"))
