"""What one request knows of its session and has changed in it. Pure: it speaks to no store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from ..codec import IMMUTABLE, decode, encode
from ..errors import Corrupt, SessionError, Unserializable
from ..fields import MAP, describe, name_of, order
from ..merge import ABSENT, Merge, Unmergeable, first_wins, three_way
from ..stores.base import UNREAD, Basis, Change, Check, CheckNames, Write


class _Nothing(Enum):
    NOTHING = auto()


_TRUE: Final = encode(True)  # noqa: FBT003 (a value)

NOTHING: Final = _Nothing.NOTHING
"""No value; None is one."""


class Held(NamedTuple):
    """A value that no longer is the session's, but that the view may hold; as it was then."""

    field: bytes
    value: Any
    encoded: bytes


def refuse_changed(held: Iterable[Held], draft: Draft) -> None:
    """Refuse that one of these values was changed since, unless it was assigned to `draft` again.

    Raises:
        SessionError: one was; the change would be lost silently.
    """
    changed = [
        item.field
        for item in held
        if not draft.is_value(item.field, item.value) and encode(item.value) != item.encoded
    ]
    if changed:
        message = (
            f"{', '.join(map(describe, changed))}: changed through an object that is not the "
            "session's any more: it was read before a transaction, taken back with one, or merged "
            "with another request's; read it from the session again"
        )
        raise SessionError(message)


