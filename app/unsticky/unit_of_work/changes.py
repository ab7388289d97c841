"""What one request knows of its session's fields, and what it changed. Pure: it calls no store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from ..codec import IMMUTABLE, decode, encode
from ..errors import Corrupt, SessionError, Unserializable
from ..fields import MAP, describe, order
from ..stores.base import UNREAD, Basis, Change, Check, CheckNames, Write


class _Nothing(Enum):
    NOTHING = auto()


_TRUE: Final = encode(True)  # noqa: FBT003 (a value)

NOTHING: Final = _Nothing.NOTHING
"""The field does not exist. None is a value."""


class HeldValue(NamedTuple):
    """A value that is no longer the session's, but that the view may still hold and change."""

    field: bytes
    value: Any
    encoded: bytes


def refuse_changed(held: Iterable[HeldValue], changes: ChangeSet) -> None:
    """Refuse if one of these values was changed since, unless it was assigned again.

    Raises:
        SessionError: one was changed; the change would be lost silently.
    """
    changed = [
        item.field
        for item in held
        if not changes.is_value(item.field, item.value) and encode(item.value) != item.encoded
    ]
    if changed:
        raise SessionError(
            f"{', '.join(map(describe, changed))}: changed through an object that is no longer the "
            "session's. It was read before a transaction, rolled back with one, or merged with "
            "another request's changes. Read it from the session again"
        )


