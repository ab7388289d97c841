"""Released applications by `make init`: their folder alone, deployed while others read."""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import copy_checkout
from tests.stack.containers.standalone import PASSED_ON, remove_project
from tests.support.ports import free_port
from tests.support.released import APPS, App, fetch, use_and_deploy
from tests.support.stacks.containers import StartContainers, docker, require_engine

# All three take minutes. Others by their names, such as: RELEASED_APPS="ihatemoney bepasty"
_NAMES = os.environ.get("RELEASED_APPS", "flaskr").split()


class Folder:
    """An application with the folder that `make init` left, after the checkout is gone.

    Args:
        app: the application.
        folder: an empty folder.
    """

    def __init__(self, app: App, folder: Path) -> None:
        self.port, self.name = free_port(), f"released-{secrets.token_hex(4)}"
        (folder / "app").mkdir()
        self.code = fetch(app, folder / "app", "/srv/code")
        packages = self.code / "requirements.txt"
        if not packages.exists():
            packages.write_text(f"{app.package}\n", encoding="utf-8")
        if (own := self.code / ".env").exists():
            own.rename(self.code / "own.env")
        (folder / "checkout").mkdir()
        copy_checkout(folder / "checkout")
        settings = {"DIR": str(self.code), "PORT": str(self.port), **app.settings}
        settings["VENV_DIR"] = os.environ.get("VENV_DIR", str(Path(sys.prefix).parent))
        given = (f"{name}={value}" for name, value in settings.items())
        subprocess.run(["make", "-C", folder / "checkout", "init", *given], check=True)
        (folder / "checkout").rename(folder / "gone")
        self.environ = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        self.environ |= {"PATH": os.environ["PATH"], "COMPOSE_PROJECT_NAME": self.name}
        self.environ["APP_ENV_FILE"] = "../own.env"
        subprocess.run(["sh", "deploy/secrets.sh"], cwd=self.code, check=True)

    def deploy(self, *words: str) -> str:
        """Run the script in the folder; return what it printed."""
        done = subprocess.run(
            [self.code / "deploy" / "deploy", *words],
            cwd="/",
            env=self.environ,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(name="start")
def _start(tmp_path: Path) -> Iterator[Callable[[App], Folder]]:
    """Prepare an application; remove its containers afterwards."""
    require_engine()
    made: list[Folder] = []

    def start(app: App) -> Folder:
        made.append(Folder(app, tmp_path))
        return made[-1]

    yield start
    for folder in made:
        remove_project(folder.name)


@pytest.mark.parametrize("name", _NAMES)
def test_folder_alone_deploys_a_released_application(
    name: str, start: Callable[[App], Folder]
) -> None:
    """The database and the session hold over two releases, and no reader meets an error."""
    folder = start(APPS[name])
    folder.deploy()

    def edit() -> None:
        (folder.code / "edited.py").write_text("# A new release.\n", encoding="utf-8")
        assert "r2 runs" in folder.deploy()

    use_and_deploy(APPS[name], f"http://127.0.0.1:{folder.port}", edit)


def test_up_runs_a_released_application(tmp_path: Path, new_stack: StartContainers) -> None:
    """`make up APP_DIR=` in containers, from where the application lies."""
    app = APPS["flaskr"]
    code = fetch(app, tmp_path)
    stack = new_stack(APP_DIR=str(code), REPLICAS="2", WORKERS="2", **app.settings)
    stack.up()

    def edit() -> None:
        (code / "edited.py").write_text("# A new release.\n", encoding="utf-8")
        stack.up()

    use_and_deploy(app, f"http://127.0.0.1:{stack.port}", edit)
    assert docker("volume", "ls", "--quiet", f"--filter=name={stack.project}_data")
    assert not stack.dispose()