class Draft:
    """Fields as they were loaded, the values made of them, and what was set or deleted since.

    A field that this request did not read itself is *unread*: nothing that it writes there can
    follow from what it replaces, so nothing is compared and the last write wins. What a request
    set is its own and no read; once that was committed, looking at it is one.

    Attributes:
        base: the fields as they were loaded, with what was written since; None before.
        validating: what was only read is compared, too.
    """

    __slots__ = (
        "_left",
        "_maps",
        "_mutable",
        "_pending",
        "_ranges",
        "_read",
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
        self._left: list[Held] = []
        self._read: dict[bytes, bytes | None] = {}
        self._ranges: set[bytes] = set()
        self._written: dict[bytes, bytes | None] = {}
        self._maps: dict[bytes, None] | None = None

    @property
    def may_write(self) -> bool:
        """Whether anything may be to be written, or compared; looking costs more."""
        return bool(self._pending or self._mutable or self._left or self.validating)

    def is_true(self, field: bytes, *, unknown: bool) -> bool:
        """Tell whether a field is true, without counting a read; `unknown` if nobody knows."""
        stored = self._pending[field] if field in self._pending else self._stored(field)
        if isinstance(stored, Basis):
            return unknown
        try:
            return stored is not None and (stored == _TRUE or bool(decode(stored)))
        except Corrupt:
            return False

    def holds(self, field: bytes) -> bool:
        """Tell whether the field was set or deleted here, so that the store need not be asked."""
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
        self._values[field] = value
        self._note_map(field)
        if type(value) in IMMUTABLE:
            self._mutable.discard(field)
        else:
            self._mutable.add(field)

    def delete(self, field: bytes) -> None:
        """Delete a field."""
        self._pending[field] = None
        self._drop(field)

    def knows(self, field: bytes) -> bool:
        """Tell whether the field is known to exist, without asking and without counting a read."""
        if field in self._pending:
            return self._pending[field] is not None
        return self._stored(field) not in {UNREAD, None}

    def writes(self, prefix: bytes) -> tuple[Write, ...]:
        """Return the writes of the fields under `prefix` that were changed here."""
        return tuple(self._writes(prefix))

    def unchanged(self) -> Draft:
        """Return a draft that knows and has read the same, and has changed nothing."""
        draft = Draft(validating=self.validating)
        draft.base, draft._written = self.base, self._written
        draft._read, draft._ranges = self._read, self._ranges
        return draft

    def is_value(self, field: bytes, value: Any) -> bool:
        """Tell whether this very object is the field's value."""
        return self._values.get(field) is value

    def held(self) -> list[Held]:
        """Return the values that the view may still hold and change when this draft is gone."""
        held = []
        for field in self._mutable:
            value = self._values[field]
            with suppress(Unserializable):
                held.append(Held(field, value, encode(value)))
        return held

    def fields(self, prefix: bytes) -> list[bytes]:
        """Return the fields that exist under `prefix`, in order."""
        self._ranges.add(prefix)
        found = {field for field in self.base or () if field.startswith(prefix)}
        for field, encoded in self._pending.items():
            if field.startswith(prefix):
                (found.discard if encoded is None else found.add)(field)
        return sorted(found, key=order)

    def any(self, prefix: bytes) -> bool:
        """Tell whether any field exists under `prefix`, without counting that as a read."""
        if prefix[:1] == MAP and prefix not in self._known_maps():
            return False  # asked at each assignment of a plain key
        pending = self._pending
        return any(
            encoded is not None and field.startswith(prefix) for field, encoded in pending.items()
        ) or any(field.startswith(prefix) and field not in pending for field in self.base or ())

    def loaded(self, fields: dict[bytes, bytes]) -> None:
        """Take what the store holds, with what this request wrote to it already."""
        self.base = fields
        self._maps = None

    def applied(self, field: bytes, encoded: bytes | None) -> None:
        """Take over what an atomic operation made of a field, and told the request."""
        self._drop(field)
        self._pending.pop(field, None)
        self._read[field] = encoded
        self._keep(field, encoded)

    def changes(self) -> tuple[Change, ...]:
        """Return what is to be written, and when validating, what is to be compared.

        Raises:
            Unserializable: a value was changed in place into something that cannot be stored.
        """
        writes = tuple(self._writes())
        if not self.validating:
            return writes
        written = {write.field for write in writes}
        checks = [c for c in self.checks() if isinstance(c, CheckNames) or c.field not in written]
        # Set to what was there: nothing to write, but it must still be there.
        same = self._pending.keys() - written - self._read.keys()
        stored = {field: self._stored(field) for field in sorted(same)}
        checks += [Check(f, data) for f, data in stored.items() if not isinstance(data, Basis)]
        return (*writes, *checks)

    def checks(self) -> tuple[Check | CheckNames, ...]:
        """Return what is to be compared although it was only read; nothing unless validating."""
        if not self.validating or self.base is None:
            return ()
        return (
            *(Check(field, observed) for field, observed in sorted(self._read.items())),
            *(self.names(prefix) for prefix in sorted(self._ranges)),
        )

    def names(self, prefix: bytes) -> CheckNames:
        """Return the comparison of which fields exist under `prefix`."""
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

    def merged(
        self,
        changes: tuple[Change, ...],
        current: Mapping[bytes, bytes | None],
        merges: Mapping[str, Merge],
        *,
        repeatable: bool,
    ) -> tuple[tuple[Change, ...], tuple[str, ...]]:
        """Merge the contested fields into what others made of them.

        Args:
            changes: what was refused.
            current: the contested fields as they are now.
            merges: rules by the name of a plain field.
            repeatable: the view can run again, so that a value that would silently yield to an
                earlier one counts as a conflict: what the view rendered would be wrong.

        Returns:
            What is to be sent now, and the names of the fields that no rule settles.

        Raises:
            Corrupt: the other's bytes cannot be read.
        """
        result: list[Change] = []
        contested: list[str] = []
        for change in changes:
            where = (
                change.prefix if isinstance(change, CheckNames) else getattr(change, "field", b"")
            )
            if where not in current:
                result.append(change)
            elif not isinstance(change, Write):
                contested.append(describe(where) if not isinstance(change, CheckNames) else "keys")
            else:
                try:
                    settled = self._settled(change, current[where], merges, repeatable=repeatable)
                except Unmergeable:
                    contested.append(describe(where))
                    result.append(Write(change.field, change.value, UNREAD))
                else:
                    result += settled
        return tuple(result), tuple(contested)

    def _settled(
        self,
        change: Write,
        current: bytes | None,
        merges: Mapping[str, Merge],
        *,
        repeatable: bool,
    ) -> list[Change]:
        field = change.field
        rule = merges.get(name_of(field), three_way)
        base = ABSENT if change.base is None else decode(_known(change.base))
        mine = ABSENT if change.value is None else decode(change.value)
        theirs = ABSENT if current is None else decode(current)
        if repeatable and base is ABSENT and rule is first_wins and change.value != current:
            raise Unmergeable
        value = rule(base, mine, theirs)
        encoded = None if value is ABSENT else encode(value, describe(field))
        self._read[field] = current
        self._keep(field, current)
        if value is ABSENT:
            self._drop(field)
            self._pending[field] = None
        else:
            self._replace(field, value)
            self._pending[field] = encoded
        if encoded == current:
            del self._pending[field]
            return []
        return [Write(field, encoded, current)]

    def _known_maps(self) -> dict[bytes, None]:
        """Return what the fields of each map begin with, of those that there may be."""
        if self._maps is None:
            fields = (*(self.base or ()), *self._pending)
            self._maps = {field[: 2 + field[1]]: None for field in fields if field[:1] == MAP}
        return self._maps

    def _note_map(self, field: bytes) -> None:
        if self._maps is not None and field[:1] == MAP:
            self._maps[field[: 2 + field[1]]] = None

    def _writes(self, prefix: bytes = b"") -> Iterator[Write]:
        if self._left:
            refuse_changed(self._left, self)
        for field, encoded in self._pending.items():
            if not field.startswith(prefix):
                continue
            if field not in self._mutable and self._stored(field) != encoded:
                yield Write(field, encoded, self._read.get(field, UNREAD))
        for field in sorted(self._mutable):
            if not field.startswith(prefix):
                continue
            # The view may have changed it in place: only its encoding tells.
            encoded = encode(self._values[field], describe(field))
            if self._stored(field) != encoded:
                yield Write(field, encoded, self._read.get(field, UNREAD))

    def _stored(self, field: bytes) -> bytes | Basis | None:
        """Return what the store holds, as far as this request knows; UNREAD where it does not."""
        if field in self._read:
            return self._read[field]
        # What this request wrote before it loaded the session, and still holds: another may have
        # written since, and that would be in `base`.
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
        """Put a merged value in place of the one that the view may still hold, and may not change.

        Not into that one: it, or something in it, may be the application's own and stand elsewhere.
        """
        if field in self._mutable:
            held = self._values[field]
            self._left.append(Held(field, held, encode(held)))
        self._values[field] = value
        if type(value) in IMMUTABLE:
            self._mutable.discard(field)
        else:
            self._mutable.add(field)

    def _drop(self, field: bytes) -> None:
        self._values.pop(field, None)
        self._mutable.discard(field)


def _known(base: bytes | Basis | None) -> bytes:
    assert isinstance(base, bytes)
    return base
