"""The header fields that every answer carries, whoever made it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.datastructures import Headers

from shop import request_id
from shop.settings import Settings

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SECURITY = {
    # Pages need one style sheet and their pictures, both from here; forms go
    # back here; nothing may frame them. No script runs, inline or not.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The Origin check needs no referrer, other sites need not know our paths.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def served_by(settings: Settings) -> str | None:
    """Return ``<replica>/<pid>`` of this worker, or ``None`` where answers do not tell."""
    return f"{settings.replica}/{os.getpid()}" if settings.served_by else None


class EveryAnswer:
    """WSGI middleware that settles the request's id and adds the common header fields.

    It stands outside Flask, so that answers which the session library puts in
    the view's place, and those of no view at all, carry them too.

    Args:
        app: The application inside.
        settings: The shop's settings.
    """

    def __init__(self, app: WSGIApplication, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        common = dict(SECURITY)
        common[request_id.HEADER] = request_id.settle(
            environ, trusted=self._settings.proxy_hops > 0
        )
        if worker := served_by(self._settings):
            common["X-Served-By"] = worker

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
        ) -> object:
            fields = Headers(headers)
            for name, value in common.items():
                fields[name] = value
            return start_response(status, list(fields), exc_info)

        return self._app(environ, start)  # type: ignore[arg-type]  # WSGI's write() is never used here
