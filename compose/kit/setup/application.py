"""The application that the replicas run: its code, its name, its settings, its data."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit import dotenv
from kit.errors import KitError
from kit.settings import Settings
from kit.setup import detection, requirements
from kit.state import StateFolder


@dataclass(frozen=True, slots=True)
class Application:
    """What a caller has named by ``APP_DIR`` and the settings beside it, or that of the checkout.

    Attributes:
        folder: its code, which is copied into each release.
        name: as Gunicorn takes it: ``module:object`` or ``module:factory()``.
        health_path: a path that answers if the application is well.
        variables: its own environment variables.
        packages: the file that lists its packages; None without one, or for the checkout's own.
        data: a folder that outlives releases, and Flask's instance folder; None for the same.
    """

    folder: Path
    name: str
    health_path: str
    variables: Mapping[str, str]
    packages: Path | None
    data: Path | None

    def described(self) -> dict[str, str]:
        """Return what `make up` prints about an application that is not the shop."""
        if self.data is None:
            return {}
        return {"app": f"{self.name} in {self.folder}", "data": str(self.data)}


def read(settings: Settings, state: StateFolder) -> Application:
    """Return the application of the settings, and find out what they leave open.

    Raises:
        KitError: there is no such folder, or no application in it.
    """
    folder = settings.app_dir
    if not settings.is_foreign:
        health = "/readyz" if settings.app.startswith("shop:") else "/"
        health = settings.compose.get("HEALTH_PATH") or health
        return Application(folder, settings.app, health, settings.application, None, None)
    if not folder.is_dir():
        raise KitError(f"APP_DIR={folder} is not a folder", "name the folder of your application")
    own = dotenv.read(_env_file(settings, folder))
    return Application(
        folder=folder,
        name=settings.app or detection.find_app(folder).app,
        health_path=settings.compose.get("HEALTH_PATH") or detection.find_health(folder),
        variables={**own, **settings.application},
        packages=_packages(settings, folder),
        data=_data(settings, state, folder),
    )


def _env_file(settings: Settings, folder: Path) -> Path:
    named = settings.compose.get("APP_ENV_FILE")
    path = folder / Path(named or ".env").expanduser()
    if named and not path.is_file():
        raise KitError(f"APP_ENV_FILE={path} is not a file", "paths start in APP_DIR")
    return path


def _packages(settings: Settings, folder: Path) -> Path | None:
    if named := settings.compose.get("APP_REQUIREMENTS"):
        return folder / Path(named).expanduser()
    return next((folder / name for name in requirements.KNOWN if (folder / name).is_file()), None)


def _data(settings: Settings, state: StateFolder, folder: Path) -> Path:
    if settings.data_dir:
        return settings.data_dir
    # `flask run` uses this folder, so the stack shows the same data.
    own = folder / "instance"
    return own if own.is_dir() else state.instance
