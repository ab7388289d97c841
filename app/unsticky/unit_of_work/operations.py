"""The operations of a session: carried out at once, or with the transaction's commit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..codec import decode
from ..errors import Corrupt, OutOfRange, SessionError
from ..fields import describe, order
from ..stores.base import (
    COUNTER_LIMIT,
    UNREAD,
    Add,
    Bind,
    Missing,
    Move,
    SetLimits,
    Take,
    Write,
    WriteOutcome,
    Written,
)
from .changes import NOTHING, ChangeSet
from .commit import commit_changes, flush
from .extras import Extras
from .lifecycle import Rotation
from .outcomes import check_counter, no_counter, refusal
from .unit import UnitOfWork

_MAX_LABEL = 200


class Operations(ABC):
    """The operations of a session; where they differ, see `_AtOnce` and `_Buffered`."""

    __slots__ = ("_unit",)

    def __init__(self, unit: UnitOfWork) -> None:
        self._unit = unit

    def once(self, name: str) -> None:
        """Name the operations from here on by `name`; see `Session.once`."""
        self._unit.refuse_if_sealed()
        if self._unit.in_transaction:
            raise SessionError(
                "a transaction's changes follow from what it read, so a name does not make them "
                "the same again: call session.once outside of @transaction"
            )
        self._unit.stored.names().once(name)

    def add(self, field: bytes, delta: int, minimum: int | None, maximum: int | None) -> int:
        """Add to a counter; see `Session.incr`."""
        self._unit.open_for_writing()
        check_counter(delta, minimum, maximum)
        return self._add(field, delta, minimum, maximum)

    def take(self, prefix: bytes, into: bytes = b"") -> dict[bytes, Any]:
        """Remove all fields under `prefix` and return their values; see `SessionMap.take`."""
        self._unit.open_for_writing()
        return self._take(prefix, into)

    def rotate(self) -> None:
        """Give the session a new id; see `Session.rotate`."""
        with self._all_or_nothing():
            held = self._unit.token
            if held is not None:
                self._refuse_if_silent()
                self._rotate(self._rotation(held.reference.bucket, held.pepper))

    def bind(self, user: str, stamp: int | None, label: str) -> None:
        """Make this the session of `user`, under a new id; see `Session.bind`."""
        with self._all_or_nothing():
            extension = self._unit.extension
            extension.need_users("bind")
            subject = extension.ring.subject(user)
            shown = label.encode("utf-8", "replace")[:_MAX_LABEL]
            limit = extension.config.max_sessions_per_user
            bind = Bind(subject, stamp, shown, limit, user.encode())
            self._refuse_if_silent()
            bucket = subject.bucket
            # A store that an application wrote may not say.
            if getattr(extension.store, "keeps_buckets", False) and self._unit.token is not None:
                bucket = self._unit.token.reference.bucket
            self._bind(self._rotation(bucket, bind=bind))

    def unbind(self, fields: tuple[bytes, ...]) -> None:
        """Take the session from its user and delete these fields; see `Session.unbind`."""
        with self._all_or_nothing():
            unit, held = self._unit, self._unit.token
            unit.extras.limits = unit.extras.rotation = None
            if held is None:
                for field in fields:
                    unit.changes.delete(field)
            elif unit.stored.facts.silent:
                # The browser could not learn of a new id, and must not stay logged in by this one.
                self.destroy()
            else:
                rotation = self._rotation(held.reference.bucket, held.pepper, unbind=True)
                self._unbind(fields, rotation)

    def destroy(self) -> None:
        """End the session; see `Session.destroy`."""
        with self._all_or_nothing():
            self._destroy()

    @abstractmethod
    def _add(self, field: bytes, delta: int, minimum: int | None, maximum: int | None) -> int: ...

    @abstractmethod
    def _take(self, prefix: bytes, into: bytes) -> dict[bytes, Any]: ...

    @abstractmethod
    def _rotate(self, rotation: Rotation) -> None: ...

    @abstractmethod
    def _bind(self, rotation: Rotation) -> None: ...

    @abstractmethod
    def _unbind(self, fields: tuple[bytes, ...], rotation: Rotation) -> None: ...

    @abstractmethod
    def _destroy(self) -> None: ...

    def _rotation(
        self, bucket: int, pepper: int = 0, *, bind: Bind | None = None, unbind: bool = False
    ) -> Rotation:
        # A bound session stays in its user's index, and so under that index's pepper.
        token = self._unit.extension.ring.mint(bucket, pepper)
        return Rotation(Move(token.reference, bind, unbind=unbind), token)

    def _refuse_if_silent(self) -> None:
        if self._unit.stored.facts.silent:
            raise SessionError(
                "a handler without a response cannot send the cookie of a new id: "
                "log in by an HTTP request"
            )

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Drop what the request changed if a login or a logout fails: no half of it may stay."""
        unit = self._unit
        try:
            unit.open_for_writing()
            unit.stored.take_up()
            yield
        except BaseException:
            unit.dropped += unit.changes.held_values()
            unit.abandon()
            raise


