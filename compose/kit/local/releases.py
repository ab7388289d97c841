"""Releases: how one is made, and a record of those that have served, for `make rollback`."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from kit.console import warn
from kit.local.services import Release
from kit.settings import SHOP, Settings
from kit.setup import application, environment, requirements
from kit.setup.environment import Environment
from kit.state import StateFolder, write_private
from kit.system import release

_KEPT = 5


@dataclass(frozen=True, slots=True)
class Served:
    """A release that has served.

    Attributes:
        number: grows with each release that is deployed.
        folder: the frozen application.
        environment: the folder of its packages.
        settings: a digest of what its replicas were started with last.
        since: when it served first, RFC 3339 UTC.
    """

    number: int
    folder: Path
    environment: Path
    settings: str
    since: str

    def is_there(self) -> bool:
        """Whether its folder and its packages still exist."""
        return self.folder.is_dir() and Environment(self.environment, ()).is_complete()


class Releases:
    """The record of one stack, in `STATE_DIR/releases.json`."""

    def __init__(self, state: StateFolder) -> None:
        self._state, self._path = state, state.root / "releases.json"

    def served(self) -> list[Served]:
        """Return the recorded releases, the newest first."""
        if not self._path.exists():
            return []
        found = []
        for entry in json.loads(self._path.read_text(encoding="utf-8")):
            # The state folder may have moved.
            folder = self._state.releases / entry.pop("folder")
            found.append(Served(folder=folder, environment=Path(entry.pop("environment")), **entry))
        return found

    def record(self, folder: Path, environment: Path, settings: str) -> None:
        """Record that a release serves; one that differs from the newest gets a new number."""
        found = self.served()
        if found and (found[0].folder, found[0].environment) == (folder, environment):
            found[0] = replace(found[0], settings=settings)
        else:
            number = 1 + max((each.number for each in found), default=0)
            since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            found.insert(0, Served(number, folder, environment, settings, since))
        self._write(found[:_KEPT])

    def forget_after(self, number: int) -> None:
        """Forget the releases that are newer than one."""
        self._write([each for each in self.served() if each.number <= number])

    def _write(self, releases: Sequence[Served]) -> None:
        entries = [
            {**asdict(each), "folder": each.folder.name, "environment": str(each.environment)}
            for each in releases
        ]
        write_private(self._path, json.dumps(entries, indent=1))


def freeze(settings: Settings, state: StateFolder, serving: Environment) -> Release:
    """Freeze the application, and build the environment of its packages.

    `serving` is the kit's own environment, which has the shop's packages.
    """
    app = application.read(settings, state)
    if app.data is not None:
        app.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in release.databases(app.folder):
            warn(
                f"{app.folder / name} is a database among the code, and in no release: name "
                f"one in DATA_DIR={app.data} in your application's settings"
            )
        resolver = environment.to_resolve(settings)
        environment.ensure(resolver)
        wanted = requirements.Wanted(
            source=app.packages,
            overrides=settings.app_overrides,
            may_build=settings.app_build,
            worker_class=settings.worker_class,
            in_mongodb=settings.in_mongodb,
            python=".".join(map(str, sys.version_info[:2])),
            for_image=False,
        )
        lock = requirements.lock(wanted, resolver.root / "bin" / "uv", state.locks)
        serving = environment.of_lock(lock, settings)
        environment.ensure(serving, may_build=settings.app_build)
    return Release(app, serving, release.freeze(app.folder, SHOP, state.releases, app.data))
