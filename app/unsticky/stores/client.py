"""A client of a server that speaks Redis' protocol: one call, one reply, one deadline.

What it adds to redis-py: one deadline over name lookup, connecting, handshake, sending, waiting and
a second attempt; no other retries; no reply taken for the reply to another call; another connection
if the server is no longer the right one; and a circuit breaker, so that a store that hangs holds
one request and not every worker.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakSet

from ..errors import OutcomeUnknown, StoreUnavailable
from .base import Deadline, Wait
from .breaker import Breaker, require_time
from .connection import Connection
from .pool import Pool
from .replies import ErrorReply, packed, pieces
from .sentinel import Primary
from .tracing import Traced, script_names

Part: TypeAlias = bytes | str | int | float
"""A part of a command."""

T = TypeVar("T")

_PAUSE: Final = 0.1
"""How long to wait before a fail-over is looked for again (seconds)."""

_WRONG_SERVER: Final = {
    "READONLY": "a replica: another server has become the primary",
    "MASTERDOWN": "a replica that lost its primary",
    "NOREPLICAS": "a primary that its replicas left, perhaps for another one",
    "UNBLOCKED": "it became a replica while the call waited",
    "MOVED": "a node of a cluster that no longer holds these keys",
    "LOADING": "it was just restarted; another one may have taken its place",
    "NOAUTH": "not the server that this connection logged in to: a proxy changed it",
    "MAXCLIENTS": "it is full and closes the connection; another address may not be full",
    "DENIED": "it accepts no connections from here, and closes this one",
}
"""Error codes that mean "not here" or "no longer here". Nothing was changed. All connections are
dropped, the address is looked up again, and the call is sent once more.

