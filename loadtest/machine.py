"""The machine that measures: processor, versions, commit, a free port."""

import os
import platform
import socket
import subprocess
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
"""The root of this checkout."""

_FOREIGN = ("GIT_", "GUNICORN_", "LOCUST_", "NODE_", "UVICORN_", "WEB_CONCURRENCY")


def description() -> str:
    """Return processor, cores and kernel in one line."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def python() -> str:
    """Return the interpreter and its version."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def versions(packages: Iterable[str], environment: Path | None = None) -> dict[str, str]:
    """Return the versions of the packages (in lower case) in an environment, by default our own."""
    folders = environment.glob("lib/python*/site-packages") if environment else []
    there = distributions(path=[*map(str, folders)]) if environment else distributions()
    found = {item.name.lower(): item.version for item in there}
    return {name: found[name] for name in packages if name in found}


def commit() -> str:
    """Return the commit of this checkout, `unknown` without git."""
    try:
        git = subprocess.run(
            ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty"],
            capture_output=True, text=True, check=False, env=environment(),
        )  # fmt: skip
    except OSError:
        return "unknown"
    return git.stdout.strip() or "unknown"


def environment(**own: str) -> dict[str, str]:
    """Return the environment of a program: the caller's without settings of such programs.

    A hook of git, for example, sets GIT_DIR to another repository.
    """
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**inherited, **own}


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()
