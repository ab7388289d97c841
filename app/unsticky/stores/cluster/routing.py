"""A client of a Redis Cluster: each call goes to the server that holds its slot, and follows it.

No call waits for longer than its one deadline.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from redis.crc import key_slot

from ...errors import ConfigurationError, OutcomeUnknown, StoreUnavailable
from ..base import Deadline
from ..client import Client, Failed, Part, Script, encoded
from ..connection import Connection
from ..replies import ErrorReply, packed, pieces
from .slots import Address, Member, Slots

T = TypeVar("T")

_HOPS: Final = 3
"""How often one call follows MOVED or ASK at once. More means that the servers do not agree yet."""

_PAUSE: Final = 0.01
"""Seconds between two attempts while a slot's keys are on their way to another server."""

_ASKING: Final = packed(b"ASKING")

_NO_KEY: Final = frozenset(
    b"PING ECHO TIME INFO CLIENT SCRIPT CLUSTER COMMAND CONFIG ACL DBSIZE".split()
)
_KEY_IS_SECOND: Final = frozenset(b"OBJECT MEMORY XGROUP XINFO BITOP".split())
_KEY_IS_THIRD: Final = frozenset(b"EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO".split())


class ClusterClient(Client):
    """A client of all primaries of a cluster.

    Attributes:
        slots: the servers, and which of them holds each slot.
    """

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.sent = 0  # what a script's text costs beside its call
        shown = ",".join(f"{host}:{port}" for host, port in self.slots.given)
        self.address = f"the cluster at {shown}"

    @property
    def round_trips(self) -> int:
        """See `Client.round_trips`."""
        return self.sent + self.slots.round_trips

    def call_and_wait(self, *_: Any) -> Any:
        """Refuse: who waits must know the server that has the change, and how many replicas it has.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError("changes in a cluster cannot wait for replicas: use `call`")

    def ask_all(self, deadline: Deadline, commands: Sequence[Sequence[Part]]) -> list[Any]:
        """See `Client.ask_all`. The commands for each server cost one round trip.

        A command's key is its first argument, or where `EVAL` and `OBJECT` have it; all keys of one
        command must be in one slot.
        """
        parts = [[encoded(part) for part in command] for command in commands]
        replies: list[Any] = [None] * len(parts)
        done = False
        try:
            for places in self._by_server([_key_of(each) for each in parts], deadline):
                answers = self._asked([parts[place] for place in places], deadline)
                done = True
                for place, answer in zip(places, answers, strict=True):
                    replies[place] = answer
        except StoreUnavailable as error:
            if done:
                raise OutcomeUnknown(f"only some of the commands were sent: {error}") from error
            raise
        return replies

    def call_all(
        self,
        script: Script,
        calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]],
        deadline: Deadline,
    ) -> list[Any]:
        """Call a script several times, with these keys and arguments each; return the replies.

        Calls at one server cost one round trip. They must have the same effect if they run twice.
        If some fail, the others are made all the same.

        Raises:
            StoreUnavailable, OutcomeUnknown: some may have run and others not.
        """
        replies: list[Any] = [None] * len(calls)
        groups = list(self._by_server([keys[0] for keys, _ in calls], deadline))
        failure: StoreUnavailable | OutcomeUnknown | None = None
        for left, places in zip(range(len(groups), 0, -1), groups, strict=True):
            # A server that does not answer leaves time for the others.
            with deadline.share(0.5 if left > 1 else 1) as share:
                try:
                    answers = self._called(script, [calls[place] for place in places], share)
                except (StoreUnavailable, OutcomeUnknown) as error:
                    failure = failure or error
                    continue
            for place, answer in zip(places, answers, strict=True):
                replies[place] = answer
        if failure is not None:
            raise failure
        return replies

    def _called(
        self,
        script: Script,
        calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]],
        deadline: Deadline,
    ) -> list[Any]:
        """Do what `call_all` does for calls at one server."""
        key = calls[0][0][0]
        sent = [_call(script.named, *call) for call in calls]
        answers = self._exchanged(sent, key, deadline)
        if any(_is_unknown(answer) for answer in answers):
            sent[0] = _call(script.whole, *calls[0])  # the others find it there
            answers = self._exchanged(sent, key, deadline)
        replies, failure = [], None
        for call, answer in zip(calls, answers, strict=True):
            # An error that the script itself returned stands where its reply would.
            reply = answer if isinstance(answer, ErrorReply) else answer[0]
            if not isinstance(reply, ErrorReply):
                replies.append(reply)
                continue
            try:
                replies.append(self.call(script, *call, deadline))
            except (StoreUnavailable, OutcomeUnknown) as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return replies

    def primaries(self, deadline: Deadline, *, reload: bool = False) -> list[Address]:
        """Return the servers that hold slots, always in the same order."""
        with deadline:
            (self.slots.load if reload else self.slots.prepare)(deadline)
        return self.slots.primaries()

    def close(self) -> None:
        """See `Client.close`."""
        self.slots.close()

    def forget(self) -> None:
        """Do nothing: each member is a client, which forgets its own."""

    def _asked(self, commands: list[list[bytes]], deadline: Deadline) -> list[Any]:
        key = _key_of(commands[0])
        replies = self._exchanged([packed(*command) for command in commands], key, deadline)
        refusals = [reply for reply in replies if isinstance(reply, ErrorReply)]
        for place, reply in enumerate(replies):
            if not isinstance(reply, ErrorReply):
                continue
            if len(commands) > 1 and reply.code in {"MOVED", "ASK", "TRYAGAIN"}:
                try:
                    replies[place] = self._asked([commands[place]], deadline)[0]
                except StoreUnavailable as error:
                    raise OutcomeUnknown(f"others were sent before: {error}") from error
            elif len(refusals) == len(replies):
                raise StoreUnavailable(f"the store refused: {reply}")
            else:
                raise OutcomeUnknown(f"the store refused a part of the commands: {reply}")
        return replies

    def _exchanged(self, commands: list[bytes], key: bytes, deadline: Deadline) -> list[Any]:
        """Send packed commands to the server of `key`; return the replies, errors among them.

        A single command follows its slot.
        """
        sent = b"".join(commands)

        def exchange(connection: Connection) -> list[Any]:
            replies = connection.ask(sent, len(commands), deadline)
            first = replies[0]
            if len(replies) == 1 and isinstance(first, ErrorReply) and first.code != "NOSCRIPT":
                raise first
            return replies

        return self._answered(exchange, deadline, key)

    def _by_server(self, keys: Sequence[bytes], deadline: Deadline) -> Iterator[list[int]]:
        """Yield the places of the keys at each server; a command without a key joins any."""
        with deadline:
            self.slots.prepare(deadline)
        groups: dict[Address | None, list[int]] = defaultdict(list)
        for place, key in enumerate(keys):
            groups[self.slots.holder(key_slot(key)) if key else None].append(place)
        if None in groups and len(groups) > 1:
            alone = groups.pop(None)
            first = next(iter(groups.values()))
            first += alone
        yield from groups.values()

    # One call, which follows its slot.

    def _answered(
        self, exchange: Callable[[Connection], T], deadline: Deadline, key: bytes = b""
    ) -> T:
        with deadline:
            if deadline.remaining <= 0:
                raise StoreUnavailable("this request has used up its time for the store")
            self.slots.prepare(deadline)
            route = _Route(self.slots, key_slot(key) if key else None, deadline)
            while True:
                member, asking = self.slots.member(route.address), route.asking
                try:
                    route.admit(member)
                    return member.attempt(
                        (lambda each: exchange(_Asking(each))) if asking else exchange, deadline
                    )
                except StoreUnavailable as error:  # nothing was sent
                    raise Failed(str(error)).outcome(maybe_done=route.maybe_done) from error
                except Failed as failed:
                    route.follow(failed)


class _Route:
    """Where one call goes, and what became of its attempts."""

    def __init__(self, slots: Slots, slot: int | None, deadline: Deadline) -> None:
        self._slots, self._slot, self._deadline = slots, slot, deadline
        self._hops = 0
        self._failures = 0
        self._admitted: Member | None = None
        self.address = slots.holder(slot)
        self.asking = False
        self.maybe_done = False

    def admit(self, member: Member) -> None:
        if member is not self._admitted:
            member.admit(self._deadline)
            self._admitted = member

    def follow(self, failed: Failed) -> None:
        """Find out where the call goes next; raise its outcome if there is no next attempt."""
        self.maybe_done = self.maybe_done or failed.sent
        code = failed.refusal.code if failed.refusal is not None else ""
        if self._deadline.passed():
            if failed.refusal is None:
                self._slots.suspect(self.address)
            raise failed.outcome(maybe_done=self.maybe_done) from failed
        if code in {"MOVED", "ASK"} and (found := re.search(r"(\S+)\s*$", str(failed.refusal))):
            self._hops += 1
            if self._hops > _HOPS:
                self._pause(failed)
            self.address = self._slots.named(found[1], self.address)
            self.asking = code == "ASK"
            if not self.asking:
                self._slots.moved(self._slot, self.address)
            return
        if code == "TRYAGAIN":  # some of the call's keys are here, and some at another server
            self._pause(failed)
            return
        # As at a single server, a call is sent twice at most, but here perhaps to another one.
        self._failures += 1
        if self._failures > 1 or not (failed.again or code == "CLUSTERDOWN"):
            raise failed.outcome(maybe_done=self.maybe_done) from failed
        self._slots.reload(self._deadline, last=self.address)
        if code == "CLUSTERDOWN":
            time.sleep(min(_PAUSE, self._deadline.left()))
        self.address, self.asking = self._slots.holder(self._slot), False

    def _pause(self, failed: Failed) -> None:
        """Wait a little; raise the outcome if the time left is too short for another attempt.

        An attempt without time for its answer would leave the outcome unknown.
        """
        if self._deadline.left() < max(3 * _PAUSE, self._deadline.total / 5):
            raise failed.outcome(maybe_done=self.maybe_done) from failed
        time.sleep(_PAUSE)


class _Asking(Connection):
    """A connection to a server to which the keys of a call are on their way.

    ASKING counts for the one command that follows it.
    """

    __slots__ = ("_real",)

    def __init__(self, real: Connection) -> None:
        self._real = real

    def run(self, command: bytes, deadline: Deadline) -> Any:
        """See `Connection.run`; the mark is that of `ask`."""
        reply = self.ask(command + b"$0\r\n\r\n", 1, deadline)[0]
        return reply if isinstance(reply, ErrorReply) else reply[0]

    def ask(self, commands: bytes, count: int, deadline: Deadline, name: str = "") -> list[Any]:
        """See `Connection.ask`; only for one command."""
        del count
        return self.ask_each((commands,), deadline, name)

    def ask_each(self, commands: Sequence[bytes], deadline: Deadline, name: str) -> list[Any]:
        """See `Connection.ask_each`."""
        sent = b"".join([_ASKING + command for command in commands])
        replies = self._real.ask(sent, 2 * len(commands), deadline, name)
        # Without ASKING, the server would only say again where the keys are to be.
        asked = replies[0]
        return [asked] * len(commands) if isinstance(asked, ErrorReply) else replies[1::2]


def _call(script: bytes, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
    """Return a packed call of a script. Its mark is empty: see `Connection.ask`."""
    rest = pieces((b"%d" % len(keys), *keys, *arguments, b""))
    return b"*%d\r\n%b%b" % (4 + len(keys) + len(arguments), script, rest)


def _is_unknown(answer: Any) -> bool:
    return isinstance(answer, ErrorReply) and answer.code == "NOSCRIPT"


def _key_of(command: Sequence[bytes]) -> bytes:
    """Return the first key of a command; empty if it has none."""
    name = command[0].upper()
    if name in _NO_KEY:
        return b""
    place = 3 if name in _KEY_IS_THIRD else 2 if name in _KEY_IS_SECOND else 1
    if place == 3 and command[2:3] == [b"0"]:
        return b""
    return command[place] if len(command) > place else b""
