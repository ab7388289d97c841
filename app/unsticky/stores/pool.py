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
from .connection import Connection, SocketConnection
from .dialer import Dialer

MOST: Final = 64
"""Connections of one process at most."""

IDLE_LIMIT: Final = 30.0
"""Seconds after which an unused connection is not trusted: firewalls and load balancers that drop
connections without a word do so after 60 seconds and more."""


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
            connecting = Dialer(self._make(), self._release)
        except BaseException:
            self._release()
            raise
        connection = connecting.connected(deadline)
        stream = getattr(connection, "_sock", None)
        if isinstance(stream, socket.socket):
            return SocketConnection(connection, generation, stream)
        return Connection(connection, generation)
