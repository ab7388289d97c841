"""Python interpreters, and the environments that the kit's replicas run in with each of them."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loadtest import machine
from loadtest.console import say
from loadtest.errors import LoadTestError
from loadtest.harness import kit

WANTED: Final = ("3.11", "3.13")
"""The versions that are measured unless others are named, with the newest at hand."""

PARSERS: Final = ("Python", "C")
"""Gunicorn's own HTTP parser, and `gunicorn_h1c`."""

_PARSER_PINS = machine.CHECKOUT / "requirements" / "parser.txt"
_MINORS: Final = range(11, 30)
_ASK_SECONDS = 20
_ASK = """\
import json, platform, sys, sysconfig
flags = sysconfig.get_config_var("CONFIG_ARGS") or ""
print(json.dumps([sys.executable, platform.python_version(), platform.python_implementation(),
                  "--enable-optimizations" in flags or "profile" in flags]))
"""
_BUILD = """\
from kit.settings import load
from kit.setup import environment
wanted = environment.to_run(load())
environment.ensure(wanted)
print(wanted.root)
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python.

    Attributes:
        version: such as 3.11.7.
        is_profiled: whether it was built with profile-guided optimization, as most distributions
            and the official images build it; one without it is slower.
    """

    path: str
    version: str
    is_profiled: bool

    @property
    def minor(self) -> str:
        """Such as 3.11."""
        return ".".join(self.version.split(".")[:2])


def found(names: Sequence[str]) -> tuple[list[Interpreter], dict[str, str]]:
    """Return the interpreters of these names, and why others are left out.

    A name is a program, a path or a version such as 3.13. Without names these are the wanted
    versions and the newest on the PATH or of pyenv.
    """
    if names:
        named: dict[str, Interpreter] = {}
        missing = {}
        for name in names:
            at = (_of if name[:1].isdigit() else _asked)(name)
            if at is None:
                missing[name] = "it is not there, or no CPython from 3.11 on"
            elif named.setdefault(at.version, at) is not at:
                missing[name] = f"{named[at.version].path} is {at.version}, too"
        return list(named.values()), missing
    minors = {f"3.{minor}": _of(f"3.{minor}") for minor in _MINORS}
    there = {minor: at for minor, at in minors.items() if at is not None}
    newest = list(there)[-1:]
    wanted = [at for minor, at in there.items() if minor in {*WANTED, *newest}]
    missing = {minor: "it is not on the PATH" for minor in WANTED if minor not in there}
    if newest == [WANTED[-1]]:
        missing[f"newer than {WANTED[-1]}"] = "none is on the PATH"
    return wanted, missing


def environment(interpreter: Interpreter, worker_class: str, parser: str) -> Path:
    """Return the environment of replicas of the kit with it; build it once.

    Those with the C parser are in a folder of their own, because other stacks share VENV_DIR.

    Raises:
        LoadTestError: it cannot be built; the message is the last line of what was printed.
    """
    own = {"WORKER_CLASS": worker_class, "VENV_DIR": str(folder(parser)), "APP_DIR": ""}
    given = {name: text for name, text in kit.inherited().items() if not name.startswith("PYTHON")}
    printed = _ran(
        [interpreter.path, "-P", "-s", "-c", _BUILD],
        given | own | {"PYTHONPATH": str(machine.CHECKOUT / "compose"), "THREADS": "1"},
    )
    root = Path(printed.splitlines()[-1])
    if parser == "C" and not machine.versions(["gunicorn_h1c"], root):
        say(f"building gunicorn_h1c for Python {interpreter.version}")
        pip = [str(root / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
        _ran([*pip, "--require-hashes", "--requirement", str(_PARSER_PINS)], given)
    return root


def folder(parser: str) -> Path:
    """Return the VENV_DIR of stacks with this parser."""
    usual = Path(os.environ.get("VENV_DIR") or machine.CHECKOUT / ".state" / "venv")
    return usual / "c-parser" if parser == "C" else usual


def _of(minor: str) -> Interpreter | None:
    """Return the interpreter of a minor version that is on the PATH or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    paths = sorted(pyenv.glob(f"{minor}.*/bin/python"), key=_natural, reverse=True)
    candidates: Iterable[str] = (f"python{minor}", *map(str, paths))
    return next((at for name in candidates if (at := _asked(name))), None)


def _natural(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def _asked(name: str) -> Interpreter | None:
    if not shutil.which(name):
        return None
    try:
        asked = subprocess.run(
            [name, "-I", "-c", _ASK],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            # A shim of pyenv is there for versions that are not chosen, and fails.
            check=True,
            timeout=_ASK_SECONDS,
        )
        path, version, implementation, is_profiled = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None  # another program
    is_new = tuple(map(int, version.split(".")[:2])) >= (3, 11)
    is_one = is_new and implementation == "CPython"
    return Interpreter(path, version, is_profiled) if is_one else None


def _ran(command: Sequence[str], environment: dict[str, Any]) -> str:
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        said = (ran.stderr or ran.stdout).strip().splitlines() or ["nothing"]
        raise LoadTestError(f"no environment with {command[0]}: {said[-1]}")
    return ran.stdout
