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
"""The largest number of connections of one process."""

IDLE_LIMIT: Final = 30.0
"""Seconds after which an idle connection is not used again. Firewalls and load balancers silently
drop idle connections after 60 seconds or more."""

_CONNECT_FUNCTIONS: Final = ("redis_connect_func", "valkey_connect_func")


class Pool:
    """The connections of one process: at most `most`, with those that are being made.

    `make` returns a connection of redis-py, or of a library like it, not yet connected. An idle one
    is kept for `idle_limit` seconds. `confirm` raises if a new one leads to the wrong server.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        *,
        most: int = MOST,
        idle_limit: float = IDLE_LIMIT,
        confirm: Callable[[Any], None] | None = None,
    ) -> None:
        self._make = make
        self._confirm = confirm
        self._most = most
        self._idle_limit = idle_limit
        self.forget()

    def forget(self) -> None:
        """Forget the parent process's connections without using them."""
        self._idle: deque[Connection] = deque()
        self._open = 0
        self._waiting = 0
        self._generation = 0
        self._returned = threading.Condition()

    def take(self, deadline: Deadline) -> Connection:
        """Return a connection that works, as far as that is known without a round trip.

        Raises:
            StoreUnavailable: all connections stayed busy.
            ErrorReply: the server refused the connection.
            OSError: no connection could be made; `TimeoutError` if the deadline passed.
        """
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                if self._reserved(deadline):
                    return self._connected(deadline)
                continue
            # A connection that the server closed meanwhile is found before anything is sent, so
            # it is certain that nothing was changed. The same holds if something unasked waits.
            fresh = time.monotonic() - connection.used < self._idle_limit
            if fresh and connection.generation == self._generation and connection.is_quiet():
                return connection
            self.drop(connection)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection after a call whose whole reply was read."""
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
        """Close the idle connections now, and each one in use when it is given back."""
        self._generation += 1
        with contextlib.suppress(IndexError):
            while True:
                self.drop(self._idle.pop())

    def _release(self) -> None:
        with self._returned:
            self._open -= 1
            self._returned.notify()

    def _reserved(self, deadline: Deadline) -> bool:
        """Tell whether another connection may be made; if not, wait until one is given back."""
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
            dialer = _Dialer(self._make(), self._release, self._confirm)
        except BaseException:
            self._release()
            raise
        connection = dialer.connected(deadline)
        stream = getattr(connection, "_sock", None)
        if isinstance(stream, socket.socket):
            return SocketConnection(connection, generation, stream)
        return Connection(connection, generation)


class _Dialer:
    """Makes one connection, in a separate thread.

    Name lookup, TLS handshake and authentication have no common deadline. If the request gives up,
    the thread ends after its current step; only a name lookup can hold it longer. Until then it
    counts as a connection, so that the number of such threads is limited.
    """

    def __init__(
        self,
        connection: Any,
        release: Callable[[], None],
        confirm: Callable[[Any], None] | None,
    ) -> None:
        self._connection = connection
        self._release = release
        self._confirm = confirm
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._ended = False
        self._abandoned = False

    def connected(self, deadline: Deadline) -> Any:
        """Return the connection. For errors see `Pool.take`."""
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
            if self._confirm is not None:
                self._confirm(self._connection)
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
        """Return to RESP2 if the user's own function switched to RESP3, which sends pushes."""
        if not any(getattr(self._connection, name, None) for name in _CONNECT_FUNCTIONS):
            return
        try:
            self._connection.send_command("HELLO", 2)
            self._connection.read_response()
        except Exception as error:
            # A user without the right to call HELLO cannot have left RESP2.
            if not isinstance(understood(error), ErrorReply):
                raise

    def _abandon(self) -> None:
        self._limit(0.001)  # for the thread's later steps
        self._close()  # ends its current step
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
