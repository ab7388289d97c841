"""The seam between the store and its server: send one packed call, get its reply within the budget.

redis-py makes the connections (URL, authentication, TLS) and parses replies. What this module adds:
one deadline over connecting, name lookup, handshake, sending, waiting and a resend; no retry that
redis-py would do by itself; and a breaker, so that a store that hangs holds one request and not
every worker.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import Any, Final, Protocol
from weakref import WeakSet

import redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

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
        self._idle: deque[_Line] = deque()
        self._slots = threading.Semaphore(most)
        self._broken_until = 0.0
        self.trips = 0
        _callers.add(self)

    trips: int

    def call(
        self, script: Script, keys: tuple[bytes, ...], arguments: tuple[bytes, ...], budget: Budget
    ) -> Any:
        """See `Caller.call`. A call whose connection broke is sent again: the scripts allow it."""
        with budget:
            self._refuse_while_broken(budget)
            if not self._slots.acquire(timeout=budget.left()):
                raise StoreUnavailable(
                    "all connections to the store stayed busy until the deadline"
                )
            try:
                return self._attempts(script, keys, arguments, budget)
            finally:
                self._slots.release()

    def close(self) -> None:
        """Close idle connections; those in use close when their call fails, or are kept."""
        while self._idle:
            self._idle.pop().connection.disconnect()

    def forget(self) -> None:
        """Drop connections that belong to the parent process, without speaking on them."""
        self._idle.clear()
        self._slots = threading.Semaphore(self._most)

    def _attempts(
        self, script: Script, keys: tuple[bytes, ...], arguments: tuple[bytes, ...], budget: Budget
    ) -> Any:
        sent = False
        for last in (False, True):
            try:
                line = self._take(budget)
                sent = True
                reply = self._exchange(line, script, keys, arguments, budget)
            except (AuthenticationError, BusyLoadingError, ResponseError) as error:
                message = f"the store refused: {error}"
                raise StoreUnavailable(message) from error
            except (RedisError, OSError) as error:
                self.close()  # the others lead to the same server
                hung = isinstance(error, RedisTimeoutError) or budget.spent()
                if hung:
                    self._broken_until = time.monotonic() + _BREAK_SECONDS
                if not sent and (hung or last):
                    message = f"cannot reach the store: {error}"
                    raise StoreUnavailable(message) from error
                if hung or last:
                    message = f"the store did not answer: {error}"
                    raise OutcomeUnknown(message) from error
            else:
                self._broken_until = 0.0
                return reply
        raise AssertionError  # pragma: no cover (the last attempt returns or raises)

    def _exchange(
        self,
        line: _Line,
        script: Script,
        keys: tuple[bytes, ...],
        arguments: tuple[bytes, ...],
        budget: Budget,
    ) -> Any:
        try:
            reply = self._send(line, _packed(b"EVALSHA", script.sha, keys, arguments), budget)
        except NoScriptError:
            # The server was restarted or its scripts flushed: send the text, which it keeps.
            reply = self._send(line, _packed(b"EVAL", script.source, keys, arguments), budget)
        return reply

    def _send(self, line: _Line, packed: bytes, budget: Budget) -> Any:
        self.trips += 1
        connection = line.connection
        connection.send_packed_command([packed], check_health=False)
        try:
            reply = connection.read_response(disable_decoding=True, timeout=budget.left())
        except NoScriptError:
            raise  # the same connection is used again at once
        except ResponseError:
            self._idle.append(line)  # an answer like another: the connection is good
            raise
        self._idle.append(line)
        return reply

    def _take(self, budget: Budget) -> _Line:
        while True:
            try:
                line = self._idle.pop()
            except IndexError:
                return self._connected(budget)
            # A server that went away while the connection lay idle is noticed before anything is
            # sent, so that it is known that nothing happened.
            if not line.poller.poll(0):
                return line
            line.connection.disconnect()

    def _connected(self, budget: Budget) -> _Line:
        connection: Any = self._pool.make_connection()
        connection.socket_timeout = connection.socket_connect_timeout = budget.left()
        # In a thread, because a name lookup, a TLS handshake and an authentication know no common
        # deadline; the thread of an abandoned attempt ends by the timeouts set above.
        failures: list[BaseException] = []
        connector = threading.Thread(target=_connect, args=(connection, failures), daemon=True)
        connector.start()
        connector.join(budget.left())
        if connector.is_alive():
            raise RedisTimeoutError("no connection within the deadline")
        if failures:
            raise failures[0]
        return _Line(connection)

    def _refuse_while_broken(self, budget: Budget) -> None:
        if not self._broken_until:
            return
        if time.monotonic() < self._broken_until:
            raise StoreUnavailable("the store did not answer within the deadline a moment ago")
        # This request finds out whether it is back; the others are refused meanwhile.
        self._broken_until = time.monotonic() + min(_BREAK_SECONDS, budget.left())


class _Line:
    """A connection, and what tells whether it has been closed."""

    __slots__ = ("connection", "poller")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.poller = select.poll()
        self.poller.register(connection._sock, select.POLLIN)  # noqa: SLF001 (redis-py offers no cheaper look)


def pooled(url: str) -> PooledCaller:
    """Return a caller for one server.

    Args:
        url: `redis://`, `rediss://` or `unix://`, as redis-py reads it.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    try:
        pool = redis.ConnectionPool.from_url(url, protocol=2, driver_info=None)
        pool.make_connection()
    except (ValueError, TypeError, RedisError) as error:
        message = f"the store's URL {_without_password(url)!r} cannot be used: {error}"
        raise ConfigurationError(message) from error
    return PooledCaller(pool)


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
