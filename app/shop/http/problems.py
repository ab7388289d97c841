"""Problem documents (RFC 9457): the answer to every error.

`type` is always `about:blank`. The status says what kind of problem it is, and `code` which one if
a status has several causes; `detail` says what to do. A browser that asked for a page gets the
same content as a page.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from flask import Flask, Response, render_template, request
from unsticky import SessionError
from werkzeug.exceptions import HTTPException

from shop import errors
from shop.context import request_id, trace_id
from shop.errors import Refusal, cut, quoted

MEDIA_TYPE = "application/problem+json"

HEALTH_CHECKS = frozenset({"/livez", "/readyz"})

_REFUSALS: Final[Mapping[type[Refusal], tuple[int, str | None]]] = {
    errors.LoginRequired: (401, "login-required"),
    errors.RecentLoginRequired: (401, "recent-login-required"),
    errors.WrongCredentials: (401, "wrong-credentials"),
    errors.UnknownProduct: (404, None),
    errors.UnknownSession: (404, None),
    errors.CartEmpty: (409, "cart-empty"),
    errors.LineFull: (409, None),
    errors.PasswordChanged: (409, "password-changed"),
    errors.LoginsBusy: (429, "logins-busy"),
    errors.TooManyLogins: (429, "too-many-logins"),
}
"""The status of what the shop refuses, and the code."""

_LONGEST_PATH = 200

_OUR_FAULT = "The shop failed; its log has the cause under this request's id."

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Problem(Exception):
    """An error on its way to the client.

    A problem may be stored and logged, so its size must not follow from that of the request: show
    what a client sent by `quoted` only.

    Attributes:
        status: The HTTP status.
        detail: What is wrong with this request, with the value, and what to do.
        code: A stable name for programs, if the status has several causes.
        errors: For 422, what is wrong with which field: ``{"field", "detail"}`` each.
        headers: Header fields that belong to the answer, such as ``Retry-After``.
    """

    status: int
    detail: str
    code: str | None = None
    errors: Sequence[Mapping[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the members of the problem document."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": int(self.status),
            "detail": self.detail,
            "instance": cut(request.path, _LONGEST_PATH),
            "request_id": request_id(),
        }
        if trace := trace_id():
            document["trace_id"] = trace
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
    app.register_error_handler(Refusal, lambda refusal: of_refusal(refusal).response())
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(SessionError, of_session)
    app.register_error_handler(Exception, _of_bug)


def of_refusal(refusal: Refusal) -> Problem:
    """Return the problem that a refusal is to a client."""
    status, code = _REFUSALS[type(refusal)]
    return Problem(status, str(refusal), code=code, headers=_retry_after(refusal.retry_after))


def of_session(error: SessionError) -> Response:
    """Return the answer for an error of the session library.

    Either a view raised it, or the library met it after the view, when it stored the session.
    """
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _of_bug(error)
    _log.warning("%s: %s", error.code, error)
    detail, headers = f"{error.title}: {error}.", _retry_after(error.retry_after)
    return Problem(error.status, detail, code=error.code, headers=headers).response()


def _retry_after(seconds: int | None) -> dict[str, str]:
    return {} if seconds is None else {"Retry-After": str(seconds)}


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


def _of_bug(error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.path, exc_info=error)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, _OUR_FAULT).response()


def _is_for_people() -> bool:
    return not (request.path.startswith("/api/") or request.path in HEALTH_CHECKS)


def _wants_page() -> bool:
    # The first of equals wins: */* gets the document.
    best = request.accept_mimetypes.best_match([MEDIA_TYPE, "application/json", "text/html"])
    return best == "text/html"
