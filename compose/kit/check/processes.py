"""Run an application in two processes, in a copy of its folder."""

import json
import os
import re
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
"""Bytes from which a file is data and not code: the copy links to it."""
_LEFT_OUT = frozenset({".git", "node_modules", "__pycache__"})
_PROBE = Path(__file__).with_name("probe.py")
_OUR_FRAMES = re.compile(
    r'  File "(<frozen |[^"]*(check/probe|gunicorn/util|importlib/__init__)\.py").*\n(    .*\n)*'
)
_LAST_ERROR = re.compile(r".*^([\w.]+(Error|Exception)\b[^\n]*).*", re.DOTALL | re.MULTILINE)

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """An application, and how it runs.

    Attributes:
        folder: where its code lies; it stays as it is.
        app: ``module:object`` or ``module:factory()`` in it.
        python: the interpreter that has its packages.
        env: its environment variables.
        processes: how many workers there are, all replicas together.
    """

    folder: Path
    app: str
    python: Path
    env: Mapping[str, str]
    processes: int = 4


def observe(target: Target) -> list[Facts]:
    """Return what `probe` found in each of two processes, started at the same time.

    ``failed`` says what failed, if the second started only after the first. ``written`` has the
    files that they wrote.

    Raises:
        KitError: the application does not import; the message has the traceback.
    """
    with tempfile.TemporaryDirectory(prefix="unsticky-check-") as name:
        copy = Path(name).resolve() / "code"
        shutil.copytree(
            target.folder,
            copy,
            ignore=_left_out,
            copy_function=_copy,
            ignore_dangling_symlinks=True,
        )
        before = set(copy.rglob("*"))
        found, said = _run(target, copy, 2)
        failed = ""
        if len(found) == 1:
            failed = _LAST_ERROR.sub(r"\1", said[0])
            again, said = _run(target, copy, 1)
            found += again
        if len(found) < 2:
            raise KitError(
                f"cannot import APP={target.app}\n{_shortened(said[0], copy)}\n"
                f"looked for it in {target.folder} with {target.python}",
                "correct that, or name the application: APP=module:object or APP=package:factory()",
                "its variables come from its .env; if it needs the store, `make up` starts that",
            )
        written = [str(path.relative_to(copy)) for path in set(copy.rglob("*")) - before]
        return [{**facts, "failed": failed, "written": sorted(written)} for facts in found]


def _run(target: Target, copy: Path, count: int) -> tuple[list[Facts], list[str]]:
    """Return the facts of the processes that had some, and what the others printed."""
    results = [copy.parent / f"{number}.json" for number in range(count)]
    prints = [path.with_suffix(".txt") for path in results]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for result, path in zip(results, prints, strict=True):
            result.unlink(missing_ok=True)
            with path.open("wb") as printed:
                process = subprocess.Popen(
                    [target.python, "-B", _PROBE, copy, target.app, result],
                    cwd=copy,
                    env=dict(target.env),
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=printed,
                    # So that whatever it starts is stopped with it.
                    start_new_session=True,
                )
            running.append(process)
        deadline = time.monotonic() + _SECONDS
        for process, path in zip(running, prints, strict=True):
            try:
                process.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                path.write_text(f"{path.read_text(errors='replace')}\nit takes over {_SECONDS} s")
    finally:
        for process in running:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    facts = [json.loads(path.read_text(encoding="utf-8")) for path in results if path.exists()]
    failed = [i for i, path in enumerate(results) if not path.exists()]
    return facts, [prints[i].read_text(errors="replace") for i in failed]


def _left_out(folder: str, names: list[str]) -> set[str]:
    return {n for n in names if n in _LEFT_OUT or Path(folder, n, "pyvenv.cfg").exists()}


def _copy(source: str, to: str) -> None:
    if Path(source).is_file():
        if Path(source).stat().st_size < _LARGE:
            shutil.copy2(source, to)
        else:
            Path(to).symlink_to(source)


def _shortened(said: str, copy: Path) -> str:
    """Return the end of what was printed: the application's own paths, and no frames of ours."""
    lines = _OUR_FRAMES.sub("", said.replace(f"{copy}{os.sep}", "")).rstrip().splitlines()
    return "\n".join(lines[-40:])
