"""Virtual environments of the tests' own, each made once for each state of its pins."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kit.system.locks import in_turn

from tests.support.checkout import ROOT

PIP: Final = ("-m", "pip", "--no-input", "--disable-pip-version-check", "--no-color", "--quiet")


class Unmade(Exception):
    """Something could not be fetched from the package index; the message ends with its words."""


def state() -> Path:
    """Return the state folder."""
    return ROOT / (os.environ.get("STATE_DIR") or ".state")


def made(
    name: str, pins: Path, *, first: Path | None = None, interpreter: str = sys.executable
) -> Path:
    """Return the Python of an environment, which is made if it is not there.

    Args:
        name: what the environment's folder in the state folder is called.
        pins: the packages, with hashes.
        first: pins of what builds those packages that have no wheel. Without, all have one.
        interpreter: the Python that the environment is for.

    Raises:
        Unmade: it could not be made.
    """
    folder = state() / name
    content = interpreter.encode() + b"".join(
        path.read_bytes() for path in (pins, first) if path is not None
    )
    root = folder / f"venv-{hashlib.sha256(content).hexdigest()[:12]}"
    python, complete = root / "bin" / "python", root / "complete"
    folder.mkdir(parents=True, exist_ok=True)
    with in_turn(folder / "lock"):
        if not complete.exists():
            shutil.rmtree(root, ignore_errors=True)
            do([interpreter, "-m", "venv", root])
            install: list[str | Path] = [python, *PIP, "install", "--no-deps", "--require-hashes"]
            if first is not None:
                do([*install, "--only-binary", ":all:", "-r", first])
            how = ["--only-binary", ":all:"] if first is None else ["--no-build-isolation"]
            do([*install, *how, "-r", pins])
            complete.touch()
    return python


def do(command: Sequence[str | Path]) -> None:
    """Run a command that may need the package index.

    Raises:
        Unmade: it failed.
    """
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    if done.returncode:
        shown = " ".join(map(str, command))
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-6:])
        message = f"{shown} failed ({done.returncode}); it needs the package index:\n{tail}"
        raise Unmade(message)
