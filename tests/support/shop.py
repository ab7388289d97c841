"""The shop for tests: cheap passwords, and workers that die where a request says."""

import os
import signal
import threading
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any

import shop
from flask import Flask
from shop import idempotency
from shop.accounts import demo, passwords
from unsticky.stores.client import Client
from werkzeug.security import generate_password_hash

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

SECRET = "a0b1c2d3e4f5a6b7c8d9"

DIES_AFTER = "X-Dies-After"

STORE_CALLS = ("call", "ask_all")
"""The methods of the client that send something to the store."""

_METHOD = "scrypt:128:8:5"


def cheapen_passwords(set_attribute: Callable[[object, str, object], None] = setattr) -> None:
    """Hash passwords as the shop does, but at a hundredth of the cost.

    Args:
        set_attribute: Such as monkeypatch's, which restores what was there.
    """
    set_attribute(passwords, "METHOD", _METHOD)
    set_attribute(passwords, "_NOBODY", generate_password_hash("nobody's", _METHOD))
    hashes = {user: generate_password_hash(user, _METHOD) for user in demo.USERS}
    set_attribute(demo, "PASSWORD_HASHES", hashes)


def close_shop(app: Flask) -> None:
    """End the shop's thread and close its connections."""
    if status := app.extensions.get("shop.status"):
        status.recorder.close()
    app.extensions["shop"].close()


def mortal_app() -> Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]:
    """Return the shop, configured by the environment, whose workers die where a request says.

    `X-Dies-After: n` kills the worker, by SIGKILL, after the store has answered the n-th call of
    that request, whatever the call was for. So it is known what the store has done, and that
    neither the request's next step nor its answer followed.
    """
    cheapen_passwords()
    # Nobody here wants to wait for a request that died (milliseconds).
    idempotency.LEASE_MS = 200  # type: ignore[misc]
    left = threading.local()

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def counted(*args: Any, **kwargs: Any) -> Any:
            answer = call(*args, **kwargs)
            left.calls = getattr(left, "calls", 0) - 1
            if left.calls == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return counted

    for name in STORE_CALLS:
        setattr(Client, name, deadly(getattr(Client, name)))
    app: Flask = shop.create_app()

    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        left.calls = int(environ.get("HTTP_X_DIES_AFTER", "0"))
        return app(environ, start_response)

    return serve
