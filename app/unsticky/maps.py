"""A map in a session. Each entry is read, written and merged separately."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, MutableMapping
from typing import Any

from .errors import Unserializable
from .fields import entry_field, entry_key, map_prefix, plain_field
from .unit_of_work import NOTHING, UnitOfWork, operations_of


class SessionMap(MutableMapping[Any, Any]):
    """What `session.map(name)` returns. Keys are str, int, bytes or UUID; iteration is by key.

    Setting and deleting entries is written with the session, at the end of the request; `incr`,
    `take` and `clear` happen at once, atomically in the store.
    """

    def __init__(self, unit: UnitOfWork, name: str) -> None:
        self._unit = unit
        self._name = name
        self._prefix = _prefix(unit, name)

    def __getitem__(self, key: Any) -> Any:
        """Return the entry.

        Raises:
            KeyError: there is none.
        """
        value = self._read(key)
        if value is NOTHING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        """Set the entry."""
        self._unit.write(self._field(key), value, f"session.map({self._name!r})[{key!r}]")

    def __delitem__(self, key: Any) -> None:
        """Delete the entry.

        Raises:
            KeyError: there is none.
        """
        if self._read(key) is NOTHING:
            raise KeyError(key)
        self._unit.delete(self._field(key))

    def __contains__(self, key: object) -> bool:
        """Tell whether the entry exists."""
        return self._read(key) is not NOTHING

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the keys, in order."""
        return iter([key for key, _ in self.pairs()])

    def items(self) -> ItemsView[Any, Any]:
        """Return the entries, in the order of their keys."""
        return _Items(self)

    def pairs(self) -> Iterator[tuple[Any, Any]]:
        """Iterate over the entries without looking each key up again."""
        return iter(self._unit.entries(self._prefix, entry_key))

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._unit.fields(self._prefix))

    def __repr__(self) -> str:
        """Name the map, without loading it."""
        return f"<SessionMap {self._name!r}>"

    def incr(
        self, key: Any, delta: int = 1, *, minimum: int | None = None, maximum: int | None = None
    ) -> int:
        """Add to an entry, atomically, and return the new value; an absent entry counts as 0.

        Raises:
            OutOfRange: the new value would leave its bounds; the entry keeps its value.
            TypeError: the entry holds no integer.
        """
        return operations_of(self._unit).add(self._field(key), delta, minimum, maximum)

    def take(self, *, into: str | None = None) -> dict[Any, Any]:
        """Remove all entries, atomically, and return what was removed.

        Args:
            into: the name of another map of this session. The entries move there in the same step,
                even if this worker dies next. They replace entries with the same keys.

        Raises:
            ValueError: `into` is this map itself.
            TypeError: a plain key has the name `into`.
        """
        if into is None:
            taken = operations_of(self._unit).take(self._prefix)
        elif into == self._name:
            raise ValueError(f"the map {into!r} cannot be taken into itself: name another one")
        else:
            taken = operations_of(self._unit).take(self._prefix, _prefix(self._unit, into))
        return {entry_key(self._prefix, field): value for field, value in taken.items()}

    def clear(self) -> dict[Any, Any]:  # type: ignore[override]  # returns what was removed
        """Remove all entries at once; the same as `take`."""
        return self.take()

    def _field(self, key: object) -> bytes:
        return entry_field(self._prefix, key)

    def _read(self, key: object) -> Any:
        try:
            field = self._field(key)
        except Unserializable:
            return NOTHING  # nothing can be stored under it
        return self._unit.read(field)


def _prefix(unit: UnitOfWork, name: str) -> bytes:
    if unit.knows(plain_field(name)):
        raise TypeError(f"{name!r} is a plain key: give the map another name")
    return map_prefix(name)


class _Items(ItemsView[Any, Any]):
    """A view as `dict.items()` gives one, iterated in one pass."""

    _mapping: SessionMap

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Iterate over the entries."""
        return self._mapping.pairs()
