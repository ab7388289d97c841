"""The shop with workers that die where a request says.

`X-Dies-After: n` kills the worker (SIGKILL) as soon as the store has answered that request's n-th
call. So a test knows what the store has done, and that nothing came of it: neither the request's
next step nor its answer.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from secrets import token_hex
from typing import Any, ParamSpec
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import httpx
import shop
from shop.http import idempotency
from unsticky import session
from unsticky.stores.client import Client

from tests.support.http.wire import Answer
from tests.support.shop.in_process import cheapen
from tests.support.stacks.gunicorn import Gunicorn

Parameters = ParamSpec("Parameters")

STORE_CALLS = ("call", "ask_all", "replies")
"""The methods of the client that send something to the store."""

_calls = threading.local()


def create_app() -> WSGIApplication:
    """Return the shop, configured by the environment, as `X-Dies-After` says.

    `POST /test/user/<name>` makes the session that of a user, without a password.
    """
    cheapen()
    # How long another request waits for one that died (ms).
    vars(idempotency)["LEASE_MS"] = 200
    for name in STORE_CALLS:
        setattr(Client, name, _deadly(getattr(Client, name)))
    app = shop.create_app()

    @app.post("/test/user/<name>")
    def become(name: str) -> str:
        session.bind(name)
        return ""

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        _calls.left = int(environ.get("HTTP_X_DIES_AFTER", "0"))
        return app(environ, start_response)

    return serve


def _deadly(call: Callable[..., Any]) -> Callable[..., Any]:
    def call_and_die(*arguments: Any, **options: Any) -> Any:
        reply = call(*arguments, **options)
        _calls.left = getattr(_calls, "left", 0) - 1
        if _calls.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return reply

    return call_and_die


def dying_workers(folder: Path, store: str, *, workers: int = 4, secret: str = "") -> Gunicorn:
    """Return workers of that shop, which are not started yet; Gunicorn replaces those that die.

    Args:
        folder: an empty folder with a short path.
        store: the store's URL.
        workers: how many.
        secret: the shop's secret key; a random one if empty.
    """
    return Gunicorn(
        folder,
        "tests.support.shop.dying:create_app()",
        "--preload",  # a worker that takes the place of a dead one is there at once
        SECRET_KEY=secret or token_hex(16),
        REDIS_URL=store,
        WORKERS=str(workers),
        SHOP_DEMO="1",
    )


def unless_killed(
    request: Callable[Parameters, Answer], *arguments: Parameters.args, **options: Parameters.kwargs
) -> Answer | None:
    """Send a request and return its answer; None if its worker died."""
    try:
        return request(*arguments, **options)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return None
