"""Beaker under a Flask application: its middleware opens and stores the session.

See https://beaker.readthedocs.io/en/latest/configuration.html.
"""

from typing import Any, cast

from beaker.middleware import SessionMiddleware
from flask import Flask, Request
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.wrappers import Response

from loadtest.frameworks.apps import cart


class _Interface(SessionInterface):
    def open_session(self, _app: Flask, request: Request) -> SessionMixin:
        return cast("SessionMixin", request.environ["beaker.session"])

    def save_session(self, _app: Flask, session: Any, _response: Response) -> None:
        # Beaker sees no change by itself. The middleware stores it if the request touched it.
        session.save()


def install(app: Flask, url: str) -> None:
    """Keep the application's sessions in the Redis at a URL."""
    app.session_interface = _Interface()
    options = {
        "session.type": "ext:redis",
        "session.url": url,
        "session.secret": cart.SECRET,
        "session.timeout": cart.LIFETIME,
        "session.data_serializer": "json",
        "session.httponly": True,
        "session.samesite": "Lax",
    }
    cast("Any", app).wsgi_app = SessionMiddleware(app.wsgi_app, options)
