"""An application behind the kit's nginx, reached over TLS."""

import http.client
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import make_server

from tests.support.certificate import make_certificate
from tests.support.nginx import Edge, defaults, with_tls
from tests.support.wire import PATIENCE, Answer, ask_on

from .browser import Browser, Send

OverTls = Callable[[Flask], Browser]


@pytest.fixture(name="over_tls")
def _over_tls() -> Iterator[OverTls]:
    """Put applications behind nginx; give a browser that reaches each at https://localhost."""
    with ExitStack() as running:

        def make(app: Flask) -> Browser:
            folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="tls-")))
            socket = folder / "app.sock"
            server = make_server(
                f"unix://{socket}", 0, ProxyFix(app.wsgi_app, x_proto=1, x_host=1), threaded=True
            )
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            running.callback(thread.join)
            running.callback(server.shutdown)
            certificates = make_certificate(folder / "certificates")
            tls = with_tls(certificates)
            run = folder / "nginx"
            run.mkdir()
            edge = Edge.start(run, defaults(run, f"server unix:{socket};") | tls, {})
            running.callback(edge.stop)
            trusted = ssl.create_default_context(cafile=certificates / "fullchain.pem")
            return Browser(_to_tls(int(tls["NGINX_TLS_PORT"]), trusted), "__Host-sid")

        yield make


def _to_tls(port: int, trusted: ssl.SSLContext) -> Send:
    """Return a way to send requests to a port of this host, each on a fresh connection."""

    def send(method: str, path: str, headers: dict[str, str], body: bytes | None) -> Answer:
        connection = http.client.HTTPSConnection(
            "localhost", port, timeout=PATIENCE, context=trusted
        )
        try:
            return ask_on(connection, method, path, body, headers)
        finally:
            connection.close()

    return send
