"""WSGI middleware that runs a conflicting GET or HEAD again before anything of it was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from .policy import RERUNS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

RERUN: Final = "unsticky.rerun"
"""The environment's key of the function that asks for another run."""

_LEFT_BY_A_RUN: Final = ("werkzeug.request", "flask.")
"""What Flask leaves in the environment and the next run must not find."""


class Rerunner:
    """Wraps an application. A run that asks for another is closed, and its answer never sent."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Run the application, again if it asks for that, at most `RERUNS` times more."""
        if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
            return self._application(environ, start_response)
        for _ in range(RERUNS):
            run = _Run(start_response)
            environ[RERUN] = run.withdraw
            body = self._application(environ, run.start_response)
            if not run.withdrawn:
                return body
            close: Callable[[], None] | None = getattr(body, "close", None)
            if close is not None:
                close()
            for key in [key for key in environ if key.startswith(_LEFT_BY_A_RUN)]:
                del environ[key]
        environ.pop(RERUN, None)
        return self._application(environ, start_response)


class _Run:
    """One attempt."""

    __slots__ = ("_start_response", "withdrawn")

    def __init__(self, start_response: StartResponse) -> None:
        self.withdrawn = False
        self._start_response = start_response

    def withdraw(self) -> None:
        """Keep this attempt's answer from being sent."""
        self.withdrawn = True

    def start_response(self, *arguments: Any) -> Any:
        """Start the response, unless this attempt was withdrawn."""
        return _discard if self.withdrawn else self._start_response(*arguments)


def _discard(data: bytes) -> None:
    del data
