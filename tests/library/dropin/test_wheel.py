"""What `pip install` of the built package brings is complete."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.library.security.valkey import Valkey
from tests.support.checkout import ROOT

_CHECKOUT = ROOT
_PARTS = ("pyproject.toml", "README.md", "LICENSE", "app")

_PROGRAM = """
import sys, unsticky
from flask import Flask, session
assert unsticky.__file__.startswith(sys.prefix), unsticky.__file__
app = Flask("installed")
app.config.update(SECRET_KEY="a key", UNSTICKY_STORE=sys.argv[1], SESSION_KEY_PREFIX="wheel:")
unsticky.Unsticky(app)

@app.get("/")
def visit():
    return str(session.incr("visits"))

client = app.test_client()
print([client.get("/").text for _ in range(3)])
"""


def _run(*command: str | Path) -> str:
    """Run a program that must succeed, without this test's paths, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(name="wheel", scope="module")
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy without a network."""
    folder = tmp_path_factory.mktemp("build")
    for part in _PARTS:
        source = _CHECKOUT / part
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


def test_the_wheel_holds_what_is_not_python(wheel: Path) -> None:
    """Every script of the store and the marker for type checkers are in the wheel."""
    names = set(ZipFile(wheel).namelist())
    scripts = {path.name for path in (_CHECKOUT / "app/unsticky/stores/lua").glob("*.lua")}
    assert scripts
    assert {f"unsticky/stores/lua/{name}" for name in scripts} <= names
    assert "unsticky/py.typed" in names


def test_the_wheel_holds_the_library_alone(wheel: Path) -> None:
    """Nothing of the shop, the kit or the tests comes along."""
    tops = {name.partition("/")[0] for name in ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "unsticky",
        "unsticky_gunicorn.py",
        "unsticky_metrics.py",
        "unsticky_traces.py",
    }


def test_a_session_works_where_only_the_wheel_is(
    wheel: Path, valkey: Valkey, tmp_path: Path
) -> None:
    """In an environment with the wheel and its dependencies sessions work, on each store."""
    venv.create(tmp_path / "v", with_pip=False)
    python = tmp_path / "v/bin/python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(_run(python, "-c", where).strip())
    # The dependencies, without a network: those that this test runs with.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    _run(
        *(sys.executable, "-m", "pip", "--python", python, "install"),
        *("--no-deps", "--no-index", "--quiet", wheel),
    )
    for store in ("memory://", valkey.url):
        assert _run(python, "-c", _PROGRAM, store) == "['1', '2', '3']\n"
