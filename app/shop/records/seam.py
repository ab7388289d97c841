"""The seam between the shop's records and their server: one script, one answer, one deadline.

redis-py makes the connections and parses the replies. What it would repeat by itself it may not:
here a call is sent again once, and only where the connection broke. So a script must be written
such that a second run of the same call changes nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, NoScriptError, ResponseError
from redis.retry import Retry
from unsticky import OutcomeUnknown, StoreUnavailable

DEADLINE: Final = 1.0
"""Seconds for one call, sending it again included; as long as the session's own."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script as the server knows it.

    Attributes:
        source: Its text.
        sha: The SHA-1 by which the server finds it.
    """

    source: str
    sha: str


def load(*names: str) -> Script:
    """Return the script made of these files of ``lua/``, in this order, named without ``.lua``.

    A script checks everything before its first write: a server that refuses a write in the middle,
    because its memory is full, takes nothing back. It names all its keys, which share one slot, and
    keeps to what Redis 6.2 and Valkey 7.2 understand.
    """
    folder = files(__package__).joinpath("lua")
    source = "".join(folder.joinpath(f"{name}.lua").read_text(encoding="utf-8") for name in names)
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


class Seam:
    """Runs scripts at one server. Threads may share it, and processes that were forked.

    Args:
        url: Of the server, as redis-py reads it.
        deadline: Seconds that one call may take.
    """

    def __init__(self, url: str, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self._pool = redis.ConnectionPool.from_url(
            url,
            decode_responses=True,
            protocol=2,
            driver_info=None,  # two round trips at every connection, for a name nobody reads
            socket_timeout=deadline,
            socket_connect_timeout=deadline,
            retry=Retry(NoBackoff(), 0),
        )

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int] = ()) -> Any:
        """Run a script and return its reply: text, an integer, ``None``, or a list of these.

        Raises:
            StoreUnavailable: Nothing was changed; the same may be asked again.
            OutcomeUnknown: The call was sent, and its answer did not come.
        """
        until = time.monotonic() + self._deadline
        maybe_done = False
        for last in (False, True):
            try:
                connection = self._pool.get_connection()
            except redis.RedisError as error:
                raise _failure(f"cannot reach the store: {error}", maybe_done) from error
            try:
                return _answer(connection, script, keys, arguments, until)
            except (ResponseError, AuthenticationError, BusyLoadingError) as error:
                raise _failure(f"the store refused: {error}", maybe_done) from error
            except redis.RedisError as error:
                maybe_done = True
                late = isinstance(error, redis.TimeoutError) or time.monotonic() >= until
                if last or late:
                    raise _failure(f"the store did not answer: {error}", maybe_done) from error
            finally:
                self._pool.release(connection)
        raise AssertionError  # pragma: no cover (the last attempt returns or raises)

    def ask(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int] = ()) -> Any:
        """Run a script that the client may simply ask for again, and return its reply.

        Raises:
            StoreUnavailable: It is to be asked again, whether or not it was carried out.
        """
        try:
            return self.run(script, keys, arguments)
        except OutcomeUnknown as error:
            raise StoreUnavailable(str(error)) from error

    def close(self) -> None:
        """Close the connections."""
        self._pool.disconnect()


def _answer(
    connection: Any,
    script: Script,
    keys: Sequence[str],
    arguments: Sequence[str | int],
    until: float,
) -> Any:
    rest = (len(keys), *keys, *arguments)
    try:
        return _reply(connection, ("EVALSHA", script.sha, *rest), until)
    except NoScriptError:
        # The server was restarted or its scripts flushed: send the text, which it keeps.
        return _reply(connection, ("EVAL", script.source, *rest), until)


def _reply(connection: Any, command: tuple[str | int, ...], until: float) -> Any:
    connection.send_command(*command)
    return connection.read_response(timeout=max(until - time.monotonic(), 0.001))


def _failure(message: str, maybe_done: bool) -> StoreUnavailable | OutcomeUnknown:  # noqa: FBT001 (private)
    return OutcomeUnknown(message) if maybe_done else StoreUnavailable(message)
