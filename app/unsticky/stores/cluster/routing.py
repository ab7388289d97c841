"""A client of a Redis Cluster: each call goes to the server that holds its slot, and follows it.

Each server has a `Client` with its own connections and its own circuit breaker, so that one which
hangs holds back only the sessions in its slots. No call waits for longer than its one deadline.
"""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from redis.crc import key_slot

from ...errors import ConfigurationError, OutcomeUnknown, StoreUnavailable
from ..base import Deadline
from ..client import Client, Failed, Part, Script, encoded
from ..connection import Connection
from ..replies import ErrorReply, packed, pieces

T = TypeVar("T")

_HOPS: Final = 3
"""How often one call follows MOVED or ASK at once. More means that the servers do not agree yet."""

_MAP_SECONDS: Final = 0.3
"""Seconds that one server may take to send the map, so that there is time to ask the next."""

_PAUSE: Final = 0.01
"""Seconds between two attempts while a slot's keys are on their way to another server."""

_ASKING: Final = packed(b"ASKING")
_MAP: Final = packed(b"CLUSTER", b"SLOTS")

_NO_KEY: Final = frozenset(
    b"PING ECHO TIME INFO CLIENT SCRIPT CLUSTER COMMAND CONFIG ACL DBSIZE".split()
)
_KEY_IS_SECOND: Final = frozenset(b"OBJECT MEMORY XGROUP XINFO BITOP".split())
_KEY_IS_THIRD: Final = frozenset(b"EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO".split())


class Address(NamedTuple):
    """Where a server is."""

    host: str
    port: int


class Member(Client):
    """A client of one server of a cluster. Slots that left it say nothing of its connections."""

    wrong_server = MappingProxyType(
        {code: why for code, why in Client.wrong_server.items() if code != "MOVED"}
    )


