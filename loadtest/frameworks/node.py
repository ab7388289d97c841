"""Express and its packages: npm installs them once for each version of package.json."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest import machine
from loadtest.console import say
from loadtest.errors import LoadTestError

_SOURCE: Final = Path(__file__).with_name("express")
_SECONDS: Final = 180
_OLDEST: Final = 18


def lacks() -> str | None:
    """Return why Express cannot run on this machine, or None; the first call installs it."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not on the PATH; on Debian and Ubuntu: apt-get install npm"
    try:
        found = version()
        if int(found.removeprefix("v").partition(".")[0]) < _OLDEST:
            return f"node is {found}, and Express needs {_OLDEST} or newer"
        installed()
    except LoadTestError as error:
        return str(error)
    return None


def version() -> str:
    """Return the output of `node --version`: v, and numbers with points between.

    Raises:
        LoadTestError: it fails, or prints something else.
    """
    output = _output(["node", "--version"])
    if not re.fullmatch(r"v\d+\.\S+", output, re.ASCII):
        raise LoadTestError(f"`node --version` ended with 0: {_last_line(output)}")
    return output


def versions() -> dict[str, str]:
    """Return Node's version, and those of its packages as they are pinned."""
    manifest = json.loads((_SOURCE / "package.json").read_text(encoding="utf-8"))
    return {
        "node": version(),
        **{f"npm:{name}": pin for name, pin in manifest["dependencies"].items()},
    }


def installed() -> Path:
    """Return a folder with the application and its packages; the first call installs them.

    Raises:
        LoadTestError: npm cannot install them.
    """
    parts = [_SOURCE / "package.json", _SOURCE / "app.js"]
    digest = hashlib.sha256(b"\0".join(part.read_bytes() for part in parts)).hexdigest()[:12]
    environments = os.environ.get("VENV_DIR") or machine.CHECKOUT / ".state" / "venv"
    folder = Path(environments) / f"express-{digest}"
    if folder.exists():
        return folder
    say(f"installing Express with npm in {folder} (once)")
    making = folder.with_name(f"{folder.name}.{os.getpid()}")
    making.mkdir(parents=True)
    try:
        for part in parts:
            shutil.copy2(part, making)
        _install(making)
        # In one step, so that this name never means an incomplete folder.
        making.rename(folder)
    except OSError:
        # Another process may have been faster.
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def _install(folder: Path) -> None:
    # No lock file: it would name the host that the packages came from.
    options = ["--no-package-lock", "--no-audit", "--no-fund", "--omit=dev", "--loglevel=error"]
    # The caller's settings of these are for other packages.
    options += ["--global=false", "--dry-run=false", "--package-lock-only=false"]
    _output(["npm", "install", *options], folder)
    manifest = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    for name in manifest["dependencies"]:
        if not (folder / "node_modules" / name / "package.json").is_file():
            raise LoadTestError(f"npm has not installed {name}")


def _output(command: Sequence[str], folder: Path | None = None) -> str:
    """Return what a program prints.

    Raises:
        LoadTestError: it cannot be started, fails, or takes too long.
    """
    name = command[0]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False,
            env=machine.environment(),
        )  # fmt: skip
    except OSError as error:
        raise LoadTestError(f"cannot start {name}: {error}") from error
    except subprocess.TimeoutExpired:
        raise LoadTestError(
            f"{name} took longer than {_SECONDS} s: can it reach its registry?"
        ) from None
    if done.returncode:
        said = _last_line(done.stderr or done.stdout)
        raise LoadTestError(f"`{' '.join(command[:2])}` ended with {done.returncode}: {said}")
    return done.stdout.strip()


def _last_line(text: str) -> str:
    # npm's last line only says where its log is.
    lines = [line for line in text.splitlines() if line.strip() and "complete log" not in line]
    return lines[-1].strip() if lines else "without a message"
