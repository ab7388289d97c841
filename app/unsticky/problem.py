"""Answers to session errors: a page for browsers, a problem document (RFC 9457) for programs."""

from __future__ import annotations

import json

from flask import has_request_context, request
from markupsafe import escape
from werkzeug.wrappers import Response

from .errors import SessionError
from .request_facts import request_id

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
"""Headers that describe the replaced answer. Others, such as the request id or CORS headers, belong
to the exchange and stay."""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<h1>{title}</h1>
<p>{detail}</p>
"""
_REQUEST = "<p><small>{request_id}</small></p>\n"


def problem(error: SessionError) -> Response:
    """Return the answer to an error: HTML if the client prefers it, otherwise a problem document.

    The document has a stable `code` for programs. Both show the id in the request's `X-Request-ID`,
    by which its log lines are found. Neither names the store's address.
    """
    # The details of an internal error belong in the log.
    detail = "" if error.status == 500 else error.detail
    shown_id = request_id(request) if has_request_context() else ""
    if _prefers_html():
        page = _PAGE.format(title=escape(error.title), detail=escape(detail))
        if shown_id:
            page += _REQUEST.format(request_id=shown_id)
        response = Response(page, status=error.status, content_type="text/html; charset=utf-8")
    else:
        document: dict[str, object] = {
            "type": "about:blank",
            "title": error.title,
            "status": error.status,
            "code": error.code,
        }
        if detail:
            document["detail"] = detail
        if shown_id:
            document["request_id"] = shown_id
        # Set by unsticky_traces, if the request has a span that will be sent.
        if has_request_context() and (trace_id := request.environ.get("unsticky.trace_id")):
            document["trace_id"] = trace_id
        response = Response(
            json.dumps(document), status=error.status, content_type="application/problem+json"
        )
    response.headers["Cache-Control"] = "no-store"
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def replace(response: Response, by: Response) -> None:
    """Replace the content of `response` by that of `by`, and close what it was about to send."""
    # Not response.close(): the server calls that after sending, and functions registered with
    # call_on_close must run only once.
    close = getattr(response.response, "close", None)
    if close is not None:
        close()
    response.response = []  # closed above; set_data must not close it again
    for header in _ENTITY_HEADERS:
        response.headers.pop(header, None)
    response.status_code = by.status_code
    response.set_data(by.get_data())
    response.direct_passthrough = False
    for name, value in by.headers:
        response.headers[name] = value


def _prefers_html() -> bool:
    if not has_request_context():
        return False
    accepted = request.accept_mimetypes
    html = accepted.quality("text/html")
    return html > max(
        accepted.quality("application/json"), accepted.quality("application/problem+json")
    )
