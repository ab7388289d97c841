"""Workers that follow the code while it is being written."""

from pathlib import Path

import pytest

from tests.stack.gunicorn_conf.conftest import NewServer
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.waiting import wait_until

_APPLICATION = """
from pathlib import Path

WORD = "one"
PAGE = Path(__file__).with_name("page.html").read_text()


def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{WORD} {PAGE}".encode()]
"""


def _start(new_server: NewServer, **settings: str) -> Gunicorn:
    """Start an application from its folder, which is the working folder."""
    server = new_server(app="hello:app", **settings)
    (server.folder / "hello.py").write_text(_APPLICATION, encoding="utf-8")
    (server.folder / "page.html").write_text("first", encoding="utf-8")
    return server.start()


def test_workers_follow_the_code(new_server: NewServer) -> None:
    """With RELOAD=1 a change of a module or of a page is served without anybody's doing."""
    server = _start(new_server, RELOAD="1")
    code = server.folder
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


def test_production_workers_do_not_follow_the_code(new_server: NewServer) -> None:
    """Without it nothing watches: a file that changes on disk restarts nothing."""
    server = _start(new_server, WORKERS="1")
    code = server.folder
    (old,) = server.workers()
    (code / "hello.py").write_text("raise SystemExit", encoding="utf-8")
    (code / "page.html").write_text("second", encoding="utf-8")
    # Longer than the watcher looks away (1 s).
    with pytest.raises(AssertionError, match="another worker"):
        wait_until(lambda: server.workers() != {old}, "another worker", seconds=2)
    assert server.get().body == b"one first"
