"""Releases: frozen copies of the application's code, named after their content.

A replica runs a release, never the checkout. So an edit of a file changes nothing until the next
``make up``, and two releases can run side by side.
"""

import compileall
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from kit.errors import KitError

_KEPT = 3
# Caches, editors' copies, and what `pip install .` leaves: none is code.
_LEFT_OUT = (".", "__pycache__", "Dockerfile")
_LEFT_OUT_ENDS = (".egg-info", ".pyc", "~")


def freeze(source: Path, releases: Path) -> Path:
    """Copy the code at ``source`` and return the folder of its release.

    The same content gives the same folder.
    """
    if not (source / "gunicorn.conf.py").is_file():
        raise KitError(
            f"{source / 'gunicorn.conf.py'} is missing", "restore app/ from the repository"
        )
    # Read once, so that name and content agree even if a file is saved meanwhile.
    return keep(content_of(source), releases, lambda copy: compileall.compile_dir(copy, quiet=2))


def keep(
    content: Mapping[Path, bytes], folder: Path, finish: Callable[[Path], object] = lambda _: None
) -> Path:
    """Write files, by their relative paths, to a folder named after them; all users may read it.

    `finish` works on the copy before it has its name.
    """
    kept = folder / digest(content)
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as parent:
            copy = Path(parent, "release")
            for path, data in content.items():
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                (copy / path).write_bytes(data)
            finish(copy)
            # Containers read some of it as other users, whatever the caller's umask is.
            for path in (copy, *copy.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            copy.rename(kept)
    os.utime(kept)
    return kept


def prune(folder: Path, *in_use: Path) -> None:
    """Remove all that `keep` wrote but three: what is in use, and the newest others."""
    found = sorted(
        (p for p in folder.iterdir() if not p.name.startswith(".") and p not in in_use),
        key=lambda p: p.stat().st_mtime,
        reverse=True,
    )
    for old in found[max(0, _KEPT - len(in_use)) :]:
        shutil.rmtree(old, ignore_errors=True)


def content_of(source: Path) -> dict[Path, bytes]:
    """Return the files of a release by their paths below ``source``."""
    return {
        path.relative_to(source): path.read_bytes()
        for path in sorted(source.rglob("*"))
        if path.is_file() and _belongs(path.relative_to(source))
    }


def digest(content: Mapping[Path, bytes]) -> str:
    """Return a name for some content; equal names mean equal content."""
    found = hashlib.sha256()
    for path, data in content.items():
        found.update(f"{path}\0{len(data)}\0".encode() + data)
    return found.hexdigest()[:12]


def _belongs(path: Path) -> bool:
    return not any(n.startswith(_LEFT_OUT) or n.endswith(_LEFT_OUT_ENDS) for n in path.parts)
