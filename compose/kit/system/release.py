"""Releases: frozen copies of the application's code, named after their content.

A replica runs a release, never the checkout. So an edit of a file changes nothing until the next
``make up``, and two releases can run side by side.
"""

import compileall
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kit.errors import KitError

_KEPT = 3
_LEFT_OUT = ("__pycache__", "Dockerfile")


def freeze(source: Path, releases: Path) -> Path:
    """Copy the code at ``source`` and return the folder of its release.

    The same content gives the same folder.

    Raises:
        KitError: there is no code at ``source``.
    """
    if not (source / "gunicorn.conf.py").is_file():
        raise KitError(
            f"{source / 'gunicorn.conf.py'} is missing", "restore app/ from the repository"
        )
    # Read once, so that name and content agree even if a file is saved meanwhile.
    relative = content_of(source)
    release = releases / digest(relative)
    if not release.exists():
        with tempfile.TemporaryDirectory(dir=releases, prefix=".new-") as parent:
            copy = Path(parent, "release")
            for path, data in relative.items():
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                (copy / path).write_bytes(data)
            compileall.compile_dir(copy, quiet=2)
            copy.rename(release)
    os.utime(release)
    return release


def prune(releases: Path, in_use: Path) -> None:
    """Remove all but the three newest releases, and never the one in use."""
    found = sorted(
        (p for p in releases.iterdir() if not p.name.startswith(".") and p != in_use),
        key=lambda p: p.stat().st_mtime,
        reverse=True,
    )
    for old in found[_KEPT - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


def content_of(source: Path) -> dict[Path, bytes]:
    """Return the files of a release by their paths below ``source``."""
    return {
        path.relative_to(source): path.read_bytes()
        for path in sorted(source.rglob("*"))
        if _belongs(path)
    }


def digest(content: Mapping[Path, bytes]) -> str:
    """Return a name for some content; equal names mean equal content."""
    found = hashlib.sha256()
    for path, data in content.items():
        found.update(f"{path}\0{len(data)}\0".encode() + data)
    return found.hexdigest()[:12]


def _belongs(path: Path) -> bool:
    names = path.parts[-2:]
    return path.is_file() and not any(n.startswith((".", *_LEFT_OUT)) for n in names)
