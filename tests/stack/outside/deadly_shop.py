"""The shop with a request that kills its worker, and with workers that can be made slow."""

import os
import signal
import time
from collections.abc import Iterable
from typing import Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import shop

DEADLY: Final = "/deadly"
"""A request for this path kills its worker, as a lack of memory or a fault in C code does."""


def create_app() -> WSGIApplication:
    """Return the shop; each request first waits for SLOW seconds, a variable of the environment."""
    app = shop.create_app()
    slow = float(os.environ.get("SLOW", "0"))

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(slow)
        return app(environ, start_response)

    return serve
