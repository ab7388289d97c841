"""Run an application in two processes, in a copy of its folder, and compare what they are."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import KitError

_SECONDS = 60
_LARGE = 1 << 20
"""Bytes from which a file is linked and not copied: data, not code."""
_LEFT_OUT = shutil.ignore_patterns(".git", "node_modules", "__pycache__", ".venv", "venv", "*.sock")
_PROBE = Path(__file__).with_name("probe.py")


@dataclass(frozen=True, slots=True)
class Target:
    """An application, and how it runs.

    Attributes:
        folder: where its code lies; it stays as it is.
        app: ``module:object`` or ``module:factory()`` in it.
        python: the interpreter that has its packages.
        env: its environment variables.
        processes: how many workers there are, all replicas together.
        at_once: how many requests a worker handles at the same time.
    """

    folder: Path
    app: str
    python: Path
    env: Mapping[str, str]
    processes: int = 4
    at_once: int = 1


def observe(target: Target) -> list[dict[str, Any]]:
    """Return what `probe` found in each of two processes, started at the same time.

    Raises:
        KitError: the application does not import; the message has the traceback.
    """
    with tempfile.TemporaryDirectory(prefix="unsticky-check-") as name:
        copy = Path(name).resolve() / "code"
        shutil.copytree(
            target.folder, copy, ignore=_LEFT_OUT, copy_function=_copy, ignore_dangling_symlinks=True
        )
        deadline = time.monotonic() + _SECONDS
        runs: list[_Run] = []
        try:
            for number in (1, 2):
                runs.append(_Run(target, copy, copy.parent / f"{number}.json"))  # noqa: PERF401
            return [run.result(deadline) for run in runs]
        finally:
            for run in runs:
                run.stop()


def _copy(source: str, to: str) -> None:
    if os.path.getsize(source) < _LARGE:
        shutil.copy2(source, to)
    else:
        Path(to).symlink_to(source)


class _Run:
    """One process with the application."""

    def __init__(self, target: Target, copy: Path, result: Path) -> None:
        self._target, self._copy, self._result = target, copy, result
        self._said = result.with_suffix(".txt")
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [target.python, "-B", _PROBE, copy, target.app, result],
                cwd=copy,
                env=dict(target.env),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                # So that whatever it starts can be stopped with it.
                start_new_session=True,
            )

    def result(self, deadline: float) -> dict[str, Any]:
        """Return what it found."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0, deadline - time.monotonic()))
        if self._result.exists():
            return dict(json.loads(self._result.read_text(encoding="utf-8")))
        ended = self._process.poll()
        happened = f"takes more than {_SECONDS} s" if ended is None else f"ended with {ended}"
        said = self._said.read_text(errors="replace").replace(f"{self._copy}{os.sep}", "")
        raise KitError(
            f"cannot import APP={self._target.app}: it {happened}\n{_own(said)}\n"
            f"looked for in {self._target.folder} with {self._target.python}",
            "name the application: APP=module:object or APP=package:factory()",
            "its variables, such as a database's address, come from .env",
        )

    def stop(self) -> None:
        """End it and all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _own(said: str) -> str:
    """Return the end of what was printed, without the lines of a traceback that are the probe's."""
    kept: list[str] = []
    is_own = True
    for line in said.rstrip().splitlines():
        if line.startswith("  File "):
            is_own = str(_PROBE) not in line and "importlib" not in line
        elif not line.startswith("    "):
            is_own = True
        kept += [line] if is_own else []
    return "\n".join(kept[-40:])
