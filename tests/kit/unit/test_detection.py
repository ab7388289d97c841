"""What an application is called, and which two lines it needs."""

from pathlib import Path

import pytest
from kit.errors import KitError
from kit.setup import detection

_FACTORY = """\
import os

from flask import Flask


def create_app(config=None):
    app = Flask(__name__)
    app.config.from_prefixed_env()
    register(app)
    return app


from . import views
"""


def _project(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("files", "app"),
    [
        ({"app.py": "app = Flask(__name__)\n"}, "app:app"),
        ({"blog/__init__.py": _FACTORY}, "blog:create_app()"),
        ({"app/__init__.py": _FACTORY, "blog.py": "app = create_app()\n"}, "app:create_app()"),
        ({"wsgi.py": "import blog\napplication = blog.create_app()\n"}, "wsgi:application"),
        ({"a.py": "def create_app(config):\n    pass\nx: Flask = Flask('a')\n"}, "a:x"),
        ({"shop/web/site.py": "site = flask.Flask('x')\n"}, "shop.web.site:site"),
        (
            {
                "main.py": "app = Flask('x')\n",
                "other.py": "app = Flask('y')\n",
                ".flaskenv": "FLASK_APP=other.py\n",
            },
            "other:app",
        ),
        (
            {
                "venv/pyvenv.cfg": "",
                "venv/lib/app.py": "app = Flask('x')\n",
                "tests/app.py": "app = Flask('x')\n",
                "broken.py": "app = Flask(\n",
                "site.py": "site = Flask('x')\n",
            },
            "site:site",
        ),
    ],
)
def test_application_is_found(files: dict[str, str], app: str, tmp_path: Path) -> None:
    """Modules near the top and usual names come first; environments and tests are no code."""
    assert detection.find_app(_project(tmp_path, files)).app == app


def test_folder_without_application_says_what_to_name(tmp_path: Path) -> None:
    """If there is nothing, the message says how to name it."""
    with pytest.raises(KitError) as caught:
        detection.find_app(tmp_path)

    assert any("APP=" in hint for hint in caught.value.hints)


@pytest.mark.parametrize(
    ("code", "path"),
    [('@app.route("/healthz")\n', "/healthz"), ('@bp.get("/up")\n', "/up"), ("x = 1\n", "/")],
)
def test_health_path_is_found(code: str, path: str, tmp_path: Path) -> None:
    """A usual path of a health check is used if the code has it."""
    assert detection.find_health(_project(tmp_path, {"app.py": code})) == path


def test_two_lines_come_after_the_settings(tmp_path: Path) -> None:
    """The import joins the first imports, and the library comes once the settings are there."""
    diff = detection.proposal(_project(tmp_path, {"blog/__init__.py": _FACTORY}))

    added = [line for line in diff.splitlines() if line.startswith("+") and "+++" not in line]
    assert added == ["+from unsticky import Unsticky", "+    Unsticky(app)"]
    assert " from flask import Flask\n+from unsticky import Unsticky\n" in diff
    assert "from_prefixed_env()\n+    Unsticky(app)\n" in diff


def test_function_that_configures_the_application_counts_as_its_settings(tmp_path: Path) -> None:
    """The library comes after a call such as `configure_app(app, config)`."""
    code = _FACTORY.replace("app.config.from_prefixed_env()", "configure_app(app, None)")
    diff = detection.proposal(_project(tmp_path, {"blog/__init__.py": code}))

    assert "configure_app(app, None)\n+    Unsticky(app)\n" in diff


def test_application_with_the_library_needs_no_line(tmp_path: Path) -> None:
    """Nothing is proposed twice."""
    code = "from flask import Flask\napp = Flask('x')\nUnsticky(app)\n"

    assert detection.has_library(_project(tmp_path, {"app.py": code}))
    assert not detection.has_library(_project(tmp_path / "b", {"app.py": "import flask\n"}))
