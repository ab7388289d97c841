"""Releases: frozen copies of the application's code, named after their content.

A replica runs a release, never the checkout. So an edit of a file changes nothing until the next
``make up``, and two releases can run side by side.
"""

import compileall
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from kit.errors import KitError

_KEPT = 3
_ABANDONED_SECONDS = 600
# Caches, editors' copies, and what `pip install .` leaves: none is code.
_LEFT_OUT = (".", "__pycache__", "Dockerfile")
_NOT_CODE = {"node_modules"}
# Flask's instance folder, which is data.
_DATA = {"instance"}
# What serves an application: from the checkout's app/.
_SERVING = {
    "gunicorn.conf.py",
    "unsticky_gunicorn.py",
    "unsticky_metrics.py",
    "unsticky_traces.py",
    "unsticky",
}
_DATABASE = b"SQLite format 3\0"
_GLOBS = ((r"\*\*/", "(?:.*/)?"), (r"\*\*", ".*"), (r"\*", "[^/]*"), (r"\?", "[^/]"))
_MOST_BYTES = 500_000_000
_LEFT_OUT_ENDS = (".egg-info", ".pyc", "~")


def freeze(code: Path, served_by: Path, releases: Path, data: Path | None = None) -> Path:
    """Copy an application and what serves it, and return the folder of this release.

    The application is in ``code``; Gunicorn's configuration and the library are in ``kit``. The
    same content gives the same folder.

    Args:
        code: the application's folder.
        served_by: the folder with ``gunicorn.conf.py`` and the library.
        releases: the folder of all releases; it exists.
        data: a folder that stays; the application finds it as its instance folder.

    """
    if not (served_by / "gunicorn.conf.py").is_file():
        raise KitError(
            f"{served_by / 'gunicorn.conf.py'} is missing", "restore app/ from the repository"
        )
    # Read once, so that name and content agree even if a file is saved meanwhile.
    content = {Path("code", path): text for path, text in content_of(code).items()}
    for path, text in content_of(served_by).items():
        # An application that brings the library, as the shop does, uses its own.
        brought = len(path.parts) > 1 and Path("code", path) in content
        if path.parts[0] in _SERVING and not brought:
            content[Path("kit", path)] = text
    link = None if data is None else str(data).encode()

    def finish(copy: Path) -> None:
        compileall.compile_dir(copy, quiet=2)
        if data is not None:
            (copy / "code" / "instance").symlink_to(data)

    return keep(content, releases, finish, extra=link)


def keep(
    content: Mapping[Path, bytes],
    folder: Path,
    finish: Callable[[Path], object] = lambda _: None,
    extra: bytes | None = None,
) -> Path:
    """Write files, by their relative paths, to a folder named after them; all users may read it.

    `finish` works on the copy before it has its name; `extra` is what it depends on, if anything.
    """
    kept = folder / digest({**content, Path("/"): extra} if extra else content)
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as parent:
            copy = Path(parent, "release")
            for path, data in content.items():
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                (copy / path).write_bytes(data)
            finish(copy)
            # Containers read some of it as other users, whatever the caller's umask is.
            for path in (copy, *(path for path in copy.rglob("*") if not path.is_symlink())):
                path.chmod(0o755 if path.is_dir() else 0o644)
            copy.rename(kept)
    os.utime(kept)
    return kept


def prune(folder: Path, *in_use: Path) -> None:
    """Remove all that `keep` wrote but three: what is in use, and the newest others.

    A release in which an application has made a database stays, too.
    """
    for unfinished in folder.glob(".new-*"):
        # Its verb was killed; a younger one may belong to a verb that works now.
        if time.time() - unfinished.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(unfinished, ignore_errors=True)
    found = sorted(
        (p for p in folder.iterdir() if not p.name.startswith(".") and p not in in_use),
        key=lambda p: p.stat().st_mtime,
        reverse=True,
    )
    for old in found[max(0, _KEPT - len(in_use)) :]:
        if (old / "code").is_dir() and databases(old / "code"):
            continue
        shutil.rmtree(old, ignore_errors=True)


def content_of(source: Path) -> dict[Path, bytes]:
    """Return the files of a release by their paths below ``source``."""
    content: dict[Path, bytes] = {}
    size = 0
    ignored = _ignored(source / ".dockerignore")
    for folder, folders, files in os.walk(source):
        here = Path(folder).relative_to(source)
        folders[:] = sorted(name for name in folders if _is_code(source, here / name))
        for name in sorted(files):
            path = here / name
            if not _belongs(name) or ignored(path) or not (source / path).is_file():
                continue
            data = (source / path).read_bytes()
            if data.startswith(_DATABASE):
                continue
            size += len(data)
            if size > _MOST_BYTES:
                raise KitError(
                    f"{source} has more than {_MOST_BYTES // 1_000_000} MB of code",
                    f"name folders that are no code in {source / '.dockerignore'}",
                )
            content[path] = data
    return content


def digest(content: Mapping[Path, bytes]) -> str:
    """Return a name for some content; equal names mean equal content."""
    found = hashlib.sha256()
    for path, data in content.items():
        found.update(f"{path}\0{len(data)}\0".encode() + data)
    return found.hexdigest()[:12]


def databases(source: Path) -> list[str]:
    """Return the names of the SQLite files beside the code, which are in no release."""
    files = (path for path in source.iterdir() if path.is_file())
    return sorted(path.name for path in files if _begins_as_database(path))


def _begins_as_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_DATABASE)) == _DATABASE


def _belongs(name: str) -> bool:
    return not name.startswith(_LEFT_OUT) and not name.endswith(_LEFT_OUT_ENDS)


def _is_code(source: Path, folder: Path) -> bool:
    return (
        _belongs(folder.name)
        and folder.name not in _NOT_CODE
        and str(folder) not in _DATA
        and not (source / folder / "pyvenv.cfg").exists()
        # The folder of `make init`.
        and not (source / folder / ".unsticky.json").exists()
    )


def _ignored(file: Path) -> Callable[[Path], bool]:
    """Return what says whether a ``.dockerignore`` leaves out a file; the last match counts."""
    rules = []
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    for line in (line.strip() for line in lines):
        if not line or line.startswith("#"):
            continue
        pattern = re.escape(line.lstrip("!").strip("/"))
        for glob, regex in _GLOBS:
            pattern = pattern.replace(glob, regex)
        rules.append((re.compile(f"{pattern}(?:/.*)?"), not line.startswith("!")))

    def is_ignored(path: Path) -> bool:
        verdicts = [ignores for rule, ignores in rules if rule.fullmatch(path.as_posix())]
        return bool(verdicts) and verdicts[-1]

    return is_ignored
