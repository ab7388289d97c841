"""Errors as RFC 9457 problem documents, and how a finished response is replaced by one."""

from __future__ import annotations

import json

from werkzeug.wrappers import Response

from .errors import SessionError

_ENTITY_HEADERS = (
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Content-Language",
    "Content-Range",
    "Content-Disposition",
    "Accept-Ranges",
    "ETag",
    "Last-Modified",
    "Expires",
    "Location",
)
"""What describes the answer that is being withdrawn. Everything else, such as the request id or
CORS headers, describes the exchange and stays."""


def problem(error: SessionError) -> Response:
    """Return the problem document for an error, with a stable `code` for programs."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "code": error.code,
    }
    if error.status != 500:  # noqa: PLR2004 (what went wrong inside is for the log)
        document["detail"] = str(error)
    response = Response(
        json.dumps(document), status=error.status, content_type="application/problem+json"
    )
    response.headers["Cache-Control"] = "no-store"
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def replace(response: Response, by: Response) -> None:
    """Turn `response` into `by`, in place, closing what it was about to send."""
    # Not response.close(): the server calls that when the answer was sent, and what is registered
    # with call_on_close shall run once.
    close = getattr(response.response, "close", None)
    if close is not None:
        close()
    response.response = []  # closed above; set_data must not look at it again
    for header in _ENTITY_HEADERS:
        response.headers.pop(header, None)
    response.status_code = by.status_code
    response.set_data(by.get_data())
    response.direct_passthrough = False
    for name, value in by.headers:
        response.headers[name] = value
