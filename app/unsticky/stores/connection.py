"""One connection, with one call at a time on it: its own reply, within the deadline."""

from __future__ import annotations

import contextlib
import secrets
import select
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from .base import Deadline
from .replies import UNFINISHED, ErrorReply, NotAReply, reader

_AT_THE_DOOR: Final = {"MAXCLIENTS", "DENIED"}
"""Errors that a server sends on a connection which it closes at once, before it reads a command."""

_PING: Final = b"*2\r\n$4\r\nPING\r\n$16\r\n%b\r\n"
_ECHO: Final = b"*2\r\n$4\r\nECHO\r\n$16\r\n%b\r\n"
_FOREIGN: Final = "what came is no reply to what was sent"


class Connection:
    """A connection, used through the public functions of the library that made it.

    It is for connections without a socket, such as fakeredis'. It does not keep the deadline while
    it reads a reply.

    Attributes:
        generation: the pool's generation in which it was made.
        used: when its last call ended, on the monotonic clock.
        clean: whether nothing came after the replies to its last call.
    """

    __slots__ = ("_connection", "_count", "_has_more", "clean", "generation", "used")

    def __init__(self, connection: Any, generation: int) -> None:
        self._connection = connection
        self._count = secrets.randbits(127)
        # Whether more came than the replies that were returned.
        self._has_more: Callable[[], bool] = bool
        self.generation = generation
        self.used = 0.0
        self.clean = True

    def run(self, command: bytes, deadline: Deadline) -> Any:
        """Send a packed script call without its last argument, and return the script's reply.

        The last argument is a mark that was never used before; the script returns it after its
        reply (see `Script.from_text`). Only a reply with this mark is the reply to this call. RESP
        does not number replies, so without the mark one reply too many would give each visitor the
        session of the visitor before. An error of the server itself has no mark; then a PING with a
        mark shows whether the error was the reply. Error replies are returned, not raised.

        The number of parts in the packed call includes the mark.

        Raises:
            ErrorReply: the server closed the connection before it read a command.
            TimeoutError: the call took longer than the deadline.
            OSError: the connection broke, or what came is no reply to this call.
        """
        self._count += 1
        mark = self._count.to_bytes(16, "big")
        reply = self._exchanged(b"%b$16\r\n%b\r\n" % (command, mark), deadline)
        if type(reply) is list and len(reply) == 2 and reply[1] == mark:
            self.clean = not self._has_more()
            return reply[0]
        self.clean = False
        if not isinstance(reply, ErrorReply) or self._has_more():
            raise NotAReply(_FOREIGN)
        mark = self._new_mark()
        try:
            closing = self._exchanged(_PING % mark, deadline)
        except OSError:
            if reply.code in _AT_THE_DOOR:
                raise reply from None
            raise
        self._check([reply], closing, mark, deadline)
        return reply

    def run_and_wait(self, command: bytes, wait: bytes, deadline: Deadline) -> Any:
        """Send a script call as `run` does, and WAIT, packed, in the same write.

        Return the script's reply and that of WAIT, or only the error if the script did not run. For
        the errors that are raised see `run`.
        """
        mark = self._new_mark()
        reply, replicas = self.ask(b"%b$16\r\n%b\r\n%b" % (command, mark, wait), 2, deadline)
        if isinstance(reply, ErrorReply):
            return reply
        if type(reply) is not list or reply[1:] != [mark]:
            self.clean = False
            raise NotAReply(_FOREIGN)
        return reply[0], replicas

    def ask(self, commands: bytes, count: int, deadline: Deadline, name: str = "") -> list[Any]:
        """Send `count` commands (`replies.packed`) and a PING with a mark; return their replies.

        For the mark and the errors see `run`. Traces show the name, by default that of the command.
        """
        del name
        mark = self._new_mark()
        *replies, closing = self.ask_once(commands + _PING % mark, count + 1, deadline)
        self._check(replies, closing, mark, deadline)
        return replies

    def ask_each(self, commands: Sequence[bytes], deadline: Deadline, name: str) -> list[Any]:
        """Do the same with commands that are packed one by one."""
        return self.ask(b"".join(commands), len(commands), deadline, name)

    def ask_once(self, commands: bytes, count: int, deadline: Deadline) -> list[Any]:
        """Do the same without a mark, on a connection that is used for nothing else.

        A Sentinel of Redis 6.2 knows no command that would return one.
        """
        replies = [self._exchanged(commands, deadline)]
        try:
            while len(replies) < count:
                replies.append(self._received(deadline))
        except OSError:
            if isinstance(replies[0], ErrorReply) and replies[0].code in _AT_THE_DOOR:
                raise replies[0] from None
            raise
        return replies

    @property
    def server(self) -> tuple[str, int | None]:
        """The server's host and port, or the path of its socket."""
        made = self._connection
        host: str = getattr(made, "host", None) or getattr(made, "path", None) or ""
        return host, getattr(made, "port", None)

    def is_quiet(self) -> bool:
        """Tell whether the connection is open and nothing waits on it that was not asked for."""
        try:
            return not self._connection.can_read(0)
        except Exception:  # noqa: BLE001 (each library has its own, and all mean the same)
            return False

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(Exception):
            self._connection.disconnect()

    def _new_mark(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(16, "big")

    def _check(self, replies: list[Any], closing: Any, mark: bytes, deadline: Deadline) -> None:
        """Raise unless `closing` is the reply to the PING that was sent with `mark`."""
        if isinstance(closing, ErrorReply) and closing.code == "MISCONF" and not self._has_more():
            # A server that cannot write its files refuses each write, and PING, but not ECHO.
            mark = self._new_mark()
            answer = self._exchanged(_ECHO % mark, deadline)
            closing = closing if isinstance(answer, ErrorReply) else answer
        self.clean = closing == mark and not self._has_more()
        if closing == mark:
            return
        if not isinstance(closing, ErrorReply):
            raise NotAReply(_FOREIGN)
        # A server that is loading, or wants a login, refuses the PING for the same reason. It does
        # not refuse WAIT for each of them.
        codes = [reply.code for reply in replies if isinstance(reply, ErrorReply)]
        if closing.code not in codes:
            raise NotAReply(f"PING, which must follow each call, was answered with: {closing}")

    def _exchanged(self, data: bytes, deadline: Deadline) -> Any:
        try:
            self._connection.send_packed_command([data])
        except Exception as error:
            raise understood(error) from error
        return self._received(deadline)

    def _received(self, deadline: Deadline) -> Any:
        del deadline
        try:
            reply = self._connection.read_response(disable_decoding=True)
        except Exception as error:
            if (refusal := _refusal(error)) is not None:
                return refusal
            raise understood(error) from error
        if type(reply) is list and reply and isinstance(reply[0], Exception):
            reply[0] = _refusal(reply[0]) or reply[0]
        return reply


class SocketConnection(Connection):
    """A connection whose socket is used directly.

    redis-py's own functions cost more time than the call itself. They have a timeout for each piece
    of a reply, but no deadline for all of it.
    """

    __slots__ = ("_poller", "_reader", "_socket", "_timeout")

    def __init__(self, connection: Any, generation: int, stream: socket.socket) -> None:
        super().__init__(connection, generation)
        self._socket = stream
        self._reader = reader()
        self._has_more = self._reader.has_data
        self._poller = _own_poll()
        self._poller.register(stream, select.POLLIN)
        self._timeout = -1.0

    def is_quiet(self) -> bool:
        """See `Connection.is_quiet`."""
        return not self._poller.poll(0)

    def _exchanged(self, data: bytes, deadline: Deadline) -> Any:
        seconds = deadline.left()
        # Setting a timeout is a system call: a timeout that is right to 5 % stays.
        if not self._timeout * 0.95 <= seconds <= self._timeout * 1.05:
            self._wait_at_most(seconds)
        self._socket.sendall(data)
        return self._awaited(deadline)

    def _received(self, deadline: Deadline) -> Any:
        reply = self._reader.gets()
        return self._awaited(deadline, late=True) if reply is UNFINISHED else reply

    def _awaited(self, deadline: Deadline, *, late: bool = False) -> Any:
        """Wait for the next reply and return it; `late` if the deadline may have passed."""
        while True:
            if late:
                if deadline.passed():
                    raise TimeoutError("the reply did not end within the deadline")
                self._wait_at_most(deadline.left())
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._reader.feed(data)
            if (reply := self._reader.gets()) is not UNFINISHED:
                return reply
            late = True

    def _wait_at_most(self, seconds: float) -> None:
        self._timeout = seconds
        self._socket.settimeout(seconds)


def _refusal(error: Exception) -> ErrorReply | None:
    """Return the error reply that a library like redis-py raised, None for another failure."""
    names = [kind.__name__ for kind in type(error).__mro__]
    if "ResponseError" not in names:
        return None
    return ErrorReply(f"NOSCRIPT {error}" if "NoScriptError" in names else str(error))


def _own_poll() -> select.poll:
    """Return the system's poll, even if gevent has replaced it.

    gevent's runs its loop even if the result is known at once: 23 µs instead of 0.4, in every call.
    """
    if "gevent.monkey" not in sys.modules:
        return select.poll()
    original: type[select.poll] = sys.modules["gevent.monkey"].get_original("select", "poll")
    return original()


def understood(failure: BaseException) -> Exception:
    """Translate a failure of a library like redis-py, each of which has its own exceptions.

    The text of the failure is repeated only if it cannot hold a secret.
    """
    names = {kind.__name__ for kind in type(failure).__mro__}
    if "AuthenticationError" in names or "ResponseError" in names:
        return ErrorReply(*failure.args[:1])
    if "TimeoutError" in names:
        return TimeoutError(str(failure))
    if "ConnectionError" in names or isinstance(failure, OSError):
        return ConnectionError(str(ErrorReply(str(failure))) or type(failure).__name__)
    return ConnectionError(f"{type(failure).__qualname__} while connecting")
