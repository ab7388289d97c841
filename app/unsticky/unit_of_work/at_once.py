"""Operations outside of a transaction: each is one atomic write, carried out at once."""

from __future__ import annotations

from typing import Any

from ..codec import decode
from ..cookie import Token
from ..errors import Corrupt
from ..fields import order
from ..stores.base import UNREAD, Add, Conflicting, Missing, Take, Write, Written
from .changes import ChangeSet
from .commit import commit_changes, flush
from .contents import Contents, Extras
from .lifecycle import Rotation
from .outcomes import refusal


class AtOnce:
    """Carries out operations at once; `buffered.Buffered` has the same ones."""

    __slots__ = ("_contents",)

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def add(self, field: bytes, delta: int, minimum: int | None, maximum: int | None) -> int:
        """Add to a counter and return its new value."""
        contents = self._contents
        flush(contents, field)
        add = (Add(field, delta, minimum, maximum),)
        load = contents.changes.base is None
        count = self._applied(contents.stored.write_or_create(add, load=load, atomic=True)).count
        contents.changes.applied(field, b"%d" % count)
        return count

    def take(self, prefix: bytes, into: bytes) -> dict[bytes, Any]:
        """Remove all fields under `prefix` and return their values.

        Args:
            prefix: what the fields' names begin with.
            into: keep the fields under this prefix; empty to delete them.
        """
        contents = self._contents
        flush(contents, *((prefix, into) if into else (prefix,)))
        load = contents.changes.base is None
        outcome = contents.stored.write((Take(prefix, into),), load=load, atomic=True)
        if isinstance(outcome, Missing):
            contents.settle()
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
                contents.stored.write(tuple(Write(f, d, UNREAD) for f, d in taken.items()))
            raise contents.unreadable(placed) from error
        changes = contents.changes
        for field in {*taken, *changes.fields(prefix)}:
            changes.applied(field, None)
        if into:
            for field, data in placed.items():
                changes.applied(field, data)
        else:
            contents.extras.emptied = True
        return values

    def rotate(self, rotation: Rotation) -> None:
        """Give the session a new id."""
        self._contents.stored.write((), finish=rotation)

    def bind(self, rotation: Rotation) -> None:
        """Bind the session, with all that was changed: a login is complete or does not happen."""
        self._contents.extras.rotation = rotation
        commit_changes(self._contents)

    def unbind(self, fields: tuple[bytes, ...], rotation: Rotation) -> None:
        """Take the session from its user and delete these fields."""
        contents = self._contents
        contents.stored.end_others()
        deletions = tuple(Write(field, None, UNREAD) for field in fields)
        outcome = contents.stored.write(deletions, finish=rotation, load=True)
        if isinstance(outcome, Missing):
            contents.settle()
        elif isinstance(outcome, Written) and contents.changes.base is None:
            contents.changes.loaded(outcome.record.fields or {})
        for field in fields:
            contents.changes.applied(field, None)
        contents.extras.emptied = True

    def destroy(self, held: Token | None) -> None:
        """End the session."""
        del held
        contents = self._contents
        contents.stored.end_others()
        contents.stored.end()
        contents.extras = Extras()
        contents.begin(ChangeSet())
        contents.changes.loaded({})

    def _applied(self, outcome: Written | Conflicting) -> Written:
        """Take over what an atomic operation brought along."""
        if isinstance(outcome, Conflicting):
            raise refusal(outcome)  # none compares anything
        contents = self._contents
        contents.extension.counters.operations += 1
        if contents.changes.base is None:
            if outcome.record.fields is not None:
                contents.changes.loaded(outcome.record.fields)
            else:
                contents.settle()
        return outcome
