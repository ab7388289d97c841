"""What the shop keeps beside its sessions: a small port over the session library's store client.

Each record lies under one key, `shop:{<digest of its owner>}:<kind>`. Orders, accounts and stored
answers are written so that writing them twice is the same as writing them once.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from unsticky import OutcomeUnknown, StoreUnavailable
from unsticky.stores import Deadline, Part, Script, Wait, client_from_url

DEADLINE: Final = 1.0
"""Seconds that one call may take, connecting and sending it again included."""


class Store:
    """The store. Threads may share it, and processes that were forked.

    Args:
        url: As `UNSTICKY_STORE` takes it.
        wait: On how many of the store's replicas an order or a password must be.
    """

    def __init__(self, url: str, wait: Wait | None = None) -> None:
        self._client, self._wait = client_from_url(url), wait

    def ask(self, *command: Part) -> Any:
        """Run one command and return its reply; see `ask_all`."""
        return self.ask_all(command)[0]

    def ask_all(self, *commands: Sequence[Part]) -> list[Any]:
        """Run commands in one round trip and return their replies: bytes, integers, None, lists.

        They must have the same effect if they run twice, because they are sent again if the
        connection breaks. Other clients' commands may run between them.

        Raises:
            StoreUnavailable: Whether they ran is not known; they may be sent again.
        """
        try:
            return self._client.ask_all(Deadline(DEADLINE), commands)
        except OutcomeUnknown as error:
            raise StoreUnavailable(str(error)) from error

    def keep(self, *commands: Sequence[Part]) -> list[Any]:
        """Do the same, and wait until replicas have what the commands changed.

        Raises:
            StoreUnavailable: Also if too few of them have it.
        """
        if self._wait is None:
            return self.ask_all(*commands)
        wait = ("WAIT", str(self._wait.replicas), str(self._wait.milliseconds))
        *replies, copies = self.ask_all(*commands, wait)
        if copies < self._wait.replicas:
            raise StoreUnavailable("too few replicas of the store have what was written")
        return replies

    def hashes(self, *names: str) -> list[dict[bytes, bytes]]:
        """Return hashes, in one round trip; one that does not exist is empty.

        Raises:
            StoreUnavailable: They cannot be read.
        """
        # HDEL of nothing: a server that is no longer the primary refuses it, where a plain read
        # would answer from the past.
        pairs = ((("HDEL", name, ""), ("HGETALL", name)) for name in names)
        replies = self.ask_all(*(command for pair in pairs for command in pair))[1::2]
        return [dict(zip(reply[::2], reply[1::2], strict=True)) for reply in replies]

    def run(
        self, program: Script, name: str, *arguments: str | int, repeatable: bool = False
    ) -> Any:
        """Run a script on one key, atomically, and return its reply.

        Replicas need not have what a `repeatable` one changed.

        Raises:
            StoreUnavailable: It did not run; or it may have run, and is `repeatable`.
            OutcomeUnknown: It may have run, or too few replicas have what it changed.
        """
        keys, values = [name.encode()], [str(argument).encode() for argument in arguments]
        deadline = Deadline(DEADLINE)
        if not repeatable and self._wait is not None:
            reply, copies = self._client.call_and_wait(program, keys, values, deadline, self._wait)
            if copies < self._wait.replicas:
                raise OutcomeUnknown("too few replicas of the store have what was written")
            return reply
        try:
            return self._client.call(program, keys, values, deadline)
        except OutcomeUnknown as error:
            if repeatable:
                raise StoreUnavailable(str(error)) from error
            raise

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._client.close()


def digest(*parts: str) -> str:
    """Return 128 bits, in hexadecimal, that stand for these texts."""
    return sha256("\0".join(parts).encode()).hexdigest()[:32]


def key(kind: str, *owner: str) -> str:
    """Return the key of a record.

    All records of one owner are in one slot of a Redis Cluster. Owners are digests, because a name
    may contain braces and need not be readable in a dump.
    """
    return f"shop:{{{digest(*owner)}}}:{kind}"
