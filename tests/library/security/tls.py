"""An application behind the kit's nginx, reached over TLS."""

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

from tests.support.stacks.nginx import Nginx, defaults, make_certificate, with_tls

from .browser import Browser

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
            nginx = Nginx.start(run, defaults(run, f"server unix:{socket};") | tls, {})
            running.callback(nginx.stop)
            trusted = ssl.create_default_context(cafile=certificates / "fullchain.pem")
            return Browser(int(tls["NGINX_TLS_PORT"]), "__Host-sid", tls=trusted)

        yield make
