"""The connections of one process to one server, each used by one call at a time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from ..errors import StoreUnavailable
from .base import Deadline
from .connection import Connection, SocketConnection, understood
from .replies import ErrorReply

MOST: Final = 64
"""Connections of one process at most."""

IDLE_LIMIT: Final = 30.0
"""Seconds after which an unused connection is not trusted: firewalls and load balancers that drop
connections without a word do so after 60 seconds and more."""

_CONNECT_FUNCTIONS: Final = ("redis_connect_func", "valkey_connect_func")


class Pool:
    """The connections of one process.

    Args:
        make: returns a connection of redis-py, or of a library like it, not yet connected.
        most: how many there may be, those that are being made included.
        idle_limit: seconds for which an unused connection is kept.
    """

    def __init__(
        self, make: Callable[[], Any], *, most: int = MOST, idle_limit: float = IDLE_LIMIT
    ) -> None:
        self._make = make
        self._most = most
        self._idle_limit = idle_limit
        self.forget()

    def forget(self) -> None:
        """Drop connections that belong to the parent process, without speaking on them."""
        self._idle: deque[Connection] = deque()
        self._open = 0
        self._waiting = 0
        self._generation = 0
        self._returned = threading.Condition()

    def take(self, deadline: Deadline) -> Connection:
        """Return a connection that is good as far as can be known without a round trip.

        Raises:
            StoreUnavailable: all stayed busy.
            ErrorReply: the server refused the connection.
            OSError: there is no connection; `TimeoutError` if the time was up.
        """
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                if self._reserved(deadline):
                    return self._connected(deadline)
                continue
            # A server that went away while the connection lay idle is noticed before anything is
            # sent, so that it is known that nothing happened; so is one that spoke unasked.
            fresh = time.monotonic() - connection.used < self._idle_limit
            if fresh and connection.generation == self._generation and connection.is_quiet():
                return connection
            self.drop(connection)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection on which one call and its whole reply went."""
        if not connection.clean or connection.generation != self._generation:
            self.drop(connection)
            return
        connection.used = time.monotonic()
        self._idle.append(connection)
        if self._waiting:
            with self._returned:
                self._returned.notify()

    def drop(self, connection: Connection) -> None:
        """Close a connection."""
        connection.close()
        self._release()

    def renew(self) -> None:
        """Close the idle connections now, and those in use when they come back."""
        self._generation += 1
        with contextlib.suppress(IndexError):
            while True:
                self.drop(self._idle.pop())

    def _release(self) -> None:
        with self._returned:
            self._open -= 1
            self._returned.notify()

    def _reserved(self, deadline: Deadline) -> bool:
        """Tell whether a connection may be made; if not, one was given back meanwhile."""
        with self._returned:
            if self._open < self._most:
                self._open += 1
                return True
            self._waiting += 1
            try:
                if not self._idle and not self._returned.wait(deadline.left()):
                    raise StoreUnavailable("all connections to the store stayed busy")
            finally:
                self._waiting -= 1
        return False

    def _connected(self, deadline: Deadline) -> Connection:
        generation = self._generation
        try:
            dialer = _Dialer(self._make(), self._release)
        except BaseException:
            self._release()
            raise
        connection = dialer.connected(deadline)
        stream = getattr(connection, "_sock", None)
        if isinstance(stream, socket.socket):
            return SocketConnection(connection, generation, stream)
        return Connection(connection, generation)


class _Dialer:
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
