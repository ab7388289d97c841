"""What `make up` says at its end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import flask
import pytest
from kit.observation import observe
from unsticky import Unsticky


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def _served(app: flask.Flask) -> Iterator[int]:
    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("has_library", [True, False])
def test_missing_library_is_named(*, has_library: bool) -> None:
    """A cookie tells whether the library made it."""
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY="x", UNSTICKY_STORE="memory://")
    if has_library:
        Unsticky(app)

    @app.get("/")
    def index() -> str:
        flask.session.setdefault("seen", "yes")
        return "hello"

    with _served(app) as port:
        said = list(observe(port, "localhost", "/", 1))
    about_library = [line for line in said if "Unsticky's" in line]
    assert len(about_library) == (not has_library)
    others = [line for line in said if line not in about_library]
    assert others == ["/ answers 200", "a session of one worker held on all of them (4 requests)"]
