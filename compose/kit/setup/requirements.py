"""Resolve an application's requirements and the kit's own in one step, into one hashed lock.

uv resolves; the lock has a hash for each package, so that every replica and every image installs
the same files. Locks are named after all that they were made from: an unchanged application is
not resolved again.
"""

import hashlib
import os
import platform
import re
import shlex
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.console import say, step
from kit.errors import KitError
from kit.settings import CHECKOUT

KNOWN = ("uv.lock", "requirements.txt", "pyproject.toml")
"""Files that list an application's packages, the most exact first."""

_COMPILE = shlex.split(
    "pip compile --no-config --quiet --no-progress --generate-hashes --no-header --no-annotate"
    " --emit-index-url --emit-find-links"
)
_FILES = shlex.split("--override overrides.txt --output-file lock.txt application.txt unsticky.txt")
_EXPORT = shlex.split(
    "export --no-config --quiet --frozen --no-dev --no-emit-project --no-hashes --no-header"
    " --no-annotate"
)
# Options of a requirements file that uv and pip understand alike.
_OPTIONS = re.compile(r"(-i|--index-url|--extra-index-url|-f|--find-links|--pre|--trusted-host)\b")
_INCLUDE = re.compile(r"(?P<option>-r|--requirement|-c|--constraint)[\s=]+(?P<path>.+)")
_EDITABLE = re.compile(r"(?:-e|--editable)[\s=]+(?P<target>.+)")
_ITSELF = re.compile(r"\.(?:\[[\w,\s-]*\])?/?")
_REPOSITORY = re.compile(r"\b(?:git|hg|svn|bzr)\+|^git@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is resolved.

    Attributes:
        source: one of `KNOWN`, or a requirements file of another name; None if there is none.
        overrides: a requirements file whose versions replace all others.
        may_build: source packages are allowed, and built.
        worker_class: gevent needs packages of its own.
        in_mongodb: sessions in MongoDB do, too.
        python: the version of the interpreter, such as 3.13.
        for_image: for a Linux container of this machine's processor, instead of for this system.
    """

    source: Path | None
    overrides: Path | None
    may_build: bool
    worker_class: str
    in_mongodb: bool
    python: str
    for_image: bool

    @property
    def name(self) -> str:
        """What messages call the application's side."""
        return str(self.source) if self.source else "the application, which lists no packages,"


def lock(wanted: Wanted, uv: Path, locks: Path) -> Path:
    """Return the file of pins, with hashes, for an application and what serves it.

    Raises:
        KitError: a file cannot be read, a line cannot be used, or there is no solution; the
            message has both sides of a conflict.
    """
    theirs = list(lines(wanted.source, uv)) if wanted.source else []
    overrides = list(lines(wanted.overrides, uv)) if wanted.overrides else []
    ours, server = _ours(wanted)
    replaced = [line for line in theirs if re.match(r"gunicorn\b", line)]
    inputs = {
        "application.txt": "\n".join(line for line in theirs if line not in replaced),
        "unsticky.txt": "\n".join((*ours, server)),
        "overrides.txt": "\n".join(overrides),
    }
    arguments = _arguments(wanted)
    digest = hashlib.sha256(repr((inputs, arguments)).encode()).hexdigest()[:12]
    kept = locks / f"{digest}.txt"
    if not kept.exists():
        with step(f"resolving {wanted.name}"):
            _resolve(inputs, arguments, uv, kept, wanted)
    if replaced and (version := re.search(r"^gunicorn==(\S+)", kept.read_text(), re.MULTILINE)):
        say(f"  The kit's Gunicorn {version[1]} replaces {replaced[0]} of {wanted.name}.")
    return kept


def _ours(wanted: Wanted) -> tuple[list[str], str]:
    """Return the ranges of the library, and that of the server."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    extras = project["project"]["optional-dependencies"]
    ranges = [*project["project"]["dependencies"], *extras["fast"]]
    if wanted.worker_class == "gevent":
        ranges += groups["gevent"]
    if wanted.in_mongodb:
        ranges += extras["mongodb"]
    (server,) = (line for line in groups["runtime"] if line.startswith("gunicorn"))
    return ranges, server


def _arguments(wanted: Wanted) -> list[str]:
    arguments = [*_COMPILE, "--python-version", wanted.python]
    if not wanted.may_build:
        arguments += ["--only-binary", ":all:"]
    if wanted.for_image:
        machine = "aarch64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
        arguments += ["--python-platform", f"{machine}-unknown-linux-gnu"]
    return arguments


def _resolve(
    inputs: Mapping[str, str], arguments: list[str], uv: Path, kept: Path, wanted: Wanted
) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".new-") as name:
        folder = Path(name)
        for file, text in inputs.items():
            (folder / file).write_text(f"{text}\n", encoding="utf-8")
        done = _run(uv, *arguments, *_FILES, cwd=folder)
        if done.returncode:
            raise _explained(done.stderr or done.stdout, wanted)
        (folder / "lock.txt").replace(kept)


def _run(uv: Path, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(uv), *arguments]
    env = _environment()
    return subprocess.run(
        command, check=False, cwd=cwd, env=env, capture_output=True, text=True, errors="replace"
    )


def _environment() -> dict[str, str]:
    """Return an environment in which uv asks the index that pip would ask."""
    env = {name: text for name, text in os.environ.items() if not name.startswith("UV_")}
    for name, of_pip in (
        ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"),
        ("UV_INDEX", "PIP_EXTRA_INDEX_URL"),
    ):
        if text := os.environ.get(name) or os.environ.get(of_pip):
            env[name] = text
    return env


def lines(path: Path, uv: Path) -> Iterator[str]:
    """Return the requirements of a file, with those of the files that it includes.

    Raises:
        KitError: it cannot be read, or has a line that cannot be used.
    """
    if path.name == "uv.lock":
        yield from _text_lines(_exported(path, uv))
    elif path.name == "pyproject.toml":
        yield from _of_project(path)
    else:
        yield from _of_requirements(path)


def _of_project(path: Path) -> list[str]:
    try:
        project = tomllib.loads(_read(path)).get("project", {})
    except tomllib.TOMLDecodeError as error:
        raise KitError(f"{path} is not TOML: {error}", "correct that line") from error
    if not project or "dependencies" in project.get("dynamic", ()):
        raise KitError(
            f"{path} has no list of packages that can be read: no [project] dependencies",
            "export one: poetry export, pdm export or pip freeze >requirements.txt",
            "then name it: APP_REQUIREMENTS=requirements.txt",
        )
    return list(project.get("dependencies", ()))


def _of_requirements(path: Path) -> Iterator[str]:
    for line in _text_lines(_read(path)):
        if included := _INCLUDE.fullmatch(line):
            # A constraint counts as a requirement: what it names is installed in this version.
            yield from _of_requirements(path.parent / included["path"].strip())
        elif editable := _EDITABLE.fullmatch(line):
            yield from _of_itself(path, editable["target"].strip(), line)
        elif _ITSELF.fullmatch(line):
            yield from _of_itself(path, line, line)
        elif _REPOSITORY.search(line):
            raise _unusable(path, line, "a repository has no hash, so that each build may differ")
        elif re.match(r"[./~]|file:", line) or " @ file:" in line:
            raise _unusable(path, line, "a folder or file of this machine is not in a release")
        elif line.startswith("-") and not _OPTIONS.match(line):
            raise _unusable(path, line, "the kit does not know this option")
        else:
            yield line


def _of_itself(path: Path, target: str, line: str) -> list[str]:
    """Return what the application itself requires; its code is in the release anyway."""
    project = path.parent / "pyproject.toml"
    if not _ITSELF.fullmatch(target):
        raise _unusable(path, line, "an editable package is not in a release")
    return _of_project(project) if project.is_file() else []


def _unusable(path: Path, line: str, reason: str) -> KitError:
    return KitError(
        f"{path} has a line that cannot be used: {line}\n{reason}",
        "name a released version instead, or put that package into the application's folder",
        "or give another file: APP_REQUIREMENTS=requirements-deploy.txt",
    )


def _exported(path: Path, uv: Path) -> str:
    done = _run(uv, *_EXPORT, cwd=path.parent)
    if done.returncode:
        raise KitError(f"cannot read {path}: {_last(done.stderr)}", "write it again with `uv lock`")
    return done.stdout


def _text_lines(text: str) -> Iterator[str]:
    """Return the lines of a requirements file, joined and without comments and hashes."""
    for raw in re.sub(r"\\\r?\n", " ", text).splitlines():
        # The lock has hashes for every file of the same version.
        line = re.sub(r"\s--hash[=\s]\S+", "", re.sub(r"(^|\s)#.*", "", raw)).strip()
        if line:
            yield line


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise KitError(
            f"cannot read the requirements in {path}: {reason}",
            f"APP_REQUIREMENTS= names a file in APP_DIR: {', '.join(KNOWN)} or another one",
        ) from error


def _explained(said: str, wanted: Wanted) -> KitError:
    lines = [re.sub(r"^[\s×╰─▶│]+", "", line) for line in said.strip().splitlines()]
    shown = "\n".join(line for line in lines if line)[-2000:]
    if re.search("error sending request|Failed to fetch|dns error|timed out", said):
        return KitError(
            f"cannot reach the package index:\n{shown}",
            "connect to the network, or set PIP_INDEX_URL to an index that you can reach",
        )
    if re.search("no usable wheels|has no wheels|building source distributions is disabled", said):
        return KitError(
            f"a package of {wanted.name} has no wheel for Python {wanted.python}:\n{shown}",
            "APP_BUILD=1 builds source packages; some of them need a compiler",
            "or choose a version that has a wheel, with APP_OVERRIDES=",
        )
    if "Python version" in said:
        return KitError(
            f"a package of {wanted.name} is not for Python {wanted.python}:\n{shown}",
            "use another Python: make up PYTHON=/path/to/python3, or PYTHON_IMAGE= in containers",
            "or choose other versions: APP_OVERRIDES=overrides.txt",
        )
    return KitError(
        f"the requirements of {wanted.name} and of the kit (unsticky.txt) do not fit "
        f"together:\n{shown}",
        "change the version in that file",
        "or force one for both: APP_OVERRIDES=overrides.txt, with lines such as flask==3.1.2",
    )


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "(no reason given)"
