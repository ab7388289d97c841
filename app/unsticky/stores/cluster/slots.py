"""Which server of a Redis Cluster holds each slot, and a client of each server.

Each server has a `Client` with its own connections and its own circuit breaker, so that one which
hangs holds back only the sessions in its slots.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ...errors import StoreUnavailable
from ..base import Deadline
from ..client import Client, Failed
from ..connection import Connection
from ..replies import ErrorReply, packed

_MAP_SECONDS: Final = 0.3
"""Seconds that one server may take to send the map, so that there is time to ask the next."""

_MAP: Final = packed(b"CLUSTER", b"SLOTS")


class Address(NamedTuple):
    """Where a server is."""

    host: str
    port: int


class Member(Client):
    """A client of one server of a cluster. Slots that left it say nothing of its connections."""

    wrong_server = MappingProxyType(
        {code: why for code, why in Client.wrong_server.items() if code != "MOVED"}
    )


class Slots:
    """The servers of a cluster, and which of them holds each slot.

    Args:
        make: returns a client of the server at an address. It does not connect yet.
        given: some of the servers; the others are found through them.
        remap: what to make of an address that a server names, such as one inside of a network.
    """

    def __init__(
        self,
        make: Callable[[Address], Member],
        given: Iterable[Address],
        remap: Callable[[Address], tuple[str, int]] = lambda address: address,
    ) -> None:
        self._make = make
        self._remap = remap
        self.given = tuple(given)
        self._members: dict[Address, Member] = {}
        self._holders: list[Address | None] = []
        self._suspected: Address | None = None
        self._sent = 0  # round trips to servers that left

    @property
    def round_trips(self) -> int:
        """How many there were to all servers."""
        return self._sent + sum(member.sent for member in list(self._members.values()))

    def prepare(self, deadline: Deadline) -> None:
        """Load the map if nothing is known, or try to if a server is suspected.

        Raises:
            StoreUnavailable: nothing is known, and no server sends it.
        """
        if not self._holders:
            self.load(deadline)
        elif self._suspected is not None:
            last, self._suspected = self._suspected, None
            self.reload(deadline, last=last)

    def primaries(self) -> list[Address]:
        """Return the servers that hold slots, always in the same order."""
        return sorted({address for address in self._holders if address is not None})

    def member(self, address: Address) -> Member:
        """Return the client of one server."""
        if (found := self._members.get(address)) is not None:
            return found
        return self._members.setdefault(address, self._make(address))

    def close(self) -> None:
        """Close all connections."""
        for member in list(self._members.values()):
            member.close()

    def holder(self, slot: int | None) -> Address:
        """Return the server of a slot; any if there is no slot to ask for, or nobody holds it."""
        found = self._holders[slot] if slot is not None and self._holders else None
        return found or random.choice(self.primaries() or self.given)

    def moved(self, slot: int | None, to: Address) -> None:
        """Note that a slot is at another server now."""
        if slot is not None and self._holders:
            self._holders[slot] = to

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
            self.load(deadline, last)
        except StoreUnavailable:
            return  # what is known stays; the call's own failure is reported

    def load(self, deadline: Deadline, last: Address | None = None) -> None:
        """Load the map.

        Raises:
            StoreUnavailable: no server sends it.
        """
        known = self.primaries()
        asked = random.sample(known, len(known)) + [a for a in self.given if a not in known]
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
                self._holders = self._read(reply, address)
            except (StoreUnavailable, Failed, ValueError) as error:
                reason = str(error) or getattr(error, "reason", "") or type(error).__name__
            else:
                kept = {*self._holders, *self.given}
                # A copy: another thread may add a server meanwhile.
                for gone in [each for each in list(self._members) if each not in kept]:
                    if (left := self._members.pop(gone, None)) is not None:
                        self._sent += left.sent
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