class ChangeSet:
    """Fields as they were loaded, the values made of them, and what was set or deleted since.

    A field that this request did not read is *unread*. Nothing that the request writes there can
    follow from what it replaces, so nothing is compared and the last write wins. Setting a field is
    no read of it. After a commit, looking at the field is one.

    Attributes:
        base: the fields as they were loaded, with what was written since; None before loading.
        validating: fields that were only read are compared, too.
    """

    __slots__ = (
        "_maps",
        "_mutable",
        "_pending",
        "_ranges",
        "_read",
        "_replaced",
        "_values",
        "_written",
        "base",
        "validating",
    )

    def __init__(self, *, validating: bool = False) -> None:
        self.base: dict[bytes, bytes] | None = None
        self.validating = validating
        self._values: dict[bytes, Any] = {}
        self._pending: dict[bytes, bytes | None] = {}
        self._mutable: set[bytes] = set()
        self._replaced: list[HeldValue] = []
        self._read: dict[bytes, bytes | None] = {}
        self._ranges: set[bytes] = set()
        self._written: dict[bytes, bytes | None] = {}
        self._maps: dict[bytes, None] | None = None

    @property
    def may_write(self) -> bool:
        """Whether there may be something to write or compare; `changes` finds out at a cost."""
        return bool(self._pending or self._mutable or self._replaced or self.validating)

    def is_true(self, field: bytes, *, unknown: bool) -> bool:
        """Return whether a field is true, without counting a read; `unknown` if not loaded."""
        stored = self._pending[field] if field in self._pending else self._stored(field)
        if isinstance(stored, Basis):
            return unknown
        try:
            return stored is not None and (stored == _TRUE or bool(decode(stored)))
        except Corrupt:
            return False

    def holds(self, field: bytes) -> bool:
        """Return whether the field was set or deleted here, so that no load is needed."""
        return field in self._pending or field in self._written

    def get(self, field: bytes) -> Any:
        """Return a field's value, or NOTHING.

        Raises:
            Corrupt: the stored bytes cannot be read.
        """
        if field not in self._pending and field not in self._read:
            known = self._stored(field)
            if known is UNREAD:
                return NOTHING
            self._read[field] = known
        value = self._values.get(field, NOTHING)
        if value is not NOTHING or field in self._pending:
            return value
        raw = self._read[field]
        if raw is None:
            return NOTHING
        value = self._values[field] = decode(raw)
        if type(value) not in IMMUTABLE:
            self._mutable.add(field)
        return value

    def set(self, field: bytes, value: Any, path: str) -> None:
        """Set a field.

        Raises:
            Unserializable: the value cannot be stored.
        """
        self._pending[field] = encode(value, path)
        self._note_map(field)
        self._hold(field, value)

    def delete(self, field: bytes) -> None:
        """Delete a field."""
        self._pending[field] = None
        self._drop(field)

    def knows(self, field: bytes) -> bool:
        """Return whether the field is known to exist, without counting a read."""
        if field in self._pending:
            return self._pending[field] is not None
        return self._stored(field) not in {UNREAD, None}

    def writes(self, prefix: bytes) -> tuple[Write, ...]:
        """Return the writes of the fields under `prefix` that were changed here."""
        return tuple(self._writes(prefix))

    def unchanged(self) -> ChangeSet:
        """Return a change set that knows and has read the same, and has changed nothing."""
        other = ChangeSet(validating=self.validating)
        other.base, other._written = self.base, self._written
        other._read, other._ranges = self._read, self._ranges
        return other

    def is_value(self, field: bytes, value: Any) -> bool:
        """Return whether this very object is the field's value."""
        return self._values.get(field) is value

    def held_values(self) -> list[HeldValue]:
        """Return the values that the view may still hold and change when this set is dropped."""
        held = []
        for field in self._mutable:
            value = self._values[field]
            with suppress(Unserializable):
                held.append(HeldValue(field, value, encode(value)))
        return held

    def fields(self, prefix: bytes) -> list[bytes]:
        """Return the fields that exist under `prefix`, in order."""
        self._ranges.add(prefix)
        found = {field for field in self.base or () if field.startswith(prefix)}
        for field, encoded in self._pending.items():
            if field.startswith(prefix):
                (found.discard if encoded is None else found.add)(field)
        return sorted(found, key=order)

    def has_any(self, prefix: bytes) -> bool:
        """Return whether any field exists under `prefix`, without counting a read."""
        if prefix[:1] == MAP and prefix not in self._known_maps():
            return False  # the usual case: each assignment of a plain key comes here
        pending = self._pending
        return any(
            encoded is not None and field.startswith(prefix) for field, encoded in pending.items()
        ) or any(field.startswith(prefix) and field not in pending for field in self.base or ())

    def loaded(self, fields: dict[bytes, bytes]) -> None:
        """Take over what the store holds, which includes what this request wrote before."""
        self.base = fields
        self._maps = None

    def applied(self, field: bytes, encoded: bytes | None) -> None:
        """Take over what an atomic operation made of a field, and returned to the view."""
        self._drop(field)
        self._pending.pop(field, None)
        self._read[field] = encoded
        self._keep(field, encoded)

    def changes(self) -> tuple[Change, ...]:
        """Return what to write and, if validating, what to compare.

        Raises:
            Unserializable: a value was changed in place into something that cannot be stored.
        """
        writes = tuple(self._writes())
        if not self.validating:
            return writes
        written = {write.field for write in writes}
        checks = [c for c in self.checks() if isinstance(c, CheckNames) or c.field not in written]
        # Fields that were set to what they were: nothing to write, but they must still be that.
        same = self._pending.keys() - written - self._read.keys()
        stored = {field: self._stored(field) for field in sorted(same)}
        checks += [Check(f, data) for f, data in stored.items() if not isinstance(data, Basis)]
        return (*writes, *checks)

    def checks(self) -> tuple[Check | CheckNames, ...]:
        """Return the comparisons of what was only read; none unless validating."""
        if not self.validating or self.base is None:
            return ()
        return (
            *(Check(field, observed) for field, observed in sorted(self._read.items())),
            *(self.names(prefix) for prefix in sorted(self._ranges)),
        )

    def names(self, prefix: bytes) -> CheckNames:
        """Return the comparison of the names that exist under `prefix`."""
        return CheckNames(
            prefix, tuple(sorted(field for field in self.base or () if field.startswith(prefix)))
        )

    def committed(self, changes: tuple[Change, ...]) -> None:
        """Take the written changes as what the store holds now."""
        for change in changes:
            if isinstance(change, Write):
                self._pending.pop(change.field, None)
                if change.field in self._read:
                    self._read[change.field] = change.value
                self._keep(change.field, change.value)

    def rebase(
        self, field: bytes, stored: bytes | None, value: object, encoded: bytes | None
    ) -> None:
        """Continue from what another request wrote to a field (`stored`) with the merged value.

        `encoded` is the same value as bytes; None to delete the field.
        """
        self._read[field] = stored
        self._keep(field, stored)
        if encoded is None:
            self._drop(field)
        else:
            self._replace(field, value)
        if encoded == stored:
            self._pending.pop(field, None)
        else:
            self._pending[field] = encoded

    def _known_maps(self) -> dict[bytes, None]:
        """Return the prefixes of the maps that may exist."""
        if self._maps is None:
            fields = (*(self.base or ()), *self._pending)
            self._maps = {field[: 2 + field[1]]: None for field in fields if field[:1] == MAP}
        return self._maps

    def _note_map(self, field: bytes) -> None:
        if self._maps is not None and field[:1] == MAP:
            self._maps[field[: 2 + field[1]]] = None

    def _writes(self, prefix: bytes = b"") -> Iterator[Write]:
        if self._replaced:
            refuse_changed(self._replaced, self)
        for field, encoded in self._pending.items():
            if not field.startswith(prefix):
                continue
            if field not in self._mutable and self._stored(field) != encoded:
                yield Write(field, encoded, self._read.get(field, UNREAD))
        for field in sorted(self._mutable):
            if not field.startswith(prefix):
                continue
            # The view may have changed it in place; only its encoding shows that.
            encoded = encode(self._values[field], describe(field))
            if self._stored(field) != encoded:
                yield Write(field, encoded, self._read.get(field, UNREAD))

    def _stored(self, field: bytes) -> bytes | Basis | None:
        """Return what the store holds, as far as this request knows; else UNREAD."""
        if field in self._read:
            return self._read[field]
        # What this request wrote before it loaded the session. It comes before `base`, which may
        # hold what another request wrote since.
        if field in self._written:
            return self._written[field]
        return UNREAD if self.base is None else self.base.get(field)

    def _keep(self, field: bytes, encoded: bytes | None) -> None:
        if self.base is None:
            self._written[field] = encoded
            return
        self._written.pop(field, None)
        if encoded is None:
            self.base.pop(field, None)
        else:
            self.base[field] = encoded
            self._note_map(field)

    def _replace(self, field: bytes, value: Any) -> None:
        """Replace a value that the view may still hold, and must not change any more.

        The merged value is a new object. Changing the held one in place could change an object that
        the application uses elsewhere.
        """
        if field in self._mutable:
            held = self._values[field]
            self._replaced.append(HeldValue(field, held, encode(held)))
        self._hold(field, value)

    def _hold(self, field: bytes, value: Any) -> None:
        self._values[field] = value
        if type(value) in IMMUTABLE:
            self._mutable.discard(field)
        else:
            self._mutable.add(field)

    def _drop(self, field: bytes) -> None:
        self._values.pop(field, None)
        self._mutable.discard(field)
