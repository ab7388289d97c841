"""WSGI middleware that runs a GET or HEAD again after a conflict."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from .limits import RETRIES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

RUN: Final = "unsticky.run"
"""The key of the current run in the WSGI environment."""


class Run:
    """One run of the application for a request, which may be `repeatable`.

    If it is `withdrawn`, the request runs again, and nothing of this run is sent.
    """

    __slots__ = ("_opened", "_operation", "_start_response", "repeatable", "withdrawn")

    def __init__(
        self, start_response: StartResponse, operation: bytes | None = None, *, repeatable: bool
    ) -> None:
        self.repeatable = repeatable
        self.withdrawn = False
        self._operation = operation
        self._opened = count(1)
        self._start_response = start_response

    @property
    def operation(self) -> bytes:
        """The request's name at the store, the same in every run."""
        if self._operation is None:
            self._operation = secrets.token_bytes(16)
        return self._operation

    def opened(self) -> int:
        """Return how many sessions were opened in this run, with this one.

        A handler of a web socket opens one for each event, with the environment of the request
        that began the connection. Its operations must not get that request's names.
        """
        return next(self._opened)

    def withdraw(self) -> None:
        """Do not send the answer of this run, and run the request again."""
        self.withdrawn = True

    def start_response(self, *arguments: Any) -> Any:
        """Start the response, unless this run was withdrawn."""
        return _discard if self.withdrawn else self._start_response(*arguments)


class RetryMiddleware:
    """Wraps an application. A withdrawn run is closed, and its answer is never sent."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Run the application, and up to `RETRIES` times again while a run is withdrawn."""
        if not _is_repeatable(environ):
            environ[RUN] = Run(start_response, repeatable=False)
            return self._application(environ, start_response)
        operation, before = None, dict(environ)
        for left in range(RETRIES, -1, -1):
            run = environ[RUN] = Run(start_response, operation, repeatable=left > 0)
            body = self._application(environ, run.start_response)
            if not run.withdrawn:
                return body
            close: Callable[[], None] | None = getattr(body, "close", None)
            if close is not None:
                close()
            operation = run.operation
            # The next run must not find what Flask or a middleware left in the environment.
            environ.clear()
            environ.update(before)
        raise AssertionError  # pragma: no cover (the last run cannot be withdrawn)


def _is_repeatable(environ: WSGIEnvironment) -> bool:
    """Return whether the request can run twice: a body can be read only once."""
    return (
        environ.get("REQUEST_METHOD") in {"GET", "HEAD"}
        and environ.get("CONTENT_LENGTH", "") in {"", "0"}
        and not environ.get("HTTP_TRANSFER_ENCODING")
    )


def _discard(data: bytes) -> None:
    del data
