"""`make up APP_DIR=`: an application from elsewhere, called `app`, with a database and a secret."""

from pathlib import Path

import pytest

from tests.conftest import StartStack
from tests.support.http.client import ask
from tests.support.stacks.local import Stack

_CODE = """\
import importlib.metadata
import os
import pathlib
import sqlite3

import flask
from flask import Flask
from unsticky import Unsticky

import settings


def create_app():
    app = Flask(__name__, instance_relative_config=True)
    app.secret_key = os.environ["SECRET_KEY"]
    Unsticky(app)

    def database():
        return sqlite3.connect(pathlib.Path(app.instance_path, "notes.sqlite"))

    @app.cli.command("migrate")
    def migrate():
        with database() as notes:
            notes.execute("CREATE TABLE IF NOT EXISTS notes (text)")

    @app.get("/")
    def index():
        visits = flask.session.incr("visits")
        with database() as notes:
            found = [text for (text,) in notes.execute("SELECT text FROM notes")]
        return {
            "version": settings.VERSION,
            "flask": importlib.metadata.version("flask"),
            "visits": visits,
            "notes": found,
            "secret": os.environ.get("OWN"),
            "url": flask.url_for("index", _external=True),
            "client": flask.request.remote_addr,
        }

    @app.post("/notes/<text>")
    def add(text):
        with database() as notes:
            notes.execute("INSERT INTO notes VALUES (?)", [text])
        return "", 204

    return app
"""


@pytest.fixture(name="project", scope="module")
def _project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose package is called `app`, like the folder of the kit's shop."""
    folder = tmp_path_factory.mktemp("your app")
    (folder / "app").mkdir()
    (folder / "app" / "__init__.py").write_text(_CODE)
    (folder / "settings.py").write_text("VERSION = 1\n")
    (folder / "requirements.txt").write_text("flask==3.0.3\ngunicorn==20.1.0\n")
    (folder / ".env").write_text("OWN='kept apart'\n")
    return folder


@pytest.fixture(name="stack", scope="module")
def _stack(new_stack: StartStack, project: Path) -> Stack:
    stack = new_stack(APP_DIR=str(project), RELEASE_COMMAND="flask migrate")
    stack.up()
    return stack


def _index(stack: Stack, cookie: str = "") -> dict[str, object]:
    answer = ask(stack.port, "GET", "/", headers={"Cookie": cookie} if cookie else {})
    assert answer.status == 200, answer.body
    found: dict[str, object] = answer.json()
    return found


def test_application_runs_unmoved(stack: Stack, project: Path) -> None:
    """It has its own settings, its pinned packages and its data, and no file of it changes."""
    found = _index(stack)

    assert found["secret"] == "kept apart"
    assert found["version"] == 1
    # Without ProxyFix.
    assert (found["client"], found["url"]) == ("127.0.0.1", f"http://127.0.0.1:{stack.port}/")
    assert sorted(path.name for path in project.rglob("*") if path.is_file()) == [
        ".env",
        "__init__.py",
        "requirements.txt",
        "settings.py",
    ]


def test_up_says_what_a_visitor_meets(stack: Stack) -> None:
    """The last lines tell the page's status, and that a session held on all workers."""
    printed = stack.up(WORKERS="3")

    assert "/ answers 200" in printed
    assert "a session of one worker held on all of them" in printed
    assert "is Unsticky's" not in printed
    assert "Nothing to deploy" in stack.up()


def test_edit_keeps_the_database(stack: Stack, project: Path) -> None:
    """A new release finds the rows that the one before wrote."""
    assert ask(stack.port, "POST", "/notes/tea").status == 204
    (project / "settings.py").write_text("VERSION = 2\n")

    stack.up()

    found = _index(stack)
    assert (found["version"], found["notes"]) == (2, ["tea"])


def test_rollback_takes_code_and_packages_back(stack: Stack, project: Path) -> None:
    """The release before serves with its own packages, and the database stays."""
    files = {"settings.py": "VERSION = 3\n", "requirements.txt": "flask==3.1.2\n"}
    former = {name: (project / name).read_text() for name in files}
    before = _index(stack)
    for name, text in files.items():
        (project / name).write_text(text)
    try:
        stack.succeed("deploy")
        after = _index(stack)
        stack.succeed("rollback")
    finally:
        for name, text in former.items():
            (project / name).write_text(text)

    assert (after["version"], after["flask"]) == (3, "3.1.2")
    found = _index(stack)
    assert {**found, "visits": 0} == {**before, "visits": 0}
    assert found["flask"] == "3.0.3"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"settings.py": "raise ValueError('broken on purpose')\n"}, "broken on purpose"),
        ({"requirements.txt": "flask==2.2.5\n"}, "flask==2.2.5"),
        ({"requirements.txt": "-e git+https://git.example/x.git\n"}, "git+https://git.example"),
    ],
)
def test_broken_release_leaves_the_old_one(
    changes: dict[str, str], problem: str, stack: Stack, project: Path
) -> None:
    """If the new release cannot be made or does not start, both old replicas go on serving."""
    before = stack.running()
    former = {name: (project / name).read_text() for name in changes}
    for name, text in changes.items():
        (project / name).write_text(text)
    try:
        printed = stack.fail("up")
    finally:
        for name, text in former.items():
            (project / name).write_text(text)

    assert problem in printed
    assert stack.running() == before
    _index(stack)


def test_failed_release_command_changes_nothing(stack: Stack) -> None:
    """A migration that fails is shown with its output, and nothing starts."""
    before = stack.running()

    printed = stack.fail("up", RELEASE_COMMAND="flask migrate && echo no space; exit 3")

    assert "failed (3)" in printed
    assert "no space" in printed
    assert stack.running() == before


def test_page_that_fails_is_not_ready(stack: Stack, project: Path) -> None:
    """A release that imports and answers 500 is not called ready."""
    before = stack.running()
    (project / "settings.py").write_text("VERSION = 1 and undefined if False else 3\ndel VERSION\n")
    try:
        printed = stack.fail("up", READY_TIMEOUT="6")
    finally:
        (project / "settings.py").write_text("VERSION = 2\n")

    assert "answers 500" in printed
    assert stack.running() == before


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"APP_DIR": "/nowhere"}, "APP_DIR=/nowhere is not a folder"),
        ({"APP": "app:missing()", "RELEASE_COMMAND": "true"}, "APP=app:missing() is looked for in"),
        ({"APP_REQUIREMENTS": "none.txt"}, "none.txt"),
        ({"APP_ENV_FILE": "none.env"}, "none.env"),
    ],
)
def test_wrong_setting_changes_nothing(
    settings: dict[str, str], problem: str, stack: Stack
) -> None:
    """A folder, name or file that is not there is named, and the stack runs on."""
    before = stack.running()

    assert problem in stack.fail("up", **settings)
    assert stack.running() == before
