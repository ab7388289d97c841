"""The private virtual environments, each built once for the same pins.

An environment's folder is named after its pins and its Python. The file ``complete`` is written
last, so an interrupted installation never counts as a complete one.
"""

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.settings import CHECKOUT, Settings
from kit.setup import installation
from kit.system import locks


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment for some groups of pins."""

    root: Path
    pins: tuple[Path, ...]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / "bin" / "python"

    def is_complete(self) -> bool:
        """Whether everything is installed, and its Python still exists."""
        return (self.root / "complete").exists() and os.access(self.python, os.X_OK)

    def mark_complete(self) -> None:
        """Record that everything is installed."""
        (self.root / "complete").touch()

    def packaged(self, pattern: str) -> Path:
        """Return the one file inside the installed packages that matches a glob."""
        (found,) = self.root.glob(f"lib/python*/site-packages/{pattern}")
        return found


def to_run(settings: Settings) -> Environment:
    """Return the environment that the stack runs in; the shop's packages are there, too."""
    groups = ["local"] if settings.is_foreign else ["runtime", "local"]
    if settings.nginx_bin is None:
        groups.append("nginx")
    if settings.worker_class == "gevent" and not settings.is_foreign:
        groups.append("gevent")
    if settings.own_store and settings.redis_server is None:
        groups.append("valkey")
    return _named("run", groups, settings)


def to_resolve(settings: Settings) -> Environment:
    """Return the environment of uv, which resolves the packages of an application."""
    return _named("resolve", ["uv"], settings)


def of_lock(lock: Path, settings: Settings) -> Environment:
    """Return the environment of an application that is not the shop."""
    return _of("app", (lock,), settings)


def to_check(settings: Settings) -> Environment:
    """Return the environment that the checks and `make pins` use."""
    return _named(
        "check",
        ["runtime", "local", "nginx", "valkey", "gevent", "bench", "test", "lint", "uv", "load"],
        settings,
    )


def to_bench(settings: Settings) -> Environment:
    """Return the environment that `make bench` uses."""
    groups = ["runtime", "local", "nginx", "valkey", "gevent", "bench"]
    # Locust makes the load if there is no wrk.
    if shutil.which("wrk") is None:
        groups.append("load")
    return _named("bench", groups, settings)


def to_load(settings: Settings) -> Environment:
    """Return the environment that `make loadtest` and the verbs beside it use."""
    return _named("load", ["runtime", "local", "load"], settings)


def ensure(environment: Environment, *, may_build: bool = False) -> None:
    """Build the environment unless it exists, if need be from source packages.

    Raises:
        KitError: this machine lacks something; the message says what.
    """
    if environment.is_complete():
        return
    installation.require_wheels({path.stem for path in environment.pins})
    installation.require_venv()
    environment.root.parent.mkdir(parents=True, exist_ok=True)
    with locks.in_turn(environment.root.parent / "lock") as waited:
        if waited and environment.is_complete():
            return
        shutil.rmtree(environment.root, ignore_errors=True)
        try:
            installation.install(environment.root, environment.pins, may_build=may_build)
            # Or a power cut could leave the mark, and files without their content.
            os.sync()
            environment.mark_complete()
        except BaseException:
            shutil.rmtree(environment.root, ignore_errors=True)
            raise


def enter(environment: Environment) -> None:
    """Continue inside the environment: run the same verb with its Python, unless this is it."""
    if Path(sys.prefix) != environment.root:
        python = str(environment.python)
        os.execv(python, [python, "-P", "-s", "-m", "kit", *sys.argv[1:]])


def _named(kind: str, groups: Sequence[str], settings: Settings) -> Environment:
    return _of(
        kind, tuple(CHECKOUT / "requirements" / f"{group}.txt" for group in groups), settings
    )


def _of(kind: str, pins: tuple[Path, ...], settings: Settings) -> Environment:
    digest = hashlib.sha256(platform.python_version().encode())
    for path in pins:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return Environment(settings.venv_dir / f"{kind}-{digest.hexdigest()[:12]}", pins)
