"""What the application's image is built from: the `build` section of its Compose service."""

import re
import shutil
from typing import Any

from kit.errors import KitError
from kit.settings import CHECKOUT, SHOP, Settings
from kit.setup import environment, requirements
from kit.setup.application import Application
from kit.state import StateFolder
from kit.system import release

# The version in the name of the official image, and the one of the default.
_PYTHON = re.compile(r":(\d+\.\d+)")
_DEFAULT_PYTHON = "3.13"


def section(settings: Settings, state: StateFolder, app: Application) -> dict[str, Any]:
    """Return the section; an application that is not the shop is frozen, its packages locked."""
    if not settings.is_foreign:
        return {"args": {"REQUIREMENTS": _of_shop(settings)}}
    resolver = environment.to_resolve(settings)
    environment.ensure(resolver)
    version = _PYTHON.search(settings.compose.get("PYTHON_IMAGE", ""))
    wanted = requirements.Wanted(
        source=app.packages,
        overrides=settings.app_overrides,
        may_build=settings.app_build,
        worker_class=settings.worker_class,
        in_mongodb=settings.in_mongodb,
        python=version[1] if version else _DEFAULT_PYTHON,
        for_image=True,
    )
    lock = requirements.lock(wanted, resolver.root / "bin" / "uv", state.locks)
    state.releases.mkdir(exist_ok=True)
    frozen = release.freeze(app.folder, SHOP, state.releases)
    shutil.copyfile(lock, frozen / "kit" / "requirements.txt")
    release.prune(state.releases, frozen)
    return {
        "context": str(frozen / "kit"),
        "dockerfile": str(SHOP / "Dockerfile"),
        "additional_contexts": {"code": str(frozen / "code")},
        "args": {"REQUIREMENTS": "", "APP_BUILD": str(int(settings.app_build))},
    }


def _of_shop(settings: Settings) -> str:
    gevent = " gevent.txt" if settings.worker_class == "gevent" else ""
    mongodb = " mongodb.txt" if settings.in_mongodb else ""
    names = settings.compose.get("APP_REQUIREMENTS", f"runtime.txt{gevent}{mongodb}").split()
    for name in names:
        if not (CHECKOUT / "requirements" / name).is_file():
            raise KitError(
                f"APP_REQUIREMENTS names {name}, which is not a file in requirements/",
                "name files of that folder, separated by spaces",
            )
    return " ".join(f"requirements/{name}" for name in names)
