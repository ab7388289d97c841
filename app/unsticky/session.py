"""The session that a view sees: a mapping that loads when first read and tracks what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

from . import fields
from .draft import NOTHING
from .link import State
from .maps import SessionMap
from .unit import Unit

_REQUEST_LOCAL: Final = frozenset({"_remember", "_remember_seconds"})
"""Fields that Flask-Login sets and removes within one response. It looks for them every time, also
in views that never touched the session: that look must not load it."""


class Session(MutableMapping[str, Any]):
    """Flask's session, kept in the store.

    It is loaded when first read; writing alone does not load it. What was set, deleted or changed
    in place is written when the request ends, and only that. `incr`, `map(...).incr`, `take`,
    `rotate`, `bind` and `destroy` happen at once, atomically. One object serves one request and is
    not thread-safe.
    """

    def __init__(self, begin: Callable[[], Unit]) -> None:
        self._begin = begin
        self._unit: Unit | None = None
        self._sealed = False
        self.accessed = False  # Flask sets it on every look; `touched` is the measure

    @property
    def unit(self) -> Unit:
        """The work behind this face, begun when first needed: untouched it costs nothing."""
        if self._unit is None:
            self._unit = self._begin()
            if self._sealed:
                self._unit.seal()
        return self._unit

    def seal(self) -> None:
        """Refuse changes from now on, also to a session not touched yet: the response was made."""
        self._sealed = True
        if self._unit is not None:
            self._unit.seal()

    @property
    def touched(self) -> bool:
        """Whether the request read or changed the session in any way."""
        return self._unit is not None and self._unit.touched

    # The mapping.

    def __getitem__(self, name: str) -> Any:
        """Return the value of a plain key.

        Raises:
            KeyError: there is none.
            TypeError: the name is a map's; use `session.map(name)`.
        """
        value = self._read(name)
        if value is NOTHING:
            if self.unit.draft.any(fields.map_prefix(name)):
                message = f"{name!r} is a map: use session.map({name!r})"
                raise TypeError(message)
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        """Set a plain key; it is written when the request ends.

        Raises:
            Unserializable: it, or something in it, cannot be stored; the message has the path.
        """
        field_ = fields.plain_field(name)
        if self.unit.draft.any(fields.map_prefix(name)):
            message = f"{name!r} is a map: use session.map({name!r})"
            raise TypeError(message)
        self.unit.write(field_, value, f"session[{name!r}]")

    def __delitem__(self, name: str) -> None:
        """Delete a plain key.

        Raises:
            KeyError: there is none.
        """
        if self._read(name) is NOTHING:
            raise KeyError(name)
        self.unit.delete(fields.plain_field(name))

    def __contains__(self, name: object) -> bool:
        """Tell whether a plain key exists."""
        return isinstance(name, str) and self._read(name) is not NOTHING

    def __iter__(self) -> Iterator[str]:
        """Iterate over the plain keys; maps are not among them."""
        unit = self.unit
        return iter([unit.named(fields.name_of, field_) for field_ in unit.fields(fields.PLAIN)])

    def __len__(self) -> int:
        """Count the plain keys."""
        return len(self.unit.fields(fields.PLAIN))

    def __bool__(self) -> bool:
        """Tell whether there is any plain key or map entry."""
        self.unit.load()
        return self.unit.draft.any(b"")

    def __repr__(self) -> str:
        """Name the session by its handle, without loading it."""
        return f"<Session {self.handle or 'not stored'} {self.unit.link.state.name.lower()}>"

    # What the session is.

    @property
    def handle(self) -> str | None:
        """A name that is safe to show and log, or None while nothing is stored."""
        return self.unit.link.token.reference.handle if self.unit.link.token else None

    @property
    def created(self) -> datetime | None:
        """When the session was made or bound, in UTC, or None while nothing is stored."""
        if self.unit.link.record is None:
            self.unit.load()
        record = self.unit.link.record
        return datetime.fromtimestamp(record.created / 1000, UTC) if record else None

    @property
    def available(self) -> bool:
        """False where the store could not be reached and the view is `@sessions.optional`."""
        self.unit.load()
        return self.unit.link.state is not State.UNAVAILABLE

    @property
    def new(self) -> bool:
        """True while nothing is stored, and in the request that stored it first."""
        return self.unit.link.token is None or self.unit.link.created

    @property
    def modified(self) -> bool:
        """Whether anything would be written now; setting it is not needed and changes nothing."""
        return bool(self.unit.draft.changes())

    @modified.setter
    def modified(self, value: bool) -> None:
        """Accept Flask's habit of announcing changes in place: they are found by comparing."""

    @property
    def permanent(self) -> bool:
        """Whether the cookie outlives the browser. Setting it alone stores and loads nothing."""
        if self.unit.permanent is not None:
            return self.unit.permanent
        return bool(self.get("_permanent", False))

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self.unit.make_permanent(bool(value))

    # What happens at once, atomically.

    def map(self, name: str) -> SessionMap:
        """Return the map called `name`; it exists once it has an entry.

        Raises:
            TypeError: a plain key has that name.
        """
        return SessionMap(self.unit, name)

    def maps(self) -> list[str]:
        """Return the names of the maps that have entries, in order."""
        unit = self.unit
        return sorted({unit.named(fields.name_of, field_) for field_ in unit.fields(fields.MAP)})

    def once(self, name: str) -> None:
        """Let the atomic operations from here on happen once in all requests that say `name`.

        Another request of this session that says the same name and then makes the same operations
        (`incr`, `take` and the like, with equal arguments) in the same order gets the results of
        the first and changes nothing; one that got only half-way is completed. Results are kept for
        24 hours and end with the session's id. This is what an Idempotency-Key needs where a worker
        may die after it wrote and before it answered. An operation that was refused, by its bounds
        for one, has no result and may succeed later.

        What follows from something read cannot be told apart by name: not in a `@transaction`, and
        plain keys that the view sets are compared or overwritten as ever.

        Raises:
            SessionError: in a transaction, or after the response was made.
        """
        self.unit.once(name)

    def incr(
        self, name: str, delta: int = 1, *, minimum: int | None = None, maximum: int | None = None
    ) -> int:
        """Add to a plain key, atomically, and return the new value; an absent key counts as 0.

        Args:
            name: the key.
            delta: what to add, within ±(10¹⁵ - 1) like the result.
            minimum: refuse to go below this.
            maximum: refuse to go above this.

        Raises:
            OutOfRange: the value would leave its bounds; it stays as it is.
            TypeError: the key holds no integer.
        """
        return self.unit.add(fields.plain_field(name), delta, minimum, maximum)

    def rotate(self) -> None:
        """Give the session a new id; the old one is dead from that instant.

        Raises:
            SessionGone: the session ended in the meantime.
        """
        self.unit.rotate()

    def bind(self, user: str, *, stamp: int | None = None, label: str = "") -> None:
        """Make this the session of `user`, under a new id, and enter it into the user's list.

        Args:
            user: any stable name of the user, such as the primary key as a string.
            stamp: the version of the credential that was checked; see `revoke_all`.
            label: what the list shows for it, such as the browser's name; cut at 200 bytes.

        Raises:
            StaleCredential: `revoke_all` recorded a newer credential.
            SessionGone: the session ended in the meantime.
        """
        self.unit.bind(user, stamp, label)

    def destroy(self) -> None:
        """End the session and all its data; what is set afterwards begins a new one.

        Raises:
            StoreUnavailable: it was not carried out; the session may still live.
        """
        self.unit.destroy()

    def clear(self) -> None:
        """End the session; the same as `destroy`, under the name that a mapping gives it."""
        self.unit.destroy()

    def _read(self, name: str) -> Any:
        field = fields.plain_field(name)
        if name in _REQUEST_LOCAL and not (self.touched and self.unit.draft.base is not None):
            return self._unit.draft.get(field) if self._unit is not None else NOTHING
        return self.unit.read(field)
