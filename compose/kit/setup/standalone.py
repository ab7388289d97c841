"""`make init`: put the stack's files beside an application, and update them later.

All files go into one folder, ``deploy/``; nothing else is touched. A manifest there has the
content of each file as it was written, so that a later run can merge: what only one side has
changed is taken, and what both have changed is shown.
"""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kit.console import say, warn
from kit.errors import KitError
from kit.settings import CHECKOUT, Settings
from kit.setup import detection, requirements

FOLDER = "deploy"
MANIFEST = ".unsticky.json"
_FORMAT = 1

# From the checkout, as the kit itself uses them; a folder stands for all files in it.
_SOURCES = {
    "deploy": "compose/deploy",
    "compose.yaml": "compose/compose.yaml",
    "compose.external.yaml": "compose/compose.external.yaml",
    "compose.grafana.yaml": "compose/compose.grafana.yaml",
    "compose.isolated.yaml": "compose/compose.isolated.yaml",
    "compose.observe.yaml": "compose/compose.observe.yaml",
    "compose.sentinel.yaml": "compose/compose.sentinel.yaml",
    "compose.tls.yaml": "compose/compose.tls.yaml",
    "secrets.sh": "compose/secrets.sh",
    "kubernetes": "compose/kubernetes",
    "kubernetes/README.md": "compose/kubernetes/README.md",
    "swarm": "compose/swarm",
    "swarm/README.md": "compose/swarm/README.md",
    "redis": "compose/redis",
    "observe": "compose/observe",
    "nginx": "nginx",
    "Dockerfile": "app/Dockerfile",
    "gunicorn.conf.py": "app/gunicorn.conf.py",
    "lib/unsticky_gunicorn.py": "app/unsticky_gunicorn.py",
    "lib/unsticky_metrics.py": "app/unsticky_metrics.py",
    "lib/unsticky_traces.py": "app/unsticky_traces.py",
    "lib/unsticky": "app/unsticky",
}
_LEFT_OUT = {"README.md", "shop.env", "valkey.conf.template", "py.typed~", "testing", "__pycache__"}


# The image's build reads such a file only; this makes one from what other tools keep.
_REQUIREMENTS = "requirements.txt"
_EXPORTS = {
    "uv.lock": f"uv export --frozen --no-dev --no-emit-project -o {_REQUIREMENTS}",
    "poetry.lock": f"poetry export --only main -o {_REQUIREMENTS}",
    "pdm.lock": f"pdm export --prod -o {_REQUIREMENTS}",
    "Pipfile.lock": f"pipenv requirements >{_REQUIREMENTS}",
    "pyproject.toml": f"uv pip compile pyproject.toml -o {_REQUIREMENTS}",
}


class Fate(StrEnum):
    """What becomes of a file in the folder."""

    NEW = "new"
    SAME = "unchanged"
    UPDATED = "updated"
    KEPT = "yours, kept"
    MERGED = "merged"
    CONFLICT = "CONFLICT"
    GONE = "removed"


@dataclass(frozen=True, slots=True)
class Change:
    """A file and what becomes of it; `text` is its new content, or None if it stays or goes."""

    name: str
    fate: Fate
    text: bytes | None = None


def init(settings: Settings) -> None:
    """Write the files for the application in ``DIR``, and say what its owner does next.

    Raises:
        KitError: there is no such folder, no application in it, or the files cannot be updated.
    """
    project = settings.dir
    if project is None or not project.is_dir():
        raise KitError(
            f"DIR={project or ''} is not a folder",
            "name the folder of your application: make init DIR=../blog",
        )
    folder = project / FOLDER
    is_new = not is_ours(folder)
    app = settings.app or detection.find_app(project).app
    tell(write(folder, {".env": _environment(settings, project, app)}), folder)
    if not is_new:
        return
    say(f"\n{folder} has all that {app} needs in containers. Nothing else was changed.")
    for name, command in _EXPORTS.items():
        if (project / name).is_file() and not (project / _REQUIREMENTS).is_file():
            say(f"\nList its packages for the image, after each change of {name}:\n\n  {command}")
            break
    if detection.has_library(project):
        say()
    elif proposal := detection.proposal(project):
        say(f"\nGive your application these two lines:\n\n{proposal}")
    else:
        warn("no module was found that makes the Flask object: call Unsticky(app) where it is made")
    say(f"Next: look at {FOLDER}/.env, then, in {project}:\n")
    say(f"  sh {FOLDER}/secrets.sh   # once: makes the keys and passwords")
    say(f"  {FOLDER}/deploy")


def _environment(settings: Settings, project: Path, app: str) -> str:
    """Return the folder's `.env`: what is known of the application, and nothing secret."""
    lists = any((project / name).is_file() for name in requirements.KNOWN)
    packages = settings.compose.get("APP_REQUIREMENTS") or (_REQUIREMENTS if lists else "")
    health = settings.compose.get("HEALTH_PATH") or detection.find_health(project)
    name = re.sub(r"[^a-z0-9_-]+", "-", project.resolve().name.lower()).strip("-_") or "app"
    return f"""\
# Settings of the stack; compose.yaml says what each one means. It has no secrets: commit it.
# The prefix of containers, networks, volumes and images.
COMPOSE_PROJECT_NAME={name}
# The application: module:object or module:factory().
APP={app}
# Files with its packages; paths start in its folder. APP_BUILD=1 builds those that have no wheel.
APP_REQUIREMENTS={packages}
APP_BUILD={int(settings.app_build)}
# A path that answers 2xx or 3xx without a login.
HEALTH_PATH={health}
# nginx's port on 127.0.0.1; containers of the application, and processes in each.
PORT={settings.port}
REPLICAS={settings.replicas}
WORKERS={settings.workers}
# Runs once for each release, such as: flask db upgrade
RELEASE_COMMAND={settings.release_command}
"""


