"""Sessions in a Redis Cluster, where a user's index and the user's sessions are in different slots.

What concerns one session is in one slot, and done as at a single server. What concerns the index,
too, is done in steps that may stop anywhere; docs/guarantees.md says why that loses nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

from redis.crc import key_slot

from ...cookie import BUCKETS, Reference
from ...errors import OutcomeUnknown, StoreUnavailable, repeatable
from ...limits import Lifetimes
from ..base import Bind, Caps, Deadline, Finish, Listed, Move, Operation
from ..reading import listed_of
from ..redis import (
    SWEEP_KEYS,
    RedisStore,
    digest_of,
    entry_of,
    named_reference,
    script_of,
)
from .routing import ClusterClient
from .slots import Address

_ROUNDS: Final = 3
"""How often a write is sent: again if it needs a permit, or one for longer. How often the other
sessions of a user are looked at: again if one of them was just being moved."""


class _Step(NamedTuple):
    """A write that may concern an index.

    Attributes:
        session: where the session is.
        to: where it is afterwards.
        bind: None unless it is bound.
        result: names the call's result, and `kept` says how long that is kept.
        idle: the idle limit of the call.
        owner: whose index names the session afterwards, if that has to be taken care of.
        permit: what that index permits, and to whom it belongs.
        entered: the value of the entry that this write made there.
    """

    session: Reference
    to: Reference
    bind: Bind | None
    result: bytes
    kept: bytes
    idle: bytes
    owner: Reference | None = None
    permit: bytes = b""
    entered: bytes = b""


class ClusterStore(RedisStore):
    """`RedisStore` for the servers of a cluster."""

    keeps_buckets = True
    client: ClusterClient

    def __init__(self, client: ClusterClient, prefix: str, caps: Caps) -> None:
        super().__init__(client, prefix, caps)
        self._write = script_of("apart_write")
        self._enter, self._settle = script_of("apart_enter"), script_of("apart_settle")
        self._index, self._look = script_of("apart_index"), script_of("apart_look")
        self._mark_all, self._end = script_of("apart_end_all"), script_of("apart_end")
        self._forget = script_of("apart_forget")

    def sessions(self, user: Reference, deadline: Deadline) -> tuple[Listed, ...]:
        """See `Store.sessions`; a round trip for the index, and one for each server."""
        entries = _grouped(self._ask(self._index, (self._key(b"u", user),), (), deadline), 3)
        listed, dead = [], []
        with repeatable():
            found = self._looked_at(user, [name for name, *_ in entries], b"0", deadline)
            for (name, value, come), state in zip(entries, found, strict=True):
                if state:
                    listed.append(listed_of(named_reference(user.bucket, name), *state[:4]))
                elif not come and value[:1] != b"e":  # who ends it removes the mark
                    dead += [name, value]
            if dead:
                self._forgotten(user, dead, deadline)
        return tuple(sorted(listed, key=lambda entry: entry.record.created))

    def end_all(
        self,
        user: Reference,
        keep: Reference | None,
        stamp: int | None,
        operation: Operation,
        lifetimes: Lifetimes,
        deadline: Deadline,
        *,
        forget: bool = False,
    ) -> tuple[Reference, ...]:
        """See `Store.end_all`: marked in the index, then ended; a repetition goes on with it."""
        del operation
        arguments = (
            entry_of(keep, user.bucket) if keep is not None else b"",
            b"" if stamp is None else b"%d" % stamp,
            self._limits(lifetimes)[2],
        )
        with repeatable():
            keys = (self._key(b"u", user),)
            marked = _grouped(self.client.call(self._mark_all, keys, arguments, deadline), 2)
            return self._end_marked(user, marked, deadline, forget=forget)

    def sweep(
        self, cursor: bytes, deadline: Deadline
    ) -> tuple[bytes | None, tuple[Reference, ...]]:
        """See `Store.sweep`; one server after the other, and again if others hold slots by then."""
        with repeatable():
            servers = self.client.primaries(deadline, reload=cursor == b"0")
            known = b"%08x" % crc32(repr(servers).encode())
            before, _, place = cursor.partition(b" ")
            if before != known:  # the first step, or the cluster was changed
                place = b"0 0"
            number, _, place = place.partition(b" ")
            following, keys = self.client.slots.member(servers[int(number)]).ask(
                deadline, "SCAN", place, "MATCH", self._all_sessions(), "COUNT", SWEEP_KEYS
            )
            sessions = [self._session_at(key) for key in keys]
            calls = [(self._keys_to_end(session), (b"", b"")) for session in sessions]
            lived = self.client.call_all(self._end, calls, deadline)
            ended = [session for session, one in zip(sessions, lived, strict=True) if one]
            done = int(number) + (following == b"0")
            if done < len(servers):
                return b"%b %d %b" % (known, done, following), tuple(ended)
            changed = self.client.primaries(deadline, reload=True) != servers
        return b"0" if changed else None, tuple(ended)

    def probe(self, deadline: Deadline) -> None:
        """See `Store.probe`; enough is one server that takes writes: its sessions can be served."""
        buckets: dict[Address, int] = {}
        servers = self.client.primaries(deadline)
        for bucket in range(BUCKETS):
            buckets.setdefault(self.client.slots.holder(key_slot(b"%d" % bucket)), bucket)
            if len(buckets) == len(servers):
                break
        for left in range(len(buckets), 0, -1):
            _, bucket = buckets.popitem()
            with deadline.share(1 / left) as share:
                try:
                    self._ask(self._probe, (self._tagged(b"o", bucket, b"probe"),), (), share)
                except StoreUnavailable:
                    if left == 1:
                        raise
                else:
                    return

    # A write that may concern an index.

    def _written(
        self,
        reference: Reference,
        keys: tuple[bytes, ...],
        arguments: tuple[bytes, ...],
        finish: Finish,
        operation: Operation,
        deadline: Deadline,
    ) -> Any:
        bind = finish.bind if isinstance(finish, Move) else finish
        bind = bind if isinstance(bind, Bind) else None
        to = finish.to if isinstance(finish, Move) else reference
        if to.bucket != reference.bucket:
            raise ValueError("at a cluster, a session stays in its bucket")
        result = digest_of(keys[1], arguments[8])
        step = _Step(reference, to, bind, result, arguments[4], arguments[0])
        refused = None
        if bind is not None and not operation.makes_once:
            # With the limit that most sessions have; a session with a longer one asks again.
            refused, step = self._entered(step, bind.user, b"+" + arguments[6], deadline)
        for _ in range(_ROUNDS):
            reply = self.client.call(self._write, keys, (step.permit, *arguments), deadline)
            if reply[0] != 10:
                break
            if refused is None:
                owner = named_reference(to.bucket, reply[1])
                refused, step = self._entered(step, owner, reply[2], deadline)
            if refused is not None:
                return refused  # and the write has no other reason to refuse
        else:
            raise StoreUnavailable("the clocks of the cluster's servers are too far apart")
        if reply[0] == 0:
            left = [named_reference(to.bucket, user) for user in reply[4]]
            ended = self._followed(step, left, deadline)
            reply[4] = [entry_of(each, to.bucket) for each in ended]
        elif step.owner is not None and step.entered and (bind or to != reference):
            with _spare(deadline) as share:
                self._forgotten(step.owner, [entry_of(to, step.owner.bucket), step.entered], share)
        return reply

    def _entered(
        self, step: _Step, owner: Reference, ends: bytes, deadline: Deadline
    ) -> tuple[Any, _Step]:
        """Return the refusal of the user's index, or the step with its permit."""
        stamp = step.bind.stamp if step.bind is not None else None
        arguments = (
            entry_of(step.to, owner.bucket),
            entry_of(step.session, owner.bucket) if step.session != step.to else b"",
            b"" if stamp is None else b"%d" % stamp,
            ends,
        )
        # A bind that cannot choose among the sessions later, because the index is on its way to
        # another server, does not begin either: such a server refuses the two keys alike.
        keys = self._keys_of_choice(owner, step)[: 1 if step.bind is None else 2]
        reply = self._ask(self._enter, keys, arguments, deadline)
        if reply[0] != 0:
            return reply, step
        permit = reply[1] + entry_of(owner, step.to.bucket)
        return None, step._replace(owner=owner, permit=permit, entered=step.entered or reply[2])

    def _followed(
        self, step: _Step, left: list[Reference], deadline: Deadline
    ) -> tuple[Reference, ...]:
        """Let the indexes follow a session that was written; return the sessions that this ended.

        `left` is the user to whom it was bound, if any.
        """
        ended: tuple[Reference, ...] = ()
        if step.bind is not None:
            owner = step.bind.user
            try:
                ended = self._settled(step, owner, step.bind.limit, deadline, again=left == [owner])
            except (StoreUnavailable, OutcomeUnknown) as error:
                raise OutcomeUnknown(f"the session was bound, and then: {error}") from error
        elif step.owner is not None and step.session != step.to:
            owner = step.owner
            with _spare(deadline) as share:
                self._settled(step, owner, None, share, again=True)
        else:
            owner = None
        for user in left:
            if user != owner:
                with _spare(deadline) as share:
                    self._forgotten(user, [entry_of(step.session, user.bucket), b""], share)
        return ended

    def _settled(
        self, step: _Step, owner: Reference, limit: int | None, deadline: Deadline, *, again: bool
    ) -> tuple[Reference, ...]:
        """Enter a session for good, and end the user's oldest beyond the limit.

        `again`: the session had an entry under its reference from before.
        """
        keys = self._keys_of_choice(owner, step)[: 1 if limit is None else 2]
        replaces = again and step.session != step.to
        arguments = (
            step.kept,
            entry_of(step.to, owner.bucket),
            entry_of(step.session, owner.bucket) if replaces else b"",
            step.permit[26:39] if step.bind is not None else b"",
            b"" if limit is None else b"%d" % limit,
        )
        known: list[bytes] = [b""]
        for _ in range(_ROUNDS):
            reply = self.client.call(self._settle, keys, (*arguments, *known), deadline)
            if reply[0] == 0:
                break
            others = _grouped(reply[1:], 2)
            found = self._looked_at(owner, [name for name, _ in others], step.idle, deadline)
            known = [b"1"]
            for (name, value), state in zip(others, found, strict=True):
                known += [name, value, b"dead" if not state else b"past" if state[4] else b"lives"]
        else:
            raise StoreUnavailable("the user's sessions changed again and again")
        chosen = reply[1].split(b",")[:-1]
        marked = _grouped(reply[2:], 2)
        self._end_marked(owner, [each for each in marked if each[0] in chosen], deadline)
        ended = tuple(named_reference(owner.bucket, entry) for entry in chosen)
        # What an earlier call had to end must not hold back this one.
        if former := [each for each in marked if each[0] not in chosen]:
            with _spare(deadline) as share:
                ended += self._end_marked(owner, former, share)
        return ended

    def _keys_of_choice(self, owner: Reference, step: _Step) -> tuple[bytes, bytes]:
        return self._key(b"u", owner), self._tagged(b"o", owner.bucket, step.result)

    def _looked_at(
        self, user: Reference, entries: Sequence[bytes], idle: bytes, deadline: Deadline
    ) -> list[Any]:
        return self.client.call_all(
            self._look,
            [
                ((self._key(b"s", session),), (entry_of(user, session.bucket), idle))
                for session in (named_reference(user.bucket, entry) for entry in entries)
            ],
            deadline,
        )

    def _end_marked(
        self,
        user: Reference,
        entries: Sequence[Sequence[bytes]],
        deadline: Deadline,
        *,
        forget: bool = False,
    ) -> tuple[Reference, ...]:
        """End sessions that the index has marked, then remove the marks; return those that lived.

        Of several calls that end one, the call that removes its mark returns it. Each entry says
        whether its session may still come. `forget` also removes the stamp.
        """
        sessions = [named_reference(user.bucket, name) for name, _ in entries]
        calls = [
            (self._keys_to_end(session), (entry_of(user, session.bucket), come))
            for session, (_, come) in zip(sessions, entries, strict=True)
        ]
        lived = self.client.call_all(self._end, calls, deadline)
        if not entries and not forget:
            return ()
        gone = [part for name, _ in entries for part in (name, b"")]
        removed = self._forgotten(user, gone, deadline, forget=forget)
        found = zip(sessions, lived, removed, strict=True)
        return tuple(session for session, one, mine in found if one and mine)

    def _keys_to_end(self, session: Reference) -> tuple[bytes, bytes]:
        return self._key(b"s", session), self._key(b"r", session)

    def _forgotten(
        self, user: Reference, entries: Sequence[bytes], deadline: Deadline, *, forget: bool = False
    ) -> list[int]:
        arguments = (b"1" if forget else b"", *entries)
        keys = (self._key(b"u", user),)
        removed: list[int] = self.client.call(self._forget, keys, arguments, deadline)
        return removed


def _grouped(flat: Sequence[bytes], size: int) -> list[tuple[bytes, ...]]:
    return list(zip(*[iter(flat)] * size, strict=True))


@contextlib.contextmanager
def _spare(deadline: Deadline) -> Iterator[Deadline]:
    """Use at most half of the time left for what will be made up for if it fails."""
    with deadline.share(0.5) as share, contextlib.suppress(StoreUnavailable, OutcomeUnknown):
        yield share
