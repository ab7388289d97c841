"""Operations inside of a transaction: they change what is buffered, to be written by the commit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..cookie import Token
from ..errors import OutOfRange
from ..fields import describe
from ..stores.base import COUNTER_LIMIT, SetLimits
from .changes import NOTHING, ChangeSet
from .contents import Contents, Extras
from .lifecycle import Rotation
from .outcomes import no_counter


class Buffered:
    """Buffers operations; `at_once.AtOnce` has the same ones.

    What the view reads is compared by the commit. A transaction that rolled back can begin again.
    """

    __slots__ = ("_contents", "_extras_before")

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        contents.dropped += contents.changes.held_values()
        self._extras_before = contents.extras
        self.begin()

    def begin(self) -> None:
        """Begin, or begin again, from what the store holds."""
        self._restart(ChangeSet(validating=True))

    def roll_back(self) -> None:
        """Drop what the transaction would have changed."""
        self._contents.dropped += self._contents.changes.held_values()
        self._restart(ChangeSet())

    def end(self) -> None:
        """Stop comparing what is only read."""
        self._contents.changes.validating = False

    # The operations.

    def add(self, field: bytes, delta: int, minimum: int | None, maximum: int | None) -> int:
        """Add to a counter and return its new value."""
        value = self._contents.read(field)
        current = 0 if value is NOTHING else value
        if type(current) is not int:
            raise no_counter(field)
        result = current + delta
        low = -COUNTER_LIMIT if minimum is None else minimum
        high = COUNTER_LIMIT if maximum is None else maximum
        if not low <= result <= high:
            raise OutOfRange(current)
        self._contents.changes.set(field, result, describe(field))
        return result

    def take(self, prefix: bytes, into: bytes) -> dict[bytes, Any]:
        """Remove all fields under `prefix` and return their values; see `AtOnce.take`."""
        contents = self._contents
        taken = {field: contents.read(field) for field in contents.fields(prefix)}
        for field in taken:
            contents.changes.delete(field)
        if into:
            for field, value in taken.items():
                target = into + field[len(prefix) :]
                contents.changes.set(target, value, describe(target))
        return taken

    def rotate(self, rotation: Rotation) -> None:
        """Give the session a new id with the commit."""
        extras = self._contents.extras
        before = extras.rotation
        if rotation.move.bind is not None or before is None:  # else it gets a new id already
            extras.rotation = rotation
        if before is not None and before.move.unbind and extras.limits is None:
            extras.limits = SetLimits(None, None)  # resets the limits of the user who logged out

    def bind(self, rotation: Rotation) -> None:
        """Bind the session with the commit."""
        self.rotate(rotation)

    def unbind(self, fields: tuple[bytes, ...], rotation: Rotation) -> None:
        """Take the session from its user and delete these fields with the commit."""
        for field in fields:
            self._contents.changes.delete(field)
        self._contents.extras.rotation = rotation
        self._contents.extras.removed = fields

    def destroy(self, held: Token | None) -> None:
        """End the session with the commit. What is set from now on starts a new one."""
        contents = self._contents
        if held is None:
            contents.stored.end_others()
            contents.extras = Extras()
        else:
            # What was read so far is still compared.
            end = contents.extras.end
            contents.extras = Extras(end=contents.changes.checks() if end is None else end)
        contents.begin(ChangeSet(validating=True))
        contents.changes.loaded({})

    def _restart(self, changes: ChangeSet) -> None:
        self._contents.begin(changes)
        self._contents.extras = replace(self._extras_before)