def write(folder: Path, generated: Mapping[str, str]) -> list[Change]:
    """Write or update the stand-alone files in a folder.

    Args:
        folder: ``deploy`` in the application's project.
        generated: files that are made for this application, and their content.

    Raises:
        KitError: the folder holds something else, or its manifest cannot be read.
    """
    wanted = _wanted() | {name: text.encode() for name, text in generated.items()}
    bases = _bases(folder)
    changes = [_change(folder, name, text, bases.get(name)) for name, text in wanted.items()]
    changes += [
        Change(name, Fate.GONE)
        for name, base in bases.items()
        if name not in wanted and _read(folder / name) == base
    ]
    for change in changes:
        path = folder / change.name
        if change.fate is Fate.GONE:
            path.unlink()
        elif change.text is not None:
            target = _beside(path) if change.fate is Fate.CONFLICT else path
            _put(target, change.text, executable=change.name in {"deploy", "secrets.sh"})
    # Last: an interrupted run is repeated with the former bases, and loses nothing.
    _put(folder / MANIFEST, _manifest(wanted))
    return changes


def is_ours(folder: Path) -> bool:
    """Whether `write` made this folder."""
    return (folder / MANIFEST).exists()


def tell(changes: list[Change], folder: Path) -> None:
    """Print what became of the files; the library counts as one."""
    shown = [c for c in changes if not c.name.startswith("lib/") or c.fate is Fate.CONFLICT]
    for change in shown:
        if change.fate is not Fate.SAME:
            say(f"  {change.fate:10} {folder.name}/{change.name}")
    if all(change.fate in {Fate.SAME, Fate.KEPT} for change in changes):
        say("Nothing to update.")
    for change in shown:
        if change.fate is Fate.CONFLICT:
            say(
                f"\nYou and the kit have both changed {folder.name}/{change.name}. Yours is in "
                f"place, the kit's is beside it.\nCompare them, keep what you want, and remove "
                f"{change.name}.new."
            )


def _change(folder: Path, name: str, text: bytes, base: bytes | None) -> Change:
    mine = _read(folder / name)
    if mine is None:
        # Removed by its owner, and unchanged in the kit since: it stays away.
        gone = base is not None and text == base
        return Change(name, Fate.KEPT) if gone else Change(name, Fate.NEW, text)
    if mine == text:
        return Change(name, Fate.SAME)
    if _beside(folder / name).exists():
        # An earlier conflict that nobody has resolved: `base` is the kit's side of it.
        return Change(name, Fate.CONFLICT, text)
    if base is None or name == ".env":
        # It was there before the kit came.
        fate = Fate.KEPT if name == ".env" else Fate.CONFLICT
        return Change(name, fate, None if name == ".env" else text)
    if mine == base:
        return Change(name, Fate.UPDATED, text)
    if text == base:
        return Change(name, Fate.KEPT)
    merged = _merged(mine, base, text)
    return (
        Change(name, Fate.CONFLICT, text) if merged is None else Change(name, Fate.MERGED, merged)
    )


def _merged(mine: bytes, base: bytes, theirs: bytes) -> bytes | None:
    """Merge line by line; None if both sides changed the same lines, or git is missing."""
    if shutil.which("git") is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name, side) for side in ("mine", "base", "theirs")]
        for path, data in zip(paths, (mine, base, theirs), strict=True):
            path.write_bytes(data)
        done = subprocess.run(
            ["git", "merge-file", "-p", *paths],
            check=False,
            capture_output=True,
        )
    return done.stdout if done.returncode == 0 else None


def _wanted() -> dict[str, bytes]:
    found = {}
    for name, source in _SOURCES.items():
        path = CHECKOUT / source
        if path.is_file():
            found[name] = path.read_bytes()
            continue
        for file in sorted(path.rglob("*")):
            relative = file.relative_to(path)
            if file.is_file() and _LEFT_OUT.isdisjoint(relative.parts):
                found[f"{name}/{relative}"] = file.read_bytes()
    return found


def _bases(folder: Path) -> dict[str, bytes]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {
            name: zlib.decompress(base64.b64decode(entry["content"]))
            for name, entry in manifest["files"].items()
        }
    except FileNotFoundError:
        if folder.is_dir() and any(folder.iterdir()):
            raise KitError(
                f"{folder} holds other files, and none of this kit",
                "rename that folder, because the kit's files go into a folder of this name",
            ) from None
        return {}
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise KitError(
            f"{folder / MANIFEST} cannot be read: {error!r}",
            "restore it from your repository; it has the content that an update is merged with",
        ) from error


def _manifest(wanted: Mapping[str, bytes]) -> bytes:
    files = {
        name: {
            "sha256": hashlib.sha256(text).hexdigest(),
            "content": base64.b64encode(zlib.compress(text, 9)).decode(),
        }
        for name, text in sorted(wanted.items())
    }
    return (json.dumps({"format": _FORMAT, "files": files}, indent=0) + "\n").encode()


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _put(path: Path, data: bytes, *, executable: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.part")
    new.write_bytes(data)
    new.chmod(0o755 if executable else 0o644)
    new.replace(path)
