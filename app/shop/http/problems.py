"""Problem documents (RFC 9457): the answer to every error.

`type` is always `about:blank`. The status says what kind of problem it is, and `code` which one if
a status has several causes; `detail` says what to do. A browser that asked for a page gets the
same content as a page.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, render_template, request
from unsticky import SessionError
from werkzeug.exceptions import HTTPException

from shop.context import request_id

MEDIA_TYPE = "application/problem+json"

HEALTH_CHECKS = frozenset({"/livez", "/readyz"})

MOST_QUOTED = 40
"""Characters of one text of a client that a problem shows."""

_LONGEST_PATH = 200

_OUR_FAULT = "The shop failed; its log has the cause under this request's id."

_log = logging.getLogger(__name__)


def quoted(text: str) -> str:
    """Return a client's text as a `detail` may show it: in quotes, escaped, and cut."""
    return repr(_cut(text, MOST_QUOTED))


class Problem(Exception):
    """An error on its way to the client.

    A problem may be stored and logged, so its size must not follow from that of the request: show
    what a client sent by `quoted` only.

    Args:
        status: The HTTP status.
        detail: What is wrong with this request, with the value, and what to do.
        code: A stable name for programs, if the status has several causes.
        errors: For 422, what is wrong with which field: ``{"field", "detail"}`` each.
        headers: Header fields that belong to the answer, such as ``Retry-After``.
        lasting: Whether an Idempotency-Key may keep it. False if to refuse again costs nothing.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        lasting: bool = True,
    ) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.detail = detail
        self.code = code
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.lasting = lasting

    def document(self) -> dict[str, Any]:
        """Return the members of the problem document."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            "instance": _cut(request.path, _LONGEST_PATH),
            "request_id": request_id(),
        }
        if self.code:
            document["code"] = self.code
        if self.errors:
            document["errors"] = self.errors
        return document

    def response(self) -> Response:
        """Return the answer; no cache may keep it."""
        document = self.document()
        if _is_for_people() and _wants_page():
            response = Response(render_template("problem.html", problem=document))
        else:
            response = Response(json.dumps(document), mimetype=MEDIA_TYPE)
        response.status_code = self.status
        response.headers.update({"Cache-Control": "no-store", **self.headers})
        if _is_for_people():
            response.vary.add("Accept")
        return response


def install(app: Flask) -> None:
    """Make every error of the application a problem document."""
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(SessionError, of_session)
    app.register_error_handler(Exception, _of_bug)


def of_session(error: SessionError) -> Response:
    """Return the answer for an error of the session library.

    Either a view raised it, or the library met it after the view, when it stored the session.
    """
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _of_bug(error)
    _log.warning("%s: %s", error.code, error)
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    detail = f"{error.title}: {error}."
    return Problem(error.status, detail, code=error.code, headers=headers).response()


def _of_http(error: HTTPException) -> Response:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    # Keep fields such as Allow, and drop those that describe werkzeug's own HTML.
    headers = {
        name: value for name, value in error.get_headers() if not name.lower().startswith("content")
    }
    return Problem(status, _detail(status, error), headers=headers).response()


def _detail(status: int, error: HTTPException) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return f"There is nothing at {quoted(request.path)}."
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        path, method = quoted(request.path), quoted(request.method)
        return f"{path} does not take {method}; see the header Allow."
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _OUR_FAULT
    return error.description or HTTPStatus(status).description


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _of_bug(error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.path, exc_info=error)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, _OUR_FAULT).response()


def _is_for_people() -> bool:
    return not (request.path.startswith("/api/") or request.path in HEALTH_CHECKS)


def _wants_page() -> bool:
    # The first of equals wins: */* gets the document.
    best = request.accept_mimetypes.best_match([MEDIA_TYPE, "application/json", "text/html"])
    return best == "text/html"
