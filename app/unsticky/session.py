"""The session that a view sees: a mapping that loads when first read and tracks what changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, Self

from flask.sessions import SessionMixin

from . import fields
from .config import milliseconds
from .errors import Unserializable
from .maps import SessionMap
from .unit_of_work import Unit
from .unit_of_work.changes import NOTHING
from .unit_of_work.stored_session import State

_REQUEST_LOCAL: Final = frozenset({"_remember", "_remember_seconds"})
"""Fields that Flask-Login sets and removes within one response. It looks for them every time, also
in views that never touched the session: that look must not load it."""


class Opening(Protocol):
    """A request whose session was not touched yet.

    Attributes:
        has_cookie: the browser sent a session cookie of some kind.
    """

    @property
    def has_cookie(self) -> bool:
        """See the class."""

    def begin(self) -> Unit:
        """Return the work behind the session."""


class Session(SessionMixin):
    """Flask's session, kept in the store.

    It is loaded when first read; writing alone does not load it. What was set, deleted or changed
    in place is written when the request ends, and only that. `incr`, `map(...).incr`, `take`,
    `rotate`, `bind`, `unbind` and `destroy` happen at once, atomically. After the response was made
    it can still be read. One object serves one request and is not thread-safe.
    """

    # Everything that is not for applications begins with an underscore: in a template,
    # `session.name` finds an attribute before it finds a key.

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._begun: Unit | None = None
        self._sealed = False
        self._announced = False
        self.accessed = False  # Flask sets it on every look; `_touched` is the measure

    @property
    def _unit(self) -> Unit:
        """The work behind this face, begun when first needed: untouched it costs nothing."""
        if self._begun is None:
            self._begun = self._opening.begin()
            if self._sealed:
                self._begun.seal()
        return self._begun

    def _seal(self) -> None:
        """Refuse changes from now on, also to a session not touched yet: the response was made."""
        self._sealed = True
        if self._begun is not None:
            self._begun.seal()

    @property
    def _touched(self) -> bool:
        """Whether the request read or changed the session in any way."""
        return self._begun is not None and self._begun.touched

    # The mapping.

    def __getitem__(self, name: str) -> Any:
        """Return the value of a plain key.

        Raises:
            KeyError: there is none.
            TypeError: the name is a map's; use `session.map(name)`.
        """
        value = self._read(name)
        if value is NOTHING:
            if fields.is_name(name) and self._unit.draft.any(fields.map_prefix(name)):
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
        if self._unit.draft.any(fields.map_prefix(name)):
            message = f"{name!r} is a map: use session.map({name!r})"
            raise TypeError(message)
        self._unit.write(field_, value, f"session[{name!r}]")

    def __delitem__(self, name: str) -> None:
        """Delete a plain key.

        Raises:
            KeyError: there is none.
        """
        if self._read(name) is NOTHING:
            raise KeyError(name)
        self._unit.delete(fields.plain_field(name))

    def __contains__(self, name: object) -> bool:
        """Tell whether a plain key exists."""
        return self._read(name) is not NOTHING

    def __iter__(self) -> Iterator[str]:
        """Iterate over the plain keys; maps are not among them."""
        unit = self._unit
        return iter([unit.named(fields.name_of, field_) for field_ in unit.fields(fields.PLAIN)])

    def __len__(self) -> int:
        """Count the plain keys."""
        return len(self._unit.fields(fields.PLAIN))

    def __bool__(self) -> bool:
        """Tell whether there is any plain key or map entry."""
        return any([self._unit.fields(fields.PLAIN), self._unit.fields(fields.MAP)])

    def __repr__(self) -> str:
        """Name the session by its handle, without loading it."""
        return f"<Session {self.handle or 'not stored'} {self._unit.link.state.name.lower()}>"

    # What the session is.

    @property
    def handle(self) -> str | None:
        """A name that is safe to show and log, or None while nothing is stored."""
        token = self._unit.token
        return token.reference.handle if token else None

    @property
    def created(self) -> datetime | None:
        """When the session was made or bound, in UTC, or None while nothing is stored."""
        if self._unit.link.record is None:
            self._unit.load()
        record = self._unit.link.record
        return datetime.fromtimestamp(record.created / 1000, UTC) if record else None

    @property
    def available(self) -> bool:
        """False where the store could not be reached and the view is `@sessions.optional`."""
        self._unit.load()
        return self._unit.link.state is not State.UNAVAILABLE

    @property
    def new(self) -> bool:  # type: ignore[override]  # likewise
        """True while nothing is stored, and in the request that stored it first."""
        return self._unit.token is None or self._unit.link.created

    @property
    def modified(self) -> bool:
        """Whether this request changed the session, by now; setting it True is not needed."""
        unit = self._begun
        return self._announced or (
            unit is not None and (unit.modified or bool(unit.draft.writes(b"")))
        )

    @modified.setter
    def modified(self, value: bool) -> None:
        """Accept Flask's habit of announcing changes in place: they are found by comparing."""
        self._announced = value

    @property
    def user(self) -> str | None:
        """Whom `bind` made this the session of, None for nobody.

        Not the plain key of that name; in a template `session.user` is the key.
        """
        return self._unit.user

    @property
    def permanent(self) -> bool:
        """Whether the cookie outlives the browser. Setting what it is already costs nothing."""
        if self._unit.aside.permanent is not None:
            return self._unit.aside.permanent
        return bool(self.get("_permanent", False))

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self._unit.make_permanent(bool(value))

    # What happens at once, atomically.

    def map(self, name: str) -> SessionMap:
        """Return the map called `name`; it exists once it has an entry.

        Raises:
            TypeError: a plain key has that name.
        """
        return SessionMap(self._unit, name)

    def maps(self) -> list[str]:
        """Return the names of the maps that have entries, in order."""
        unit = self._unit
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
        self._unit.once(name)

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
        return self._unit.add(fields.plain_field(name), delta, minimum, maximum)

    def rotate(self) -> None:
        """Give the session a new id; the old one is dead from that instant.

        If this fails, what the request changed before is dropped with it.

        Raises:
            SessionGone: the session ended in the meantime.
        """
        self._unit.rotate()

    def bind(self, user: str, *, stamp: int | None = None, label: str = "") -> None:
        """Make this the session of `user`, under a new id, and enter it into the user's list.

        What the request changed before is written in the same step: a login is there as a whole or
        not at all. If it fails, those changes are dropped; what is set afterwards is written as
        ever.

        Args:
            user: any stable name of the user, such as the primary key as a string.
            stamp: the version of the credential that was checked; see `revoke_all`.
            label: what the list shows for it, such as the browser's name; cut at 200 bytes.

        Raises:
            StaleCredential: `revoke_all` recorded a newer credential.
            Conflict: another request changed what this one read and changed before.
            SessionGone: the session ended in the meantime.
            SessionError: no response goes out, as in a handler of Flask-SocketIO.
        """
        self._unit.bind(user, stamp, label)

    def unbind(self, *names: str) -> None:
        """Log out: take the session from its user, remove these plain keys, give it a new id.

        All of it is one atomic write, which no conflict in the request's other changes undoes: a
        worker that is killed leaves either the login or the logout. What else the session holds
        stays, for the visitor who is now nobody; its limits are the application's again. An empty
        session ends, and so does one where no response goes out that could carry the new id, as in
        a handler of Flask-SocketIO. `destroy` ends everything.

        Args:
            *names: plain keys that belong to the login, such as `_user_id`.

        Raises:
            SessionGone: the session got a new id from another request, under which it lives on.
            StoreUnavailable, OutcomeUnknown: the logout was not carried out, or may not have been.
        """
        self._unit.unbind(tuple(fields.plain_field(name) for name in names))

    def set_lifetime(
        self,
        *,
        idle: timedelta | float | None = None,
        absolute: timedelta | float | None = None,
    ) -> None:
        """Give this one session limits of its own, such as 30 days for "remember me".

        Written when the request ends, and kept by the store's clock. Alone it begins no session.
        `unbind` takes the limits back.

        Args:
            idle: since the session was last seen, in seconds or as a timedelta; None for what the
                application says.
            absolute: since it was created or bound, likewise.

        Raises:
            ConfigurationError: no time, or under a second, or over a hundred years.
        """
        self._unit.limit(
            None if idle is None else milliseconds("idle", idle),
            None if absolute is None else milliseconds("absolute", absolute),
        )

    def copy(self) -> dict[str, Any]:
        """Return the plain keys and their values as a dict."""
        return dict(self)

    def __or__(self, other: Any) -> dict[str, Any]:
        """Return the plain keys and their values with those of another mapping, as a dict."""
        return {**self, **other}

    def __ror__(self, other: Any) -> dict[str, Any]:
        """Return another mapping with the plain keys and their values, as a dict."""
        return {**other, **self}

    def __ior__(self, other: Any) -> Self:
        """Set all keys of another mapping."""
        self.update(other)
        return self

    def destroy(self) -> None:
        """End the session and all its data; what is set afterwards begins a new one.

        If this fails, what the request changed before is dropped all the same.

        Raises:
            StoreUnavailable: it was not carried out; the session may still live.
        """
        self._unit.destroy()

    def clear(self) -> None:
        """End the session; the same as `destroy`, under the name that a mapping gives it."""
        self._unit.destroy()

    def _read(self, name: Any) -> Any:
        try:
            field = fields.plain_field(name)
        except Unserializable:
            return NOTHING  # nothing can be stored under it
        if name in _REQUEST_LOCAL and not (self._touched and self._unit.draft.base is not None):
            return self._begun.draft.get(field) if self._begun is not None else NOTHING
        return self._unit.read(field)
