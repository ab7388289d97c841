"""The images of a project: the application's is built once for each content, others are pulled."""

from collections.abc import Mapping
from pathlib import Path

from kit.console import step
from kit.docker.containers import APP
from kit.docker.engine import Engine
from kit.docker.project import Project, requirements
from kit.errors import KitError
from kit.settings import CHECKOUT, Settings
from kit.system import release

_KEPT = 3


class Images:
    """The images that a project's containers are made from."""

    def __init__(self, settings: Settings, project: Project, engine: Engine) -> None:
        self._settings, self._project, self._engine = settings, project, engine
        self._repository = f"{project.name}/{APP}"

    @property
    def app(self) -> str:
        """The application's image: the caller's, or one that is named after its content."""
        return self._settings.compose.get("APP_IMAGE") or f"{self._repository}:{self._digest()}"

    def provide(self, variables: Mapping[str, str]) -> None:
        """Build or pull the images that are missing."""
        app = variables["APP_IMAGE"]
        for image in self._project.compose("config", "--images", variables=variables).split():
            if image == app and not self._settings.compose.get("APP_IMAGE"):
                continue
            if not self._is_here(image):
                with step(f"pulling {image}"):
                    self._pull(image)
        if self._is_here(app):
            return
        with step(f"building {app}"):
            built = self._engine.attempt(
                *self._project.command("--progress", "plain", "build", APP),
                env=self._project.environment(variables),
            )
            if built.returncode:
                raise _not_built(built.stderr or built.stdout)

    def prune(self) -> None:
        """Remove old images that the kit has built, except those in use."""
        for image in self._built()[_KEPT:]:
            self._engine.attempt("image", "rm", image)

    def remove_all(self) -> None:
        """Remove every image that the kit has built for this project."""
        if built := self._built():
            self._engine.attempt("image", "rm", "--force", *built)

    def _built(self) -> list[str]:
        return self._engine.ask(
            "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", self._repository
        ).split()

    def _digest(self) -> str:
        """Return a name for the content of everything that the build reads."""
        settings = self._settings
        content = {
            Path("app", path): data for path, data in release.content_of(CHECKOUT / "app").items()
        }
        for name in requirements(settings).split():
            path = CHECKOUT / "requirements" / name
            if not path.is_file():
                raise KitError(
                    f"APP_REQUIREMENTS names {name}, which is not a file in requirements/",
                    "name files of that folder, separated by spaces",
                )
            content[Path("requirements", name)] = path.read_bytes()
        for name in ("app/Dockerfile", ".dockerignore"):
            if (CHECKOUT / name).is_file():
                content[Path(name)] = (CHECKOUT / name).read_bytes()
        content[Path("base")] = settings.compose.get("PYTHON_IMAGE", "").encode()
        return release.digest(content)

    def _is_here(self, image: str) -> bool:
        return self._engine.attempt("image", "inspect", image).returncode == 0

    def _pull(self, image: str) -> None:
        pulled = self._engine.attempt("pull", "--quiet", image)
        if pulled.returncode:
            own = "NGINX_IMAGE=, REDIS_IMAGE=, VALKEY_IMAGE= or APP_IMAGE="
            raise _not_pulled(image, pulled.stderr, own)


def _not_pulled(image: str, said: str, own: str) -> KitError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return KitError(
        f"cannot pull {image}: {lines[-1] if lines else '(no reason given)'}",
        "check the name and your network, or run `docker login`",
        f"use your own image with {own}",
    )


def _not_built(said: str) -> KitError:
    if "failed to resolve source metadata" in said or "pull access denied" in said:
        own = "PYTHON_IMAGE=registry.example/python:3.13-slim"
        return _not_pulled("the base image of app/Dockerfile", said, own)
    lines = [f"  {line}" for line in said.splitlines() if line.strip()]
    return KitError(
        "cannot build the application's image. The end of the output:\n" + "\n".join(lines[-15:]),
        "correct app/ or requirements/; the running stack is unchanged",
    )
