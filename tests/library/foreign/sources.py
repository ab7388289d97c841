"""Getting the suites: released source packages, and the environment that they run in."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

from kit.system.locks import in_turn

from tests.support import environments

from .suites import BUILD_PINS, PINS, Suite, requirement


def folder() -> Path:
    """Return where everything here is kept: `foreign` in the state folder."""
    return environments.state() / "foreign"


def environment() -> Path:
    """Return the Python of the suites' environment.

    Raises:
        Unmade: it could not be made.
    """
    return environments.made("foreign", PINS, first=BUILD_PINS)


def unpacked(suite: Suite, python: Path) -> Path:
    """Return the folder of the suite's source package, fetched if it is not there yet.

    Raises:
        Unmade: it could not be fetched, or is not the pinned one.
    """
    root = folder() / "sources" / f"{suite.name}-{suite.version}"
    with in_turn(folder() / "lock"):
        if not root.exists():
            root.parent.mkdir(exist_ok=True)
            # A suite without settings of its own must not find those of this project above it.
            (root.parent / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
            with tempfile.TemporaryDirectory(dir=root.parent) as name:
                _unpack(_fetched(suite, python, Path(name)), Path(name) / "unpacked")
                (top,) = (Path(name) / "unpacked").iterdir()
                top.rename(root)
    return root


def _fetched(suite: Suite, python: Path, into: Path) -> Path:
    """Fetch the source package, checked against the pinned hashes."""
    wanted = into / "requirements.txt"
    wanted.write_text(requirement(suite.name), encoding="utf-8")
    environments.do(
        [
            python, *environments.PIP, "download", "--no-deps", "--no-binary", ":all:",
            "--require-hashes", "--no-build-isolation", "--dest", into, "-r", wanted,
        ]
    )  # fmt: skip
    (package,) = into.glob("*.tar.gz")
    return package


def _unpack(package: Path, into: Path) -> None:
    with tarfile.open(package) as archive:
        archive.extractall(into, filter="data")