class ClusterClient(Client):
    """A client of all primaries of a cluster.

    Args:
        make: returns a client of the server at an address. It does not connect yet.
        nodes: some of the servers; the others are found through them.
        remap: what to make of an address that a server names, such as one inside of a network.
    """

    def __init__(
        self,
        make: Callable[[Address], Member],
        nodes: Iterable[Address],
        remap: Callable[[Address], tuple[str, int]] = lambda address: address,
    ) -> None:
        self._make = make
        self._remap = remap
        self._given = tuple(nodes)
        self._members: dict[Address, Member] = {}
        self._slots: list[Address | None] = []
        self._suspected: Address | None = None
        self.sent = 0  # what a script's text costs beside its call, and at servers that left
        shown = ",".join(f"{host}:{port}" for host, port in self._given)
        self.address = f"the cluster at {shown}"

    @property
    def round_trips(self) -> int:
        """See `Client.round_trips`."""
        return self.sent + sum(member.sent for member in list(self._members.values()))

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
            if reload or not self._slots:
                self._load_map(deadline)
        return sorted({address for address in self._slots if address is not None})

    def member(self, address: Address) -> Member:
        """Return the client of one server."""
        if (found := self._members.get(address)) is not None:
            return found
        return self._members.setdefault(address, self._make(address))

    def close(self) -> None:
        """See `Client.close`."""
        for member in list(self._members.values()):
            member.close()

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
            if not self._slots:
                self._load_map(deadline)
        groups: dict[Address | None, list[int]] = defaultdict(list)
        for place, key in enumerate(keys):
            groups[self._slots[key_slot(key)] if key else None].append(place)
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
            if not self._slots:
                self._load_map(deadline)
            elif self._suspected is not None:
                last, self._suspected = self._suspected, None
                self.reload(deadline, last=last)
            route = _Route(self, key_slot(key) if key else None, deadline)
            while True:
                member, asking = self.member(route.address), route.asking
                try:
                    route.admit(member)
                    return member.attempt(
                        (lambda each: exchange(_Asking(each))) if asking else exchange, deadline
                    )
                except StoreUnavailable as error:  # nothing was sent
                    raise Failed(str(error)).outcome(maybe_done=route.maybe_done) from error
                except Failed as failed:
                    route.follow(failed)

    def place_of(self, slot: int | None) -> Address:
        """Return the server of a slot; any if there is no slot to ask for, or nobody holds it."""
        found = self._slots[slot] if slot is not None and self._slots else None
        if found is None:
            known = [address for address in self._slots if address is not None]
            found = random.choice(known or self._given)
        return found

    def moved(self, slot: int | None, to: Address) -> None:
        """Note that a slot is at another server now."""
        if slot is not None and self._slots:
            self._slots[slot] = to

    def named(self, where: str, by: Address) -> Address:
        """Return the address that a server (`by`) names as `host:port`; without host, its own."""
        host, _, port = where.rpartition(":")
        host = host if host not in {"", "?"} else by.host
        return Address(*self._remap(Address(host, int(port))))

    def suspect(self, address: Address) -> None:
        """Let the next call load the map again: a server used up the time of this one."""
        self._suspected = address

    def reload(self, deadline: Deadline, *, last: Address) -> None:
        """Load the map again if a server sends it in time; ask `last` after all others."""
        try:
            self._load_map(deadline, last)
        except StoreUnavailable:
            return  # what is known stays; the call's own failure is reported

    def _load_map(self, deadline: Deadline, last: Address | None = None) -> None:
        known = {address for address in self._slots if address is not None}
        asked = random.sample([*known], len(known)) + [a for a in self._given if a not in known]
        asked.sort(key=lambda address: address == last)
        reason = "no address"
        for address in asked:
            share = Deadline(min(_MAP_SECONDS, deadline.left() / 2))
            share.total = deadline.total  # too short to show that a server hangs

            def exchange(connection: Connection, share: Deadline = share) -> Any:
                (reply,) = connection.ask(_MAP, 1, share)
                if isinstance(reply, ErrorReply):
                    raise reply
                return reply

            try:
                with share:
                    member = self.member(address)
                    reply = member.attempt(exchange, share)
                member.sent -= 1  # no call, as connecting is none
                self._slots = self._read(reply, address)
            except (StoreUnavailable, Failed, ValueError) as error:
                reason = str(error) or getattr(error, "reason", "") or type(error).__name__
            else:
                kept = {*self._slots, *self._given}
                # A copy: another thread may add a server meanwhile.
                for gone in [each for each in list(self._members) if each not in kept]:
                    if (left := self._members.pop(gone, None)) is not None:
                        self.sent += left.sent
                        left.close()
                return
            if deadline.passed():
                break
        raise StoreUnavailable(f"no server of the cluster sends its map: {reason}")

    def _read(self, reply: Any, by: Address) -> list[Address | None]:
        """Return the server of each slot, of what CLUSTER SLOTS replied.

        Raises:
            ValueError: it is no map, or an empty one.
        """
        slots: list[Address | None] = [None] * 16384
        for first, last, primary, *_ in reply:
            host, port = primary[:2]
            place = self.named(f"{(host or b'').decode()}:{port}", by)
            slots[first : last + 1] = [place] * (last + 1 - first)
        if not any(slots):
            raise ValueError(f"{by.host}:{by.port} knows no server that holds a slot")
        return slots


class _Route:
    """Where one call goes, and what became of its attempts."""

    def __init__(self, client: ClusterClient, slot: int | None, deadline: Deadline) -> None:
        self._client, self._slot, self._deadline = client, slot, deadline
        self._hops = 0
        self._failures = 0
        self._admitted: Member | None = None
        self.address = client.place_of(slot)
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
                self._client.suspect(self.address)
            raise failed.outcome(maybe_done=self.maybe_done) from failed
        if code in {"MOVED", "ASK"} and (found := re.search(r"(\S+)\s*$", str(failed.refusal))):
            self._hops += 1
            if self._hops > _HOPS:
                self._pause(failed)
            self.address = self._client.named(found[1], self.address)
            self.asking = code == "ASK"
            if not self.asking:
                self._client.moved(self._slot, self.address)
            return
        if code == "TRYAGAIN":  # some of the call's keys are here, and some at another server
            self._pause(failed)
            return
        # As at a single server, a call is sent twice at most, but here perhaps to another one.
        self._failures += 1
        if self._failures > 1 or not (failed.again or code == "CLUSTERDOWN"):
            raise failed.outcome(maybe_done=self.maybe_done) from failed
        self._client.reload(self._deadline, last=self.address)
        if code == "CLUSTERDOWN":
            time.sleep(min(_PAUSE, self._deadline.left()))
        self.address, self.asking = self._client.place_of(self._slot), False

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

    def ask(self, commands: bytes, count: int, deadline: Deadline) -> list[Any]:
        """See `Connection.ask`; only for one command."""
        asked, *replies = self._real.ask(_ASKING + commands, count + 1, deadline)
        # Without ASKING, the server would only say again where the keys are to be.
        return [asked] if isinstance(asked, ErrorReply) else replies


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
