"""Released applications that know nothing of this project, and a visitor of each.

They come from the package index when the tests run. Each gets the two lines of the library and
settings of its own.
"""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import httpx

_IMPORT: Final = "from unsticky import Unsticky\n"


class _Form(HTMLParser):
    """The fields of the last form of a page that has one of some names, as a browser sends them."""

    def __init__(self, page: str, name: str) -> None:
        super().__init__()
        self._name = name
        self._open: dict[str, str] = {}
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the values that a form has at first."""
        given = dict(attrs)
        if tag == "form":
            self._open = {}
        elif tag in {"input", "textarea"} and given.get("name"):
            self._open[given["name"] or ""] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        """Keep the form that has the field."""
        if tag == "form" and self._name in self._open:
            self.fields = self._open


class Visitor(httpx.Client):
    """A browser without scripts."""

    def submit(self, path: str, _to: str = "", **fields: str) -> httpx.Response:
        """Open a page, fill in the form that has these fields, and send it."""
        page = self.get(path)
        form = _Form(page.text, next(iter(fields))).fields
        assert form, f"{path} has no form with {list(fields)}: {page.status_code} {page.text[:500]}"
        answer = self.post(_to or path, data={**form, **fields})
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer


@dataclass(frozen=True)
class App:
    """One application: where it comes from, what is changed, and what a visitor does.

    Attributes:
        package: as pip downloads it.
        folder: of the code, in what was downloaded.
        changes: for a file, a text and what comes after it.
        files: of its owner; ``{code}`` is the folder in which the application runs.
        settings: of `make up` and `make init`.
        use: registers or logs in, writes something and logs out.
        check: comes back and finds it.
    """

    package: str
    folder: str
    changes: dict[str, dict[str, str]]
    use: Callable[[Visitor], None]
    check: Callable[[Visitor], None]
    files: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


def _use_flaskr(visitor: Visitor) -> None:
    visitor.submit("/auth/register", username="sue", password="words")
    _log_in_to_flaskr(visitor)
    for number in range(8):
        answer = visitor.submit("/create", title=f"Post {number}", body="Text")
        assert f"Post {number}" in answer.text
    assert "Log In" in visitor.get("/auth/logout").text


def _check_flaskr(visitor: Visitor) -> None:
    assert "Post 7" in visitor.get("/").text
    _log_in_to_flaskr(visitor)


def _log_in_to_flaskr(visitor: Visitor) -> None:
    assert "Log Out" in visitor.submit("/auth/login", username="sue", password="words").text


def _use_ihatemoney(visitor: Visitor) -> None:
    answer = visitor.submit(
        "/create", name="Trip", id="trip", password="words", contact_email="sue@python.org"
    )
    assert answer.url.path == "/trip/", answer.text
    for name in ("Sue", "Ann"):
        assert name in visitor.submit("/trip/", "/trip/members/add", name=name).text
    for number in range(8):
        answer = visitor.submit(
            "/trip/add", what=f"Bill {number}", amount="12", payer="1", payed_for="1"
        )
        assert f"Bill {number}" in answer.text
    visitor.submit("/trip/", "/exit", submit="Logout")
    assert "/authenticate" in str(visitor.get("/trip/").url)


def _check_ihatemoney(visitor: Visitor) -> None:
    assert "Bill 7" in visitor.submit("/authenticate", id="trip", password="words").text


def _use_bepasty(visitor: Visitor) -> None:
    assert visitor.post("/+upload", data={"text": "no", "filename": "a"}).status_code == 403
    visitor.submit("/", "/+login", token="words")
    for number in range(8):
        body = bytes([number]) * 60_000
        answer = visitor.post("/+upload", files={"file": (f"file-{number}", body, "image/png")})
        assert answer.status_code == 200, answer.text[-2000:]
        assert visitor.get(f"{answer.url.path}/+download").content == body
    visitor.post("/+logout")
    assert visitor.post("/+upload", data={"text": "no", "filename": "a"}).status_code == 403


def _check_bepasty(visitor: Visitor) -> None:
    visitor.submit("/", "/+login", token="words")
    assert "file-7" in visitor.get("/+list").text


APPS: Final = {
    # The tutorial of Flask, in its source package: SQLite in the instance folder.
    "flaskr": App(
        package="flask==3.1.3",
        folder="flask-3.1.3/examples/tutorial",
        changes={
            "flaskr/__init__.py": {
                "from flask import Flask\n": _IMPORT,
                "        app.config.update(test_config)\n": "    Unsticky(app)\n",
            }
        },
        settings={"RELEASE_COMMAND": "test -e instance/flaskr.sqlite || flask init-db"},
        use=_use_flaskr,
        check=_check_flaskr,
    ),
    # A budget manager: migrations, translations, CSRF, an API, a limiter.
    "ihatemoney": App(
        package="ihatemoney==7.2.1",
        folder="",
        changes={
            "ihatemoney/run.py": {
                "from ihatemoney.web import main as web_interface\n": _IMPORT,
                "    validate_configuration(app)\n": "    Unsticky(app)\n",
            }
        },
        files={
            "requirements.txt": "ihatemoney==7.2.1\n",
            ".env": "IHATEMONEY_SETTINGS_FILE_PATH={code}/settings.cfg\n",
            "settings.cfg": "import os\n"
            'SQLALCHEMY_DATABASE_URI = "sqlite:///" + os.environ["DATA_DIR"] + "/budget.db"\n'
            'SECRET_KEY = os.environ["SECRET_KEY"]\nENABLE_CAPTCHA = False\n'
            "SESSION_COOKIE_SECURE = False\n",
        },
        # It migrates in its factory: once before, so that workers do not do it at the same time.
        settings={"APP_BUILD": "1", "RELEASE_COMMAND": "python -c 'import ihatemoney.wsgi'"},
        use=_use_ihatemoney,
        check=_check_ihatemoney,
    ),
    # A pastebin: uploads into files.
    "bepasty": App(
        package="bepasty==1.2.2",
        folder="bepasty-1.2.2/src",
        changes={
            "bepasty/app.py": {
                "from markupsafe import Markup\n": _IMPORT,
                "    prefix = app.config.get('APP_BASE_PATH')\n": "    Unsticky(app)\n",
            }
        },
        files={
            "requirements.txt": "bepasty==1.2.2\n",
            ".env": "BEPASTY_CONFIG={code}/settings.cfg\n",
            "settings.cfg": "import os\nSECRET_KEY = os.environ['SECRET_KEY']\n"
            "STORAGE_FILESYSTEM_DIRECTORY = os.environ['DATA_DIR']\nSESSION_COOKIE_SECURE = False\n"
            "PERMISSIONS = {'words': 'admin,list,create,read,delete'}\n",
        },
        settings={"APP_BUILD": "1"},
        use=_use_bepasty,
        check=_check_bepasty,
    ),
}


@contextmanager
def readers(base: str) -> Iterator[list[int]]:
    """Let two visitors read the first page until the block ends; yield the statuses they got."""
    statuses: list[int] = []
    done = threading.Event()

    def read() -> None:
        with httpx.Client(base_url=base, timeout=30) as client:
            while not done.is_set():
                statuses.append(client.get("/").status_code)

    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(read) for _ in range(2)]
        try:
            yield statuses
        finally:
            done.set()
        for future in reading:
            future.result()


def fetch(app: App, folder: Path, running_in: str = "") -> Path:
    """Unpack an application into an empty folder, with two lines of the library; return its code.

    Args:
        app: what to download.
        folder: where to.
        running_in: where its code lies when it runs, if not there.
    """
    wheel = "--only-binary" if not app.folder else "--no-binary"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *(wheel, ":all:", "--dest", folder, app.package),
        ],
        check=True,
    )
    (archive,) = folder.iterdir()
    unpacked = folder / "unpacked"
    if archive.suffix == ".whl":
        shutil.unpack_archive(archive, unpacked, "zip")
    else:
        shutil.unpack_archive(archive, unpacked, filter="data")
    code = unpacked / app.folder
    for name, insertions in app.changes.items():
        text = (code / name).read_text(encoding="utf-8")
        for before, line in insertions.items():
            assert text.count(before) == 1, (name, before)
            text = text.replace(before, f"{before}{line}")
        (code / name).write_text(text, encoding="utf-8")
    for name, text in app.files.items():
        own = text.replace("{code}", running_in or str(code))
        (code / name).write_text(own, encoding="utf-8")
    return code


def use_and_deploy(app: App, base: str, deploy: Callable[[], object]) -> None:
    """Let a visitor use the application, deploy it while others read, and let the visitor return.

    Raises:
        AssertionError: a request failed, or what the visitor wrote is gone.
    """
    with Visitor(base_url=base, follow_redirects=True, timeout=30) as visitor:
        app.use(visitor)
    with readers(base) as answers:
        deploy()
    assert len(answers) > 20
    assert all(answer < 500 for answer in answers), answers
    with Visitor(base_url=base, follow_redirects=True, timeout=30) as visitor:
        app.check(visitor)
