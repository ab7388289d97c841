"""The library's own tests pass on the oldest versions that it says it runs with."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import environments
from tests.support.checkout import ROOT
from tests.support.environments import Unmade

_OLDEST_PYTHON = (3, 11)
_PINS = ROOT / "requirements" / "lowest.txt"

# What would only be the same once more: a store that uses none of these packages, a second server,
# and the same cases of the fuzzer in memory, which the library's own code decides.
_REPEATED = (
    "test_nothing_is_lost_or_doubled_in_memory",
    "test_nothing_is_lost_or_doubled_where_a_session_is_emptied",
    "test_the_same_seed_makes_the_same_run",
    "test_a_planted_fault_is_found",
)
_OTHERS = ("redis-server", "sqlite", "mongodb")
_TESTS = " and ".join(f"not {name}" for name in (*_OTHERS, *_REPEATED))


def _python() -> str | None:
    """Return the oldest Python: what is that old has ready-made packages for no newer one."""
    return sys.executable if sys.version_info[:2] == _OLDEST_PYTHON else shutil.which("python3.11")


def test_the_oldest_versions(tmp_path: Path) -> None:
    """The stores' contract and the library's unit tests hold on the oldest requirements."""
    in_ci = os.environ.get("CI") == "true"
    interpreter = _python()
    if interpreter is None:
        pytest.skip("there is no Python 3.11")
    try:
        python = environments.made("lowest", _PINS, interpreter=interpreter)
    except Unmade as error:
        if in_ci:
            raise
        pytest.skip(str(error))
    done = subprocess.run(
        [
            python,
            "-m",
            "pytest",
            "-q",
            "--tb=short",
            "-k",
            _TESTS,
            "-o",
            f"cache_dir={tmp_path}",
            # redis-py 5.0, by which tests look into a server, forgets sockets that did not connect.
            "-W",
            "ignore::ResourceWarning",
            "-W",
            "ignore::pytest.PytestUnraisableExceptionWarning",
            "tests/library/unit",
            "tests/library/contract",
        ],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
