"""A small Flask application behind nginx and Gunicorn: links, streams, WebSockets, long answers."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, request, url_for
from simple_websocket import ConnectionClosed, Server
from werkzeug.middleware.proxy_fix import ProxyFix

plain = _project = Flask(__name__, static_folder=None)
app = ProxyFix(_project.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)


@_project.route("/where")
def where() -> dict[str, Any]:
    """Say who asked, and under which address."""
    return {"url": url_for("where", _external=True), "client": request.remote_addr}


@_project.route("/events")
def events() -> Response:
    """Send one event, and another one once a test has created a file."""

    def stream() -> Iterator[str]:
        yield "data: first\n\n"
        while not Path(os.environ["HOLDS"], "go").exists():
            time.sleep(0.01)
        yield "data: second\n\n"

    return Response(stream(), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


@_project.route("/echo", websocket=True)
def echo() -> Response:
    """Send back each message of a WebSocket."""
    socket = Server(request.environ)
    try:
        while True:
            socket.send(f"{request.remote_addr}: {socket.receive()}")
    except ConnectionClosed:
        pass
    return _Ended()


class _Ended(Response):
    """The connection is over: gthread and gevent need no answer, and Gunicorn closes it."""

    def __call__(self, *_: Any) -> Any:
        raise StopIteration


@_project.route("/bytes/<int:size>")
def download(size: int) -> Response:
    """Send zeros."""
    part = bytes(65536)
    return Response((part for _ in range(size // len(part))), headers={"Content-Length": str(size)})


@_project.route("/", methods=["POST"])
def upload() -> dict[str, int]:
    """Count what was sent."""
    size = 0
    while part := request.stream.read(65536):
        size += len(part)
    return {"size": size}


@_project.route("/page")
def page() -> str:
    """Return a page that is worth compressing."""
    return "<p>" + "word " * 1000


@_project.route("/static/<name>")
def fallback(name: str) -> str:
    """Answer for a file that nginx does not have."""
    return f"the application's {name}"
