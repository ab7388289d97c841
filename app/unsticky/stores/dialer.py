"""Make one connection within the deadline, by the public functions of redis-py or its like."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Final

from ..errors import StoreUnavailable
from .base import Deadline
from .replies import ErrorReply


class Dialer:
    """One connection in the making, in a thread of its own.

    A name lookup, a TLS handshake and an authentication know no common deadline. A thread whose
    request has given up ends at its next step; only a name lookup can hold it longer. Until then it
    counts as a connection, so that there is a bound on their number.
    """

    def __init__(self, connection: Any, release: Callable[[], None]) -> None:
        self._connection = connection
        self._release = release
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._ended = False
        self._abandoned = False

    def connected(self, deadline: Deadline) -> Any:
        """Return the connection; for errors see `Pool.take`."""
        self._limit(deadline.left())
        thread = threading.Thread(target=self._run, name="unsticky-connect", daemon=True)
        try:
            thread.start()
            thread.join(deadline.left())
        except RuntimeError as error:
            self._release()
            raise StoreUnavailable(f"no thread to connect with: {error}") from error
        except BaseException:
            self._abandon()
            raise
        if not self._ended:
            self._abandon()
            raise TimeoutError("no connection within the deadline")
        if self._failure is not None:
            self._release()
            raise understood(self._failure) from self._failure
        return self._connection

    def _run(self) -> None:
        try:
            self._connection.connect()
            self._leave_resp3()
        except BaseException as error:  # noqa: BLE001 (handed to the waiting request)
            self._failure = error
        if self._failure is not None:
            self._close()
        with self._lock:
            self._ended = True
            late = self._abandoned
        if late:
            self._close()
            self._release()

    def _leave_resp3(self) -> None:
        """Undo what the user's own function may have brought: RESP3, whose pushes nobody wants."""
        if not any(getattr(self._connection, name, None) for name in _CONNECT_FUNCTIONS):
            return
        try:
            self._connection.send_command("HELLO", 2)
            self._connection.read_response()
        except Exception as error:
            if not isinstance(understood(error), ErrorReply):  # one who may not say it is on RESP2
                raise

    def _abandon(self) -> None:
        self._limit(0.001)  # for the steps that the thread has not begun
        self._close()  # ends the one that it is in
        with self._lock:
            self._abandoned = True
            ended = self._ended
        if ended:
            self._close()
            self._release()

    def _limit(self, seconds: float) -> None:
        self._connection.socket_timeout = self._connection.socket_connect_timeout = seconds

    def _close(self) -> None:
        with contextlib.suppress(Exception):
            self._connection.disconnect()


_CONNECT_FUNCTIONS: Final = ("redis_connect_func", "valkey_connect_func")


def understood(failure: BaseException) -> Exception:
    """Return what a failure to connect means; libraries like redis-py have exceptions of their own.

    A text is repeated only where it is known to hold no secret.
    """
    names = {kind.__name__ for kind in type(failure).__mro__}
    if "AuthenticationError" in names or "ResponseError" in names:
        return ErrorReply(*failure.args[:1])
    if "MasterNotFoundError" in names:  # its text shows the settings of each Sentinel's client
        return ConnectionError("no Sentinel names a primary")
    if "TimeoutError" in names:
        return TimeoutError(str(failure))
    if "ConnectionError" in names or isinstance(failure, OSError):
        return ConnectionError(str(ErrorReply(str(failure))) or type(failure).__name__)
    return ConnectionError(f"{type(failure).__qualname__} while connecting")
