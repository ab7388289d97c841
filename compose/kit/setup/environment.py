"""The private virtual environments, each built once for the same pins.

An environment's folder is named after its pins and its Python. The file ``complete`` is written
last, so an interrupted installation never counts as a complete one.
"""

import hashlib
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from kit.settings import CHECKOUT, Settings
from kit.setup import installation
from kit.system import locks

_SHOP = ("runtime", "local")
_SERVERS = ("nginx", "valkey", "gevent")


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
    wanted = {
        "nginx": settings.nginx_bin is None,
        "gevent": settings.worker_class == "gevent" and not settings.is_foreign,
        "valkey": settings.own_store and settings.redis_server is None,
        "mongodb": settings.in_mongodb,
    }
    groups = [group for group, needed in wanted.items() if needed]
    return _named("run", settings, *(_SHOP[1:] if settings.is_foreign else _SHOP), *groups)


def to_resolve(settings: Settings) -> Environment:
    """Return the environment of uv, which resolves the packages of an application."""
    return _named("resolve", settings, "uv")


def of_lock(lock: Path, settings: Settings) -> Environment:
    """Return the environment of an application that is not the shop."""
    return _of("app", settings, lock)


def to_check(settings: Settings) -> Environment:
    """Return the environment that the checks and `make pins` use."""
    servers = *_SERVERS, "mongodb", "kubernetes"
    return _named("check", settings, *_SHOP, *servers, "bench", "test", "lint", "uv", "load")


def to_bench(settings: Settings) -> Environment:
    """Return the environment that `make bench` uses."""
    # Locust makes the load if there is no wrk.
    load = () if shutil.which("wrk") else ("load",)
    mongodb = ("mongodb",) if os.environ.get("MONGODB_URL") else ()
    return _named("bench", settings, *_SHOP, *_SERVERS, "bench", *load, *mongodb)


def to_load(settings: Settings) -> Environment:
    """Return the environment that `make loadtest` uses."""
    return _named("load", settings, *_SHOP, "load")


def ensure(environment: Environment, *, may_build: bool = False) -> None:
    """Build the environment unless it exists, if need be from source packages."""
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


def _named(kind: str, settings: Settings, *groups: str) -> Environment:
    return _of(kind, settings, *(CHECKOUT / "requirements" / f"{group}.txt" for group in groups))


def _of(kind: str, settings: Settings, *pins: Path) -> Environment:
    digest = hashlib.sha256(platform.python_version().encode())
    for path in pins:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return Environment(settings.venv_dir / f"{kind}-{digest.hexdigest()[:12]}", pins)
