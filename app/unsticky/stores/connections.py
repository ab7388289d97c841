"""The seam between the store and its server: send one packed call, get its reply within the budget.

redis-py makes the connections (URL, authentication, TLS) and parses replies. What this module adds:
one deadline over connecting, name lookup, handshake, sending, waiting and a resend; no retry that
redis-py would do by itself; and a breaker, so that a store that hangs holds one request and not
every worker.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import time
from collections import deque
from typing import Any, Final, Protocol
from weakref import WeakSet

import hiredis
import redis
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from unsticky.errors import ConfigurationError, OutcomeUnknown, StoreUnavailable

from .contract import Budget
from .scripts import Script

_BREAK_SECONDS: Final = 1.0


class Caller(Protocol):
    """Runs a script at a server; a pooled or a multiplexed client, or a Cluster, stands behind."""

    trips: int

    def call(
        self, script: Script, keys: tuple[bytes, ...], arguments: tuple[bytes, ...], budget: Budget
    ) -> Any:
        """Return the script's reply.

        Raises:
            StoreUnavailable: nothing was changed.
            OutcomeUnknown: the call was sent and the answer did not come.
        """

    def close(self) -> None:
        """Close idle connections."""


class PooledCaller:
    """A few connections, each used by one call at a time; made when needed, kept while good."""

    def __init__(self, pool: redis.ConnectionPool, *, most: int = 64) -> None:
        self._pool = pool
        self._most = most
        self._broken_until = 0.0
        self.trips = 0
        self.forget()
        _callers.add(self)

    def call(
        self, script: Script, keys: tuple[bytes, ...], arguments: tuple[bytes, ...], budget: Budget
    ) -> Any:
        """See `Caller.call`. A call whose connection broke is sent again: the scripts allow it."""
        with budget:
            if budget.spent():
                raise StoreUnavailable("this request has used up its time for the store")
            if self._broken_until:
                self._refuse_while_broken(budget)
            # Only a call that could wait long tells that it is the store that hangs.
            telling = budget.left() > budget.total / 2
            maybe_done = False
            for last in (False, True):
                try:
                    return self._attempt(script, keys, arguments, budget)
                except StoreUnavailable as refused:
                    if not maybe_done:
                        raise
                    message = (
                        f"the store's first answer was lost; the call was sent again: {refused}"
                    )
                    raise OutcomeUnknown(message) from refused
                except _Broken as broken:
                    maybe_done = maybe_done or broken.sent
                    if broken.hung and telling:
                        self._broken_until = time.monotonic() + _BREAK_SECONDS
                    if last or broken.hung:
                        raise broken.outcome(maybe_done=maybe_done) from broken
            raise AssertionError  # pragma: no cover (the last attempt returns or raises)

    def close(self) -> None:
        """Close idle connections; those in use close when their call fails, or are kept."""
        while self._idle:
            self._discard(self._idle.pop())

    def forget(self) -> None:
        """Drop connections that belong to the parent process, without speaking on them."""
        self._idle: deque[_Line] = deque()
        self._open = 0
        self._waiting = 0
        self._returned = threading.Condition()

    def _attempt(
        self, script: Script, keys: tuple[bytes, ...], arguments: tuple[bytes, ...], budget: Budget
    ) -> Any:
        """Send the call and return its reply.

        Raises:
            StoreUnavailable: the server refused; this attempt changed nothing.
            _Broken: there was no connection, or no answer on it.
        """
        line = None
        try:
            line = self._take(budget)
            reply = self._exchange(line, script, keys, arguments, budget)
        except (AuthenticationError, hiredis.ReplyError) as error:
            if line is not None:
                self._give_back(line)  # an answer like another: the connection is good
            message = f"the store refused: {error}"
            raise StoreUnavailable(message) from error
        except (hiredis.HiredisError, RedisError, OSError) as error:
            if line is not None:
                self._discard(line)
            self.close()  # the others lead to the same server
            hung = isinstance(error, (RedisTimeoutError, TimeoutError)) or budget.spent()
            reason = str(error) or type(error).__name__
            raise _Broken(reason, sent=line is not None, hung=hung) from error
        except BaseException:
            # Ended from outside, as by a worker's timeout: an answer may still be under way.
            if line is not None:
                self._discard(line)
            raise
        self._give_back(line)
        self._broken_until = 0.0
        return reply

    def _exchange(
        self,
        line: _Line,
        script: Script,
        keys: tuple[bytes, ...],
        arguments: tuple[bytes, ...],
        budget: Budget,
    ) -> Any:
        self.trips += 1
        packed = _packed(b"EVALSHA", script.sha, keys, arguments)
        reply = line.exchange(packed, budget)
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            # The server was restarted or its scripts flushed: send the text, which it keeps.
            self.trips += 1
            packed = _packed(b"EVAL", script.source, keys, arguments)
            reply = line.exchange(packed, budget)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def _take(self, budget: Budget) -> _Line:
        while True:
            try:
                line = self._idle.pop()
            except IndexError:
                if self._open < self._most:
                    return self._connected(budget)
                self._wait(budget)
                continue
            # A server that went away while the connection lay idle is noticed before anything is
            # sent, so that it is known that nothing happened.
            if line.is_quiet():
                return line
            self._discard(line)

    def _wait(self, budget: Budget) -> None:
        with self._returned:
            self._waiting += 1
            try:
                free = self._idle or self._open < self._most
                if not free and not self._returned.wait(budget.left()):
                    raise StoreUnavailable("all connections to the store stayed busy")
            finally:
                self._waiting -= 1

    def _give_back(self, line: _Line) -> None:
        self._idle.append(line)
        if self._waiting:
            with self._returned:
                self._returned.notify()

    def _discard(self, line: _Line) -> None:
        self._open -= 1
        line.close()
        if self._waiting:
            with self._returned:
                self._returned.notify()

    def _connected(self, budget: Budget) -> _Line:
        connection = _made(self._pool)
        connection.socket_timeout = connection.socket_connect_timeout = budget.left()
        # In a thread, because a name lookup, a TLS handshake and an authentication know no common
        # deadline; the thread of an abandoned attempt ends by the timeouts set above.
        failures: list[BaseException] = []
        connector = threading.Thread(target=_connect, args=(connection, failures), daemon=True)
        try:
            connector.start()
        except RuntimeError as error:
            message = f"no thread to connect with: {error}"
            raise StoreUnavailable(message) from error
        connector.join(budget.left())
        if connector.is_alive():
            raise RedisTimeoutError("no connection within the deadline")
        if failures:
            raise failures[0]
        self._open += 1
        return _Line(connection)

    def _refuse_while_broken(self, budget: Budget) -> None:
        if time.monotonic() < self._broken_until:
            raise StoreUnavailable("the store did not answer within the deadline a moment ago")
        # This request finds out whether it is back; the others are refused meanwhile.
        self._broken_until = time.monotonic() + min(_BREAK_SECONDS, budget.left())


class _Broken(Exception):
    """There was no connection, or no answer on it.

    Attributes:
        sent: the call may have reached the server.
        hung: the time was up, rather than that the connection broke.
    """

    def __init__(self, reason: str, *, sent: bool, hung: bool) -> None:
        super().__init__(reason)
        self.sent = sent
        self.hung = hung

    def outcome(self, *, maybe_done: bool) -> StoreUnavailable | OutcomeUnknown:
        """Return the error for the caller; `maybe_done` if any attempt was sent."""
        if maybe_done:
            return OutcomeUnknown(f"the store did not answer: {self}")
        return StoreUnavailable(f"cannot reach the store: {self}")


class _Line:
    """A connection that redis-py made, and one call at a time on it.

    The socket and the parser are used directly: redis-py's own way around them costs more than
    the call itself, and it is on every request's path.
    """

    __slots__ = ("_connection", "_poller", "_reader", "_socket", "_timeout")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._socket: socket.socket = connection._sock  # noqa: SLF001 (see the class)
        self._reader = hiredis.Reader(notEnoughData=_UNFINISHED)
        self._poller = _own_poll()
        self._poller.register(self._socket, select.POLLIN)
        self._timeout = -1.0

    def is_quiet(self) -> bool:
        """Tell whether the server neither closed the connection nor said anything unasked."""
        return not self._poller.poll(0)

    def exchange(self, packed: bytes, budget: Budget) -> Any:
        """Send one packed call and return its reply; an error reply is returned, not raised.

        Raises:
            TimeoutError: it took longer than the budget.
            OSError: the connection broke.
            hiredis.ProtocolError: what came is no reply.
        """
        self._wait_at_most(budget.left())
        self._socket.sendall(packed)
        reader = self._reader
        while True:
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            reader.feed(data)
            reply = reader.gets()
            if reply is not _UNFINISHED:
                return reply
            if budget.spent():
                raise TimeoutError("the reply did not end within the deadline")
            self._wait_at_most(budget.left())

    def _wait_at_most(self, seconds: float) -> None:
        # Setting a timeout is a system call: one that is right to 5 % is not set again.
        if not self._timeout * 0.95 <= seconds <= self._timeout * 1.05:
            self._timeout = seconds
            self._socket.settimeout(seconds)

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()


_UNFINISHED: Final = object()


def _own_poll() -> select.poll:
    """Return the system's poll, also where gevent put its own in its place.

    Asked what is known at once, gevent's goes through its loop: 23 µs instead of 0.4, on every
    call's path.
    """
    if "gevent.monkey" not in sys.modules:
        return select.poll()
    original: type[select.poll] = sys.modules["gevent.monkey"].get_original("select", "poll")
    return original()


def pooled(url: str) -> PooledCaller:
    """Return a caller for one server.

    Args:
        url: `redis://`, `rediss://` or `unix://`, as redis-py reads it.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    try:
        pool = redis.ConnectionPool.from_url(url, protocol=2, driver_info=None)
        _made(pool)
    except (ValueError, TypeError, RedisError) as error:
        message = f"the store's URL {_without_password(url)!r} cannot be used: {error}"
        raise ConfigurationError(message) from error
    return PooledCaller(pool)


def _made(pool: redis.ConnectionPool) -> Any:
    """Return a connection that the pool does not count: it would never learn that it was closed."""
    return pool.connection_class(**pool.connection_kwargs)


def _connect(connection: Any, outcome: list[BaseException]) -> None:
    try:
        connection.connect()
    except BaseException as error:  # noqa: BLE001 (handed to the waiting request)
        outcome.append(error)


def _packed(
    command: bytes, script: bytes, keys: tuple[bytes, ...], arguments: tuple[bytes, ...]
) -> bytes:
    """Return the call in the server's protocol, packed by hand: it is on every request's path."""
    parts = (command, script, b"%d" % len(keys), *keys, *arguments)
    return b"*%d\r\n%b" % (
        len(parts),
        b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]),
    )


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]


_callers: WeakSet[PooledCaller] = WeakSet()


def _after_fork() -> None:
    for caller in list(_callers):
        caller.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
