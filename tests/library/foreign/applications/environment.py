"""An application's source, from a clone, and its packages, in an environment of its own."""

import hashlib
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from .application import Application

_SHARED = {
    "flask", "werkzeug", "jinja2", "itsdangerous", "click", "blinker", "markupsafe", "redis",
    "gunicorn", "packaging",
}  # fmt: skip
"""What the library needs, too."""


class CannotTry(Exception):
    """The application cannot be tried here; the message says what is missing."""


def exported(application: Application, clones: Path, folder: Path) -> Path:
    """Write the newest source of the clone to `folder`; return where the application is in it.

    Raises:
        CannotTry: there is no such clone.
    """
    clone = clones / application.repository.replace("/", "+")
    # A mirror may hold the repository one level deeper.
    places = [clone, clone / ".git", clone / "repo", clone / "repo" / ".git"]
    git = next((place for place in places if (place / "HEAD").exists()), None)
    if git is None:
        raise CannotTry(
            f"there is no clone at {clone}: git clone --bare "
            f"https://github.com/{application.repository} {clone}"
        )
    done = subprocess.run(["git", f"--git-dir={git}", "archive", "HEAD"], capture_output=True)  # noqa: PLW1510
    if done.returncode:
        raise CannotTry(f"{git} cannot be read: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / application.folder


def environment(
    application: Application, source: Path, folder: Path, library: Path, *, newest: bool
) -> tuple[Path, str]:
    """Install the application's packages and the library's; return the Python, and a complaint.

    What the application pins counts, unless `newest` is set: where the library's declared needs
    contradict it, its packages are installed without their versions, and the complaint says so.

    Raises:
        CannotTry: the application's own packages cannot be installed.
    """
    needs = tomllib.loads((library / "pyproject.toml").read_text())["project"]["dependencies"]
    own = _requirements(application, source)
    if application.needs_issuer:
        own.append("cryptography")
    if newest:
        own = [line.partition("==")[0] if _shared(line) else line for line in own]
    key = hashlib.sha256("\n".join([*own, *needs]).encode()).hexdigest()[:12]
    place = folder / f"{application.name}-{key}"
    python, note = place / "bin" / "python", place / "complaint"
    if not note.exists():
        _run([sys.executable, "-m", "venv", "--without-pip", "--clear", place])
        complaint = ""
        try:
            _install(python, [*own, *needs, "gunicorn"])
        except CannotTry as error:
            complaint = str(error)
            _install(python, [*own, "redis", "hiredis", "msgpack", "gunicorn"])
        note.write_text(complaint)
    return python, note.read_text()


def _requirements(application: Application, source: Path) -> list[str]:
    """Return the requirements, those of a file named `-r name` included."""
    lines: list[str] = []
    for each in application.requirements:
        if not each.startswith("-r "):
            lines.append(each)
            continue
        content = (source / each[3:]).read_bytes()
        text = content.decode("utf-16" if content.startswith(b"\xff\xfe") else "utf-8")
        lines += [
            line.partition(";")[0].strip()
            for line in text.splitlines()
            if line.strip() and not line.startswith(("#", "-"))
        ]
    return lines


def _shared(line: str) -> bool:
    return line.partition("==")[0].strip().lower() in _SHARED


def _install(python: Path, requirements: Sequence[str]) -> None:
    _run([sys.executable, "-m", "uv", "pip", "install", "-q", "--python", python, *requirements])


def _run(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotTry(" ".join((done.stderr or done.stdout).split())[:600])
