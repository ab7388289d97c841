"""The shop in releases that boot and are wrong. `prove` and tests copy this beside the shop.

They take the place of `shop.create_app`, so they call that of `shop.factory`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def unready() -> Flask:
    """Return a shop that is never ready."""
    from shop.factory import create_app

    app = create_app()
    # Locally /readyz is asked, in containers /livez.
    for name in ("readyz", "livez"):
        app.view_functions[f"api.{name}"] = lambda: ("A planted fault", 503)
    return app


def failing() -> Flask:
    """Return a shop that answers 500 to one call in ten."""
    from shop.factory import create_app

    return _failing(create_app())


def failing_stock() -> Flask:
    """Return the cart of a stock server with the same fault."""
    from loadtest.frameworks.apps import flask_cart

    return _failing(flask_cart.create_app("flask-session"))


def _failing(app: Flask) -> Flask:
    inner = app.wsgi_app

    def outer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/api/") and random.random() < 0.1:
            start_response("500 Internal Server Error", [("Content-Length", "0")])
            return []
        return inner(environ, start_response)

    vars(app)["wsgi_app"] = outer
    return app


def losing() -> Flask:
    """Return a shop that loses one add in a hundred."""
    from shop.factory import create_app
    from unsticky.maps import SessionMap

    inner = SessionMap.incr

    def incr(self: SessionMap, key: Any, delta: int = 1, **how: Any) -> int:
        if random.random() < 0.01:
            return int(self.get(key, 0)) + delta
        return int(inner(self, key, delta, **how))

    type.__setattr__(SessionMap, "incr", incr)
    return create_app()
