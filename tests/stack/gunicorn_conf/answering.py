"""A small application with answers of all kinds: without a body, streamed, from a file, in part."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, cast
from wsgiref.types import StartResponse, WSGIEnvironment

from tests.stack.gunicorn_conf.application import hold


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the path.

    ``/status/STATUS?NAME`` has that status and no body, and work after its answer that is held as
    ``/hold/NAME`` of the other application; ``/stream/NAME`` is held between its head and its body;
    ``/file`` is this file; ``/part`` answers 100,000 bytes. ``/silent`` starts no answer, ``/text``
    has a body of text, ``/fork/NAME`` leaves a process that is held. No request's body is read.
    """
    path = str(environ["PATH_INFO"])
    what, _, name = path[1:].partition("/")
    if what == "silent":
        return [b"body"]
    if what == "fork" and not os.fork():
        hold(name)
        os._exit(0)
    if what == "status":
        start_response(f"{name} As Asked", [("Content-Length", "0")])
        return _Working(str(environ["QUERY_STRING"]))
    if what == "stream":
        start_response("200 OK", [])
        return _streamed(name)
    body = {"file": Path(__file__).read_bytes(), "part": b"x" * 100_000}.get(what, path.encode())
    start_response("200 OK", [("Content-Length", str(len(body)))])
    if what == "text":
        text: Any = ["text"]
        return cast(Iterable[bytes], text)
    if what == "file":
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](_opened())
        return wrapped
    return [body]


def _opened() -> IO[bytes]:
    """Return this file; who wraps it closes it."""
    return Path(__file__).open("rb")


class _Working(list[bytes]):
    """No body, and work after it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def close(self) -> None:
        """Work; see PEP 3333."""
        if self._name:
            hold(self._name)


def _streamed(name: str) -> Iterable[bytes]:
    yield b""
    hold(name)
    yield b"later"
