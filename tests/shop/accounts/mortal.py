"""The shop with workers that die where a request says: after so many calls of the store."""

import os
import signal
from collections.abc import Callable
from typing import Any

import shop
from flask import Flask, g, has_request_context, request
from shop.records.seam import Seam
from unsticky.stores.client import Client

from tests.shop.accounts.cheap import cheapen

DIES_AFTER = "X-Dies-After"


def create_app() -> Flask:
    """Return the shop, configured by the environment."""
    cheapen()
    for caller, name in ((Client, "call"), (Seam, "run")):
        setattr(caller, name, _counted(getattr(caller, name)))
    return shop.create_app()


def _counted(call: Callable[..., Any]) -> Callable[..., Any]:
    def call_and_die(self: object, *arguments: Any) -> Any:
        reply = call(self, *arguments)
        if has_request_context() and DIES_AFTER in request.headers:
            g.calls = g.get("calls", 0) + 1
            if g.calls == int(request.headers[DIES_AFTER]):
                os.kill(os.getpid(), signal.SIGKILL)
        return reply

    return call_and_die
