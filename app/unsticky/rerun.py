"""WSGI middleware that runs a conflicting GET or HEAD again before anything of it was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from .policy import RERUNS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

RERUN: Final = "unsticky.rerun"
"""The environment's key of the function that asks for another run."""


class Rerunner:
    """Wraps an application. A run that asks for another is closed, and its answer never sent."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Run the application, again if it asks for that, at most `RERUNS` times more."""
        if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
            return self._application(environ, start_response)
        for _ in range(RERUNS):
            run = _Run(environ, start_response)
            body = self._application(run.environ, run.start_response)
            if not run.withdrawn:
                return body
            close: Callable[[], None] | None = getattr(body, "close", None)
            if close is not None:
                close()
        return self._application(environ, start_response)


class _Run:
    """One attempt, on a copy of the environment."""

    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self.environ = {**environ, RERUN: self._withdraw}
        self.withdrawn = False
        self._start_response = start_response

    def _withdraw(self) -> None:
        self.withdrawn = True

    def start_response(self, *arguments: Any) -> Any:
        """Start the response, unless this attempt was withdrawn."""
        return _discard if self.withdrawn else self._start_response(*arguments)


def _discard(data: bytes) -> None:
    del data
