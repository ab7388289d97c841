"""The shop, whose workers die where a request says.

`X-Die-After: n` kills the worker, by SIGKILL, once the store has answered the n-th call of that
request, whatever the call was for. So it is known what the store has done and that nothing came of
it: neither the request's next step nor its answer.
"""

import os
import signal
import threading
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from flask import session
from shop import create_app
from shop.records import answers
from shop.records.seam import Seam
from unsticky.stores.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

# How long another request waits for one that died: here nobody wants to (ms).
answers.LEASE_MS = 200  # type: ignore[misc]

_left = threading.local()


def _deadly(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def counted(*args: Any, **kwargs: Any) -> Any:
        answer = call(*args, **kwargs)
        _left.calls -= 1
        if _left.calls == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return counted


Client.call = _deadly(Client.call)  # type: ignore[method-assign]
Seam.run = _deadly(Seam.run)  # type: ignore[method-assign]

_shop = create_app()


@_shop.post("/test/user/<name>")
def become(name: str) -> str:
    """Make this the session of a user, without a password."""
    session["user"] = name
    return ""


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
    """Serve one request, or die of it."""
    _left.calls = int(environ.get("HTTP_X_DIE_AFTER", "0"))
    return _shop(environ, start_response)