All other errors come from the right server, and the connection stays: OOM (full), MISCONF (cannot
write its files), BUSY (a script runs), NOPERM and WRONGPASS (the user's rights), CLUSTERDOWN, ASK,
TRYAGAIN and CROSSSLOT (a cluster, which has its own client), ERR (the script's own).
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script that runs at the server as one atomic step.

    Make it once and call it often (`Client.call`): the server keeps its text, and a call sends only
    its SHA-1. `KEYS` and `ARGV` are what the call gives; the script ends with `return`.

    Attributes:
        named: EVALSHA and the script's name, as the first parts of a packed command.
        whole: EVAL and its text, for a server that does not know the name.
    """

    named: bytes
    whole: bytes

    @classmethod
    def from_text(cls, text: str, name: str = "") -> Script:
        """Return the script with this text; traces show its name, if it has one."""
        # A call adds one argument, which comes back after the reply: see `Connection.run`.
        whole = (
            "local mark = table.remove(ARGV)\nlocal function reply()\n"
            f"{text}\nend\nreturn {{reply(), mark}}"
        ).encode()
        sha = sha1(whole, usedforsecurity=False).hexdigest().encode()
        if name:
            script_names[sha] = name
        return cls(pieces((b"EVALSHA", sha)), pieces((b"EVAL", whole)))

    @classmethod
    def from_file(cls, path: Path) -> Script:
        """Return the script in a file.

        Each line `include 'name'` is replaced by the text of `name.lua` in the same folder.
        """
        return cls.from_text(_included(path), path.stem)


def _included(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return re.sub(
        r"(?m)^ *include '(\w+)'$",
        lambda found: _included(path.parent / f"{found[1]}.lua"),
        text,
    )


class Client:
    """A client of one server. Threads may share it; so may forked processes.

    `client_from_url` and `client_like` make one. The sessions' own is `RedisStore.client`.

    Attributes:
        address: the server's address for logs, without secrets.
        sent: how many calls this process has sent here.
        wrong_server: error codes after which all connections are dropped.
    """

    wrong_server: Mapping[str, str] = _WRONG_SERVER

    def __init__(self, pool: Pool, address: str, *, primary: Primary | None = None) -> None:
        self._pool = pool
        self._breaker = Breaker()
        self._primary = primary
        if primary is not None:
            primary.moved = self._begin_at_another
        # Whether a request waited for another primary in vain, so that no other one waits.
        self._is_away = False
        self.address = address
        self.sent = 0
        _clients.add(self)

    @property
    def round_trips(self) -> int:
        """How many calls this process has sent."""
        return self.sent

    def call(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes], deadline: Deadline
    ) -> Any:
        """Run a script and return its reply: bytes, integers, None, or lists of these.

        If the connection breaks, the call is sent a second time, so a script must have the same
        effect if it runs twice.

        Args:
            script: what to run.
            keys: all keys that the script uses.
            arguments: its other arguments.
            deadline: the time left, which the call uses up.

        Raises:
            StoreUnavailable: nothing was changed.
            OutcomeUnknown: the call was sent and no reply came.
        """
        return self._answered(
            self._exchange(
                script, keys, arguments, lambda connection, sent: connection.run(sent, deadline)
            ),
            deadline,
            keys[0] if keys else b"",
        )

    def call_and_wait(
        self,
        script: Script,
        keys: Sequence[bytes],
        arguments: Sequence[bytes],
        deadline: Deadline,
        wait: Wait,
    ) -> tuple[Any, int]:
        """Run a script, and wait until replicas have what it changed, in one round trip.

        Return its reply and the number of these replicas: if they are too few, the change may be
        lost in a fail-over. They count only if the script wrote something, because Valkey waits for
        what this connection wrote. For the rest see `call`.

        Raises:
            OutcomeUnknown: also if the script ran and the server refused to wait.
        """

        def run(connection: Connection, sent: bytes) -> Any:
            # At most half of the time left: missing replicas are not a server that hangs.
            most = min(wait.milliseconds, int(deadline.left() * 500))
            waits = packed(b"WAIT", b"%d" % wait.replicas, b"%d" % max(most, 1))
            answer = connection.run_and_wait(sent, waits, deadline)
            if isinstance(answer, tuple) and isinstance(answer[1], ErrorReply):
                if answer[1].code in self.wrong_server:  # it became one while the call waited
                    raise ConnectionAbortedError(str(answer[1]))
                raise OutcomeUnknown(f"the store refused to wait for replicas: {answer[1]}")
            return answer

        reply, replicas = self._answered(
            self._exchange(script, keys, arguments, run), deadline, keys[0] if keys else b""
        )
        if replicas < wait.replicas and self._primary is not None:
            self._primary.doubt()  # they may have gone to another one
        return reply, replicas

    def ask(self, deadline: Deadline, *command: Part) -> Any:
        """Run one command and return its reply. See `ask_all`."""
        return self.ask_all(deadline, (command,))[0]

    def ask_all(self, deadline: Deadline, commands: Sequence[Sequence[Part]]) -> list[Any]:
        """Run commands in one round trip and return their replies, in order.

        If the connection breaks, all are sent a second time, so they must have the same effect if
        they run twice. They are not a transaction: other clients' commands may run between them.

        Args:
            deadline: the time left, which the call uses up.
            commands: each a sequence of parts, such as `("HSET", key, "field", 5)`.

        Raises:
            StoreUnavailable: nothing was changed.
            OutcomeUnknown: they were sent and no reply came, or the server refused some of them.
        """
        if not commands:
            return []
        sent = b"".join([packed(*map(encoded, command)) for command in commands])

        def exchange(connection: Connection) -> list[Any]:
            replies = connection.ask(sent, len(commands), deadline)
            refusals = [reply for reply in replies if isinstance(reply, ErrorReply)]
            if not refusals:
                return replies
            if len(refusals) == len(replies):
                raise refusals[0]
            if refusals[0].code in self.wrong_server:  # it became one between two commands
                raise ConnectionAbortedError(str(refusals[0]))
            raise OutcomeUnknown(f"the store refused a part of the commands: {refusals[0]}")

        return self._answered(exchange, deadline)

    def replies(
        self, commands: Sequence[bytes], key: bytes, deadline: Deadline, name: str
    ) -> list[Any]:
        """Send packed commands about one key in one write; return the replies, errors among them.

        Like those of `ask_all`, they must have the same effect if they run twice. An error in place
        of the first reply is the server's answer to all, except that the key is of another type.

        Args:
            commands: each packed (`replies.packed`).
            key: the one that they use.
            deadline: the time left, which the call uses up.
            name: of the round trip, in traces.

        Raises:
            StoreUnavailable: nothing was changed.
            OutcomeUnknown: they were sent and no reply came.
        """

        def exchange(connection: Connection) -> list[Any]:
            replies = connection.ask_each(commands, deadline, name)
            if isinstance(replies[0], ErrorReply) and replies[0].code != "WRONGTYPE":
                raise replies[0]
            return replies

        return self._answered(exchange, deadline, key)

    def close(self) -> None:
        """Close all connections, those in use after their call. A later call opens a new one."""
        self._pool.renew()

    def forget(self) -> None:
        """Drop connections that belong to the parent process, without speaking on them."""
        self._pool.forget()
        if self._primary is not None:
            self._primary.forget()

    def _exchange(
        self,
        script: Script,
        keys: Sequence[bytes],
        arguments: Sequence[bytes],
        run: Callable[[Connection, bytes], Any],
    ) -> Callable[[Connection], Any]:
        """Return what calls a script on a connection: `run` sends it without its mark."""
        rest = pieces((b"%d" % len(keys), *keys, *arguments))
        count = 4 + len(keys) + len(arguments)  # with the mark, which `Connection.run` adds

        def exchange(connection: Connection) -> Any:
            reply = run(connection, b"*%d\r\n%b%b" % (count, script.named, rest))
            if isinstance(reply, ErrorReply):
                if reply.code != "NOSCRIPT":
                    raise reply
                # The server was restarted or its scripts flushed: send the text, which it keeps.
                self.sent += 1
                reply = run(connection, b"*%d\r\n%b%b" % (count, script.whole, rest))
                if isinstance(reply, ErrorReply):
                    raise reply
            return reply

        return exchange

    def _answered(
        self, exchange: Callable[[Connection], T], deadline: Deadline, key: bytes = b""
    ) -> T:
        """Return what `exchange` returns; `key` is one that it uses, to find the server by."""
        del key
        with deadline:
            require_time(deadline)
            if self._primary is not None:
                if self._breaker.until:
                    self._primary.doubt()  # another one may replace the server that hung
                self._primary.look()
            self.admit(deadline)
            maybe_done, first = False, None
            while True:
                try:
                    return self.attempt(exchange, deadline)
                except StoreUnavailable as error:  # there was no connection to send the call on
                    raise Failed(str(error)).outcome(maybe_done=maybe_done) from error
                except Failed as failed:
                    maybe_done = maybe_done or failed.sent
                    first = first or failed
                    in_vain = self._primary and self._is_away and not failed.sent
                    again = failed is first and not in_vain
                    is_last = not again and not self._may_move(failed, deadline)
                    if is_last or not failed.again:
                        self._is_away = self._is_away or failed is not first
                        # That the time ran out then is not why.
                        told = first if failed.hung and not failed.sent else failed
                        raise told.outcome(maybe_done=maybe_done) from failed

    def _may_move(self, failed: Failed, deadline: Deadline) -> bool:
        """Pause, and tell whether another server may have taken over; only if nothing was sent."""
        if self._primary is None or self._is_away or failed.sent or deadline.left() < 2 * _PAUSE:
            return False
        time.sleep(_PAUSE)
        return True

    def _begin_at_another(self) -> None:
        """Drop all connections, and forget that the former server hung."""
        self._pool.renew()
        self._breaker.answered()

    def admit(self, deadline: Deadline) -> None:
        """Refuse a call while the server is known to hang.

        Raises:
            StoreUnavailable: a call hung a moment ago.
        """
        self._breaker.admit(deadline)

    def attempt(self, exchange: Callable[[Connection], T], deadline: Deadline) -> T:
        """Send a call once, during which the deadline runs.

        Raises:
            StoreUnavailable: there was no connection to send the call on.
            Failed: see there.
        """
        connection = None
        try:
            connection = self._pool.take(deadline)
            self.sent += 1
            answer = exchange(connection if Traced.tracer is None else Traced(connection))
        except ErrorReply as error:
            again = error.code in self.wrong_server and not deadline.passed()
            if error.code in self.wrong_server:
                self._pool.renew()
            if connection is not None:
                self._pool.give_back(connection)
            raise Failed(f"the store refused: {error}", again=again, refusal=error) from error
        except OSError as error:
            if connection is not None:
                self._pool.drop(connection)
            self._pool.renew()  # all others lead to the same server
            hung = isinstance(error, TimeoutError) or deadline.passed()
            if hung:
                self._breaker.hung(deadline)
            what = "cannot reach the store" if connection is None else "the store did not answer"
            reason = f"{what}: {str(error) or type(error).__name__}"
            raise Failed(reason, sent=connection is not None, again=not hung, hung=hung) from error
        except BaseException:
            # Something else ended the call, such as a worker's timeout: a reply may still come.
            if connection is not None:
                self._pool.drop(connection)
            raise
        self._pool.give_back(connection)
        if self._breaker.until and self._primary is not None:
            self._primary.doubt()  # while it hung, another one may have replaced it
        self._breaker.answered()
        self._is_away = False
        return answer


@dataclass(eq=False)
class Failed(Exception):
    """An attempt was refused, or found no connection, or got no reply.

    Attributes:
        sent: the call may have been carried out.
        again: another attempt may succeed.
        hung: the time ran out; the connection did not break.
        refusal: the error that the server replied with.
    """

    reason: str
    sent: bool = False
    again: bool = False
    hung: bool = False
    refusal: ErrorReply | None = None

    def outcome(self, *, maybe_done: bool) -> StoreUnavailable | OutcomeUnknown:
        """Return the error for the caller; `maybe_done` if any attempt was sent."""
        error: StoreUnavailable | OutcomeUnknown
        if not maybe_done:
            error = StoreUnavailable(self.reason)
        elif self.sent:
            error = OutcomeUnknown(self.reason)
        else:
            error = OutcomeUnknown(f"the first answer was lost, and then: {self.reason}")
        error.cause = "timeout" if self.hung else ""
        return error


def encoded(part: Part) -> bytes:
    """Return a part of a command as bytes."""
    return part if isinstance(part, bytes) else str(part).encode()


_clients: WeakSet[Client] = WeakSet()


def _after_fork() -> None:
    for client in list(_clients):
        client.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