class _AtOnce(Operations):
    """Each operation is one atomic write, carried out at once."""

    __slots__ = ()

    def _add(self, field: bytes, delta: int, minimum: int | None, maximum: int | None) -> int:
        unit = self._unit
        flush(unit, field)
        add = (Add(field, delta, minimum, maximum),)
        load = unit.changes.base is None
        count = self._applied(unit.stored.write(add, load=load, atomic=True, create=True)).count
        unit.changes.applied(field, b"%d" % count)
        return count

    def _take(self, prefix: bytes, into: bytes) -> dict[bytes, Any]:
        unit = self._unit
        flush(unit, *((prefix, into) if into else (prefix,)))
        load = unit.changes.base is None
        outcome = unit.stored.write((Take(prefix, into),), load=load, atomic=True)
        if isinstance(outcome, Missing):
            unit.settle()
            taken = {}
        else:
            taken = self._applied(outcome).taken
        placed = {into + field[len(prefix) :]: data for field, data in taken.items()}
        try:
            values = {field: decode(taken[field]) for field in sorted(taken, key=order)}
        except Corrupt as error:
            if not into:
                # Put everything back, so that all of it goes into quarantine.
                placed = taken
                unit.stored.write(tuple(Write(f, d, UNREAD) for f, d in taken.items()))
            raise unit.unreadable(placed) from error
        changes = unit.changes
        for field in {*taken, *changes.fields(prefix)}:
            changes.applied(field, None)
        if into:
            for field, data in placed.items():
                changes.applied(field, data)
        else:
            unit.extras.emptied = True
        return values

    def _rotate(self, rotation: Rotation) -> None:
        self._unit.stored.write((), finish=rotation)

    def _bind(self, rotation: Rotation) -> None:
        self._unit.extras.rotation = rotation
        commit_changes(self._unit)

    def _unbind(self, fields: tuple[bytes, ...], rotation: Rotation) -> None:
        unit = self._unit
        unit.stored.end_others()
        deletions = tuple(Write(field, None, UNREAD) for field in fields)
        outcome = unit.stored.write(deletions, finish=rotation, load=True)
        if isinstance(outcome, Missing):
            unit.settle()
        elif isinstance(outcome, Written) and unit.changes.base is None:
            unit.changes.loaded(outcome.record.fields or {})
        for field in fields:
            unit.changes.applied(field, None)
        unit.extras.emptied = True

    def _destroy(self) -> None:
        unit = self._unit
        unit.stored.end_others()
        unit.stored.end()
        unit.extras = Extras()
        unit.begin(ChangeSet())
        unit.changes.loaded({})

    def _applied(self, outcome: WriteOutcome) -> Written:
        if not isinstance(outcome, Written):
            raise refusal(outcome)  # none compares anything
        unit = self._unit
        unit.extension.counters.operations += 1
        if unit.changes.base is None:
            if outcome.record.fields is not None:
                unit.changes.loaded(outcome.record.fields)
            else:
                unit.settle()
        return outcome


class _Buffered(Operations):
    """Operations change what is buffered; what the view reads is compared by the commit."""

    __slots__ = ()

    def _add(self, field: bytes, delta: int, minimum: int | None, maximum: int | None) -> int:
        value = self._unit.read(field)
        current = 0 if value is NOTHING else value
        if type(current) is not int:
            raise no_counter(field)
        result = current + delta
        low = -COUNTER_LIMIT if minimum is None else minimum
        high = COUNTER_LIMIT if maximum is None else maximum
        if not low <= result <= high:
            raise OutOfRange(current)
        self._unit.changes.set(field, result, describe(field))
        return result

    def _take(self, prefix: bytes, into: bytes) -> dict[bytes, Any]:
        unit = self._unit
        taken = {field: unit.read(field) for field in unit.fields(prefix)}
        for field in taken:
            unit.changes.delete(field)
        if into:
            for field, value in taken.items():
                target = into + field[len(prefix) :]
                unit.changes.set(target, value, describe(target))
        return taken

    def _rotate(self, rotation: Rotation) -> None:
        extras = self._unit.extras
        before = extras.rotation
        if rotation.move.bind is not None or before is None:  # else it gets a new id already
            extras.rotation = rotation
        if before is not None and before.move.unbind and extras.limits is None:
            extras.limits = SetLimits(None, None)  # resets the limits of the user who logged out

    def _bind(self, rotation: Rotation) -> None:
        self._rotate(rotation)

    def _unbind(self, fields: tuple[bytes, ...], rotation: Rotation) -> None:
        for field in fields:
            self._unit.changes.delete(field)
        self._unit.extras.rotation = rotation
        self._unit.extras.removed = fields

    def _destroy(self) -> None:
        unit = self._unit
        if unit.token is None:
            unit.stored.end_others()
            unit.extras = Extras()
        else:
            # What was read so far is still compared.
            end = unit.extras.end
            unit.extras = Extras(end=unit.changes.checks() if end is None else end)
        unit.begin(ChangeSet(validating=True))
        unit.changes.loaded({})


def operations_of(unit: UnitOfWork) -> Operations:
    """Return what carries out operations: at once, or with the commit of a transaction."""
    return _Buffered(unit) if unit.in_transaction else _AtOnce(unit)
