"""Spans of OpenTelemetry for the round trips to the store, in a process that traces.

No key, argument or reply is in a span, and no text of an error: these hold sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, Final

from .base import Deadline
from .connection import Connection
from .replies import ErrorReply, packed

script_names: Final[dict[bytes, str]] = {}
"""The names of scripts, by the SHA-1 with which a call names them."""

_ASKING: Final = packed(b"ASKING")


def begin(provider: Any = None) -> None:
    """Make a span for each round trip from now on, in this process.

    Args:
        provider: OpenTelemetry's provider of tracers; by default its global one.

    Raises:
        ImportError: opentelemetry-api is not installed.
    """
    api: Any = import_module("opentelemetry.trace")
    # Each process traces for itself.
    Traced.api = api  # check: ok
    Traced.tracer = api.get_tracer("unsticky.stores", tracer_provider=provider)  # check: ok


class Traced(Connection):
    """A connection whose round trips have spans: what was called, where, how it ended.

    Attributes:
        tracer: OpenTelemetry's; None in a process that does not trace.
    """

    __slots__ = ("_real",)

    api: ClassVar[Any] = None
    tracer: ClassVar[Any] = None

    def __init__(self, real: Connection) -> None:
        self._real = real

    def run(self, command: bytes, deadline: Deadline) -> Any:
        """See `Connection.run`."""
        return self._spanned(command, 1, lambda: self._real.run(command, deadline))

    def run_and_wait(self, command: bytes, wait: bytes, deadline: Deadline) -> Any:
        """See `Connection.run_and_wait`."""
        return self._spanned(command, 1, lambda: self._real.run_and_wait(command, wait, deadline))

    def ask(self, commands: bytes, count: int, deadline: Deadline, name: str = "") -> list[Any]:
        """See `Connection.ask`."""
        replies: list[Any] = self._spanned(
            commands, count, lambda: self._real.ask(commands, count, deadline), name
        )
        return replies

    def _spanned(
        self, commands: bytes, count: int, exchange: Callable[[], Any], name: str = ""
    ) -> Any:
        within = self.api.get_current_span().get_span_context()
        if within.is_valid and not within.trace_flags.sampled:
            return exchange()  # the request is not traced
        host, port = self._real.server
        operation = name or _operation(commands, count)
        attributes: dict[str, Any] = {
            "db.system.name": "redis",
            "db.operation.name": operation,
            "server.address": host,
        }
        if port:
            attributes["server.port"] = port
        kind = self.api.SpanKind.CLIENT
        span = self.tracer.start_span(operation, kind=kind, attributes=attributes)
        try:
            reply = exchange()
            for each in reply if isinstance(reply, (list, tuple)) else (reply,):
                if isinstance(each, ErrorReply):
                    self._fail(span, each)
                    break
        except BaseException as error:
            self._fail(span, error)
            raise
        finally:
            span.end()
        return reply

    def _fail(self, span: Any, error: BaseException) -> None:
        kind = type(error).__name__
        if isinstance(error, ErrorReply):
            # An application's script may return any text.
            kind = error.code if error.code.isalpha() and error.code.isupper() else "ERR"
            span.set_attribute("db.response.status_code", kind)
        span.set_attribute("error.type", kind)
        span.set_status(self.api.StatusCode.ERROR)


def _operation(commands: bytes, count: int) -> str:
    """Return what packed commands do: the name of a script or of a command."""
    if commands.startswith(_ASKING):
        commands, count = commands[len(_ASKING) :], count - 1
    if count > 1:
        return "PIPELINE"
    # Such as *3, $7, EVALSHA, $40, the SHA-1.
    parts = commands[:80].split(b"\r\n")
    return (
        script_names.get(parts[4] if len(parts) > 4 else b"") or parts[2].decode("latin-1").upper()
    )
