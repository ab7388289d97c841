"""WSGI middleware: what is one run of the application, and how a GET that conflicts runs again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from .config import RERUNS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

RUN: Final = "unsticky.run"
"""The environment's key of the run under way."""


class Run:
    """One pass of a request through the application.

    Attributes:
        repeatable: the request may pass again.
        withdrawn: it will, and nothing of this pass is sent.
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
        """Names the request to the store, the same in every pass."""
        if self._operation is None:
            self._operation = secrets.token_bytes(16)
        return self._operation

    def opened(self) -> int:
        """Return how many sessions were opened in this pass, this one included.

        A handler of a web socket opens one for each event, with the environment of the request
        that began the connection: its operations must not be taken for that request's.
        """
        return next(self._opened)

    def withdraw(self) -> None:
        """Keep this pass's answer from being sent, and let the request pass again."""
        self.withdrawn = True

    def start_response(self, *arguments: Any) -> Any:
        """Start the response, unless this pass was withdrawn."""
        return _discard if self.withdrawn else self._start_response(*arguments)


class Rerunner:
    """Wraps an application. A run that asks for another is closed, and its answer never sent."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Run the application, again if it asks for that, at most `RERUNS` times more."""
        if not _is_repeatable(environ):
            environ[RUN] = Run(start_response, repeatable=False)
            return self._application(environ, start_response)
        operation, before = None, dict(environ)
        for left in range(RERUNS, -1, -1):
            run = environ[RUN] = Run(start_response, operation, repeatable=left > 0)
            body = self._application(environ, run.start_response)
            if not run.withdrawn:
                return body
            close: Callable[[], None] | None = getattr(body, "close", None)
            if close is not None:
                close()
            operation = run.operation
            # What Flask left there, or a middleware changed, the next pass must not find.
            environ.clear()
            environ.update(before)
        raise AssertionError  # pragma: no cover (the last run cannot be withdrawn)


def _is_repeatable(environ: WSGIEnvironment) -> bool:
    """Tell whether the request can be read a second time: a body was read by the first."""
    return (
        environ.get("REQUEST_METHOD") in {"GET", "HEAD"}
        and environ.get("CONTENT_LENGTH", "") in {"", "0"}
        and not environ.get("HTTP_TRANSFER_ENCODING")
    )


def _discard(data: bytes) -> None:
    del data
