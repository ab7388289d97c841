"""Applications written for plain Flask, which know nothing of this library."""

import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from unsticky import Unsticky

from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE

_numbers = itertools.count()

NewApp = Callable[..., Flask]


@pytest.fixture(name="new_app")
def _new_app() -> Iterator[NewApp]:
    """Make applications that are Flask's, with `Unsticky(app)` and nothing else."""
    made: list[Unsticky] = []

    def make(store: str, **config: Any) -> Flask:
        app = Flask(__name__)
        app.config.update(
            {
                "SECRET_KEY": "a secret that only the tests know",
                "UNSTICKY_STORE": store,
                "SESSION_KEY_PREFIX": f"d{next(_numbers)}:",
                "TESTING": True,
                "UNSTICKY_DEADLINE": PATIENCE,
            }
            | config
        )
        made.append(Unsticky(app))
        return app

    yield make
    for sessions in made:
        sessions.state.store.close()


_PARTS = ("pyproject.toml", "README.md", "LICENSE", "app")


def _run(*command: str | Path) -> str:
    """Run a program that must succeed, without this test's paths, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(name="wheel", scope="session")
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy without a network."""
    folder = tmp_path_factory.mktemp("build")
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(
                source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        elif source.exists() or part == "LICENSE":
            shutil.copy2(source, folder / part)
        else:
            (folder / part).write_text("")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder))
    _run(sys.executable, "-m", "pip", "wheel", *options, folder)
    (built,) = folder.glob("*.whl")
    return built


class Installed:
    """The Python of an environment with the wheel and its dependencies, and nothing of ours else.

    Attributes:
        python: its interpreter.
    """

    def __init__(self, wheel: Path, folder: Path) -> None:
        venv.create(folder, with_pip=False)
        self.python = folder / "bin" / "python"
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = Path(_run(self.python, "-c", where).strip())
        # The dependencies, without a network: those that this test runs with.
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        _run(
            *(sys.executable, "-m", "pip", "--python", self.python, "install"),
            *("--no-deps", "--no-index", "--quiet", wheel),
        )

    def __call__(self, *arguments: str | Path) -> str:
        """Run it; it must succeed. Return what it printed."""
        return _run(self.python, *arguments)


@pytest.fixture(name="installed", scope="session")
def _installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An environment with the wheel."""
    return Installed(wheel, tmp_path_factory.mktemp("installed") / "v")
