"""Workers that follow the code while it is being written."""

import shutil
from pathlib import Path

import pytest

from tests.stack.gunicorn_conf.conftest import NewServer
from tests.support.stacks.gunicorn import CONFIGURATION, Gunicorn
from tests.support.waiting import wait_until

_APPLICATION = """
from pathlib import Path

WORD = "one"
PAGE = Path(__file__).with_name("page.html").read_text()


def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{WORD} {PAGE}".encode()]
"""


@pytest.fixture(name="code")
def _code(tmp_path: Path) -> Path:
    """An application beside a copy of the configuration."""
    shutil.copy(CONFIGURATION, tmp_path)
    (tmp_path / "hello.py").write_text(_APPLICATION, encoding="utf-8")
    (tmp_path / "page.html").write_text("first", encoding="utf-8")
    return tmp_path


def _start(new_server: NewServer, code: Path, **settings: str) -> Gunicorn:
    configuration = str(code / CONFIGURATION.name)
    return new_server("-c", configuration, app="hello:app", **settings).start()


def test_workers_follow_the_code(new_server: NewServer, code: Path) -> None:
    """With RELOAD=1 a change of a module or of a page is served without anybody's doing."""
    server = _start(new_server, code, RELOAD="1")
    assert server.get().body == b"one first"

    def is_served(changed: Path, body: bytes) -> bool:
        # A watcher takes files as it finds them when it starts, a moment after its worker does:
        # what is saved just then counts when it is saved again.
        changed.touch()
        return server.get().body == body

    page, module = code / "page.html", code / "hello.py"
    page.write_text("second", encoding="utf-8")
    wait_until(lambda: is_served(page, b"one second"), "the changed page")
    module.write_text(_APPLICATION.replace("one", "two"), encoding="utf-8")
    wait_until(lambda: is_served(module, b"two second"), "the changed module")


def test_production_workers_do_not_follow_the_code(new_server: NewServer, code: Path) -> None:
    """Without it nothing watches: a file that changes on disk restarts nothing."""
    server = _start(new_server, code, WORKERS="1")
    (old,) = server.workers()
    (code / "hello.py").write_text("raise SystemExit", encoding="utf-8")
    (code / "page.html").write_text("second", encoding="utf-8")
    # Longer than the watcher looks away (1 s).
    with pytest.raises(AssertionError, match="another worker"):
        wait_until(lambda: server.workers() != {old}, "another worker", seconds=2)
    assert server.get().body == b"one first"
