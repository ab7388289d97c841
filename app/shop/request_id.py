"""One id per request, the same in nginx's log, in ours and in the client's answer."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from flask import has_request_context, request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

HEADER = "X-Request-ID"

_KEY = "HTTP_X_REQUEST_ID"
_WELL_FORMED = re.compile(r"[0-9a-f]{32}")


def settle(environ: WSGIEnvironment, *, trusted: bool) -> str:
    """Make sure that the request has a well-formed id, and return it.

    The session library recognises a request that nginx sent twice by this id,
    so a client must not choose it: it counts only when a proxy is known to
    have set it.

    Args:
        environ: The WSGI environment; its ``X-Request-ID`` is corrected in place.
        trusted: Whether a proxy of ours stands in front.
    """
    given = environ.get(_KEY, "")
    if not (trusted and _WELL_FORMED.fullmatch(given)):
        environ[_KEY] = secrets.token_hex(16)
    return str(environ[_KEY])


def current_request_id() -> str | None:
    """Return the id of the request being served, ``None`` outside of one."""
    return request.environ.get(_KEY) if has_request_context() else None
