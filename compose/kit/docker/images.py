"""The images of a project: the application's, built once for each content; the others', pulled."""

from pathlib import Path

from kit import release
from kit.console import step
from kit.engine import Engine
from kit.errors import KitError
from kit.project import APP, Project, requirements
from kit.settings import PROJECT, Settings

_KEPT = 3


class Images:
    """What a project's containers are made from."""

    def __init__(self, settings: Settings, project: Project, engine: Engine) -> None:
        """Look at the images of a project; nothing is built yet."""
        self._settings, self._project, self._engine = settings, project, engine
        self._repository = f"{project.name}/{APP}"

    @property
    def app(self) -> str:
        """The application's image: the caller's own, or one that is named after its content."""
        return self._settings.compose.get("APP_IMAGE") or f"{self._repository}:{self._digest()}"

    def provide(self, variables: dict[str, str]) -> None:
        """Build or pull whatever is missing.

        Raises:
            KitError: an image is not to be had; the message has the engine's last words.
        """
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
                raise self._not_built(built.stderr or built.stdout)

    def prune(self) -> None:
        """Remove all but the newest images that the kit has built, and never one in use."""
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
        """Name everything that the build reads."""
        settings = self._settings
        content = {
            Path("app", path): data for path, data in release.content_of(PROJECT / "app").items()
        }
        for name in requirements(settings).split():
            path = PROJECT / "requirements" / name
            if not path.is_file():
                raise KitError(
                    f"APP_REQUIREMENTS names {name}, and requirements/ holds no such file.",
                    "Name files of that folder, with blanks between.",
                )
            content[Path("requirements", name)] = path.read_bytes()
        for name in ("app/Dockerfile", ".dockerignore"):
            if (PROJECT / name).is_file():
                content[Path(name)] = (PROJECT / name).read_bytes()
        content[Path("base")] = settings.compose.get("PYTHON_IMAGE", "").encode()
        return release.digest(content)

    def _is_here(self, image: str) -> bool:
        return self._engine.attempt("image", "inspect", image).returncode == 0

    def _pull(self, image: str) -> None:
        pulled = self._engine.attempt("pull", "--quiet", image)
        if pulled.returncode:
            raise KitError(
                f"The image {image} is not to be had: {_last(pulled.stderr)}",
                "Look at the name and the network, or log in: docker login. A registry or an "
                "image of your own is named by NGINX_IMAGE, REDIS_IMAGE, VALKEY_IMAGE, APP_IMAGE.",
            )

    def _not_built(self, said: str) -> KitError:
        if "failed to resolve source metadata" in said or "pull access denied" in said:
            return KitError(
                f"The base image of app/Dockerfile is not to be had: {_last(said)}",
                "Look at its name and the network, or name another: make up RUNTIME=docker "
                "PYTHON_IMAGE=registry.example/python:3.13-slim",
            )
        lines = [line for line in said.splitlines() if line.strip()]
        return KitError(
            "The application's image cannot be built. The end of the build's output:\n"
            + "\n".join(f"  {line}" for line in lines[-15:]),
            "Mend what it names in app/ or requirements/. What runs was not touched.",
        )


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "(no reason given)"
