"""What one request knows of its session and has changed in it. Pure: it speaks to no store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Any, Final

from .codec import IMMUTABLE, decode, encode
from .fields import PLAIN, describe, name_of
from .merge import ABSENT, Merge, Unmergeable, first_wins, three_way
from .stores.contract import BLIND, Basis, Change, Check, CheckCount, Write


class _Nothing(Enum):
    NOTHING = auto()


NOTHING: Final = _Nothing.NOTHING
"""No value; None is one."""


class Draft:
    """Fields as they were loaded, the values made of them, and what was set or deleted since.

    A field that was set before anything was loaded is *blind*: nobody read what it replaces, so
    nothing is compared when it is written.
    """

    __slots__ = (
        "_blind",
        "_mutable",
        "_pending",
        "_ranges",
        "_reads",
        "_values",
        "base",
        "validating",
    )

    def __init__(self, *, validating: bool = False) -> None:
        self.base: dict[bytes, bytes] | None = None
        self.validating = validating
        self._values: dict[bytes, Any] = {}
        self._pending: dict[bytes, bytes | None] = {}
        self._mutable: set[bytes] = set()
        self._blind: set[bytes] = set()
        self._reads: set[bytes] = set()
        self._ranges: set[bytes] = set()

    def holds(self, field: bytes) -> bool:
        """Tell whether the field was set or deleted here, so that the store need not be asked."""
        return field in self._pending

    def get(self, field: bytes) -> Any:
        """Return a field's value, or NOTHING.

        Raises:
            Corrupt: the stored bytes cannot be read.
        """
        value = self._values.get(field, NOTHING)
        if value is not NOTHING:
            return value
        if field in self._pending or self.base is None:
            return NOTHING
        self._reads.add(field)
        raw = self.base.get(field)
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
        if type(value) not in IMMUTABLE:
            self._mutable.add(field)
        if self.base is None:
            self._blind.add(field)

    def delete(self, field: bytes) -> None:
        """Delete a field."""
        self._pending[field] = None
        self._drop(field)
        if self.base is None:
            self._blind.add(field)

    def knows(self, field: bytes) -> bool:
        """Tell whether the field is known to exist, without asking and without counting a read."""
        if field in self._pending:
            return self._pending[field] is not None
        return field in (self.base or ())

    def changed(self, prefix: bytes) -> list[bytes]:
        """Return the fields under `prefix` that were set, deleted or changed in place here."""
        return [write.field for write in self._writes() if write.field.startswith(prefix)]

    def fields(self, prefix: bytes) -> list[bytes]:
        """Return the fields that exist under `prefix`, in order."""
        self._ranges.add(prefix)
        found = {field for field in self.base or () if field.startswith(prefix)}
        for field, encoded in self._pending.items():
            if field.startswith(prefix):
                (found.discard if encoded is None else found.add)(field)
        return sorted(found)

    def any(self, prefix: bytes) -> bool:
        """Tell whether any field exists under `prefix`, without counting that as a read."""
        return any(field.startswith(prefix) for field in self.base or ()) or any(
            encoded is not None and field.startswith(prefix)
            for field, encoded in self._pending.items()
        )

    def applied(self, field: bytes, encoded: bytes | None) -> None:
        """Take over what an atomic operation made of a field."""
        self._drop(field)
        self._pending.pop(field, None)
        self._blind.discard(field)
        if self.base is not None:
            if encoded is None:
                self.base.pop(field, None)
            else:
                self.base[field] = encoded

    def changes(self) -> tuple[Change, ...]:
        """Return what is to be written, and when validating, what is to be compared.

        Raises:
            Unserializable: a value was changed in place into something that cannot be stored.
        """
        writes = tuple(self._writes())
        if not self.validating:
            return writes
        written = {write.field for write in writes}
        checks = (c for c in self.checks() if isinstance(c, CheckCount) or c.field not in written)
        return (*writes, *checks)

    def checks(self) -> tuple[Check | CheckCount, ...]:
        """Return what is to be compared although it was only read; nothing unless validating."""
        if not self.validating or self.base is None:
            return ()
        base = self.base
        return (
            *(Check(field, base.get(field)) for field in sorted(self._reads)),
            *(
                CheckCount(prefix, sum(field.startswith(prefix) for field in base))
                for prefix in sorted(self._ranges)
            ),
        )

    def committed(self, changes: tuple[Change, ...]) -> None:
        """Take the written changes as the new base."""
        self._pending.clear()
        self._blind.clear()
        if self.base is None:
            # Blind writes: what else is there is still unknown, so later reads must load.
            self._values.clear()
            self._mutable.clear()
            return
        for change in changes:
            if isinstance(change, Write):
                if change.value is None:
                    self.base.pop(change.field, None)
                else:
                    self.base[change.field] = change.value

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
                change.prefix if isinstance(change, CheckCount) else getattr(change, "field", b"")
            )
            if where not in current:
                result.append(change)
            elif not isinstance(change, Write):
                contested.append(describe(where) if not isinstance(change, CheckCount) else "keys")
            else:
                try:
                    settled = self._settled(change, current[where], merges, repeatable=repeatable)
                except Unmergeable:
                    contested.append(describe(where))
                    result.append(Write(change.field, change.value, BLIND))
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
        plain = field.startswith(PLAIN)
        rule = merges.get(name_of(field), three_way) if plain else three_way
        base = ABSENT if change.base is None else decode(_known(change.base))
        mine = ABSENT if change.value is None else decode(change.value)
        theirs = ABSENT if current is None else decode(current)
        if (
            repeatable
            and base is ABSENT
            and rule in {three_way, first_wins}
            and change.value != current
        ):
            raise Unmergeable
        value = rule(base, mine, theirs)
        encoded = None if value is ABSENT else encode(value, describe(field))
        if self.base is not None:
            if current is None:
                self.base.pop(field, None)
            else:
                self.base[field] = current
        if value is ABSENT:
            self._drop(field)
        else:
            self._values[field] = value
        return [] if encoded == current else [Write(field, encoded, current)]

    def _writes(self) -> Iterator[Write]:
        for field, encoded in self._pending.items():
            if field not in self._mutable:
                base = self._basis(field)
                if base != encoded:
                    yield Write(field, encoded, base)
        for field in self._mutable:
            # The view may have changed it in place: only its encoding tells.
            encoded = encode(self._values[field], describe(field))
            base = self._basis(field)
            if base != encoded:
                yield Write(field, encoded, base)

    def _drop(self, field: bytes) -> None:
        self._values.pop(field, None)
        self._mutable.discard(field)

    def _basis(self, field: bytes) -> bytes | Basis | None:
        if field in self._blind or self.base is None:
            return BLIND
        return self.base.get(field)


def _known(base: bytes | Basis | None) -> bytes:
    assert isinstance(base, bytes)  # noqa: S101 (a blind write cannot conflict, absence is handled)
    return base
