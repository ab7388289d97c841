"""The session that a view sees: a mapping that loads when first read and tracks what changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self, cast

import flask
from flask.sessions import SessionMixin

from . import fields
from .config import milliseconds
from .errors import Unserializable
from .limits import MOST_FLASHES
from .maps import SessionMap
from .request_facts import RequestFacts
from .state import ExtensionState
from .unit_of_work import NOTHING, UnitOfWork, operations_of, remove_shown_flashes

_REQUEST_LOCAL: Final = frozenset({"_remember", "_remember_seconds"})
"""Keys that Flask-Login sets and removes within one response. It looks for them in every response,
also if the view did not touch the session; that look must not load it."""


class Session(SessionMixin):
    """Flask's session, kept in the store.

    It is loaded when first read; writing alone does not load it. When the request ends, only what
    was set, deleted or changed in place is written. `incr`, `map(...).incr`, `take`, `rotate`,
    `bind`, `unbind` and `destroy` happen at once, atomically. After the response was made the
    session can still be read. One object serves one request and is not thread-safe.
    """

    # What is not for applications begins with an underscore: in a template, `session.name` finds
    # an attribute before it finds a key.

    def __init__(self, extension: ExtensionState, facts: RequestFacts) -> None:
        self._extension = extension
        self._facts = facts
        self._begun: UnitOfWork | None = None
        self._sealed = False
        self._announced = False
        self.accessed = False  # Flask sets it on every look, so `_touched` decides

    @property
    def _unit(self) -> UnitOfWork:
        """The unit of work, begun when first needed: an untouched session costs nothing."""
        if self._begun is None:
            facts = self._facts
            self._begun = UnitOfWork(self._extension, facts.tokens(), facts)
            if self._sealed:
                self._begun.seal()
        return self._begun

    def _seal(self) -> None:
        """Refuse changes from now on, even if nothing was touched yet: the response was made."""
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
            if fields.is_name(name) and self._unit.has_map(fields.map_prefix(name)):
                raise TypeError(f"{name!r} is a map: use session.map({name!r})")
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        """Set a plain key; it is written when the request ends.

        Raises:
            Unserializable: the value, or a part of it, cannot be stored; the message has the path.
        """
        field_ = fields.plain_field(name)
        # A client that never looks at a page sees none of its messages.
        if field_ == fields.FLASHES and isinstance(value, list) and len(value) > MOST_FLASHES:
            value = value[-MOST_FLASHES:]
        if self._unit.has_map(fields.map_prefix(name)):
            raise TypeError(f"{name!r} is a map: use session.map({name!r})")
        self._unit.write(field_, value, f"session[{name!r}]")

    def __delitem__(self, name: str) -> None:
        """Delete a plain key.

        Raises:
            KeyError: there is none.
        """
        if self._read(name) is NOTHING:
            raise KeyError(name)
        field_, unit = fields.plain_field(name), self._unit
        if unit.sealed and field_ == fields.FLASHES:
            remove_shown_flashes(unit)
        else:
            unit.delete(field_)

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
        return f"<Session {self.handle or 'not stored'} {self._unit.state_name}>"

    # What the session is.

    @property
    def handle(self) -> str | None:
        """A name that is safe to show and log; None while nothing is stored."""
        token = self._unit.token
        return token.reference.handle if token else None

    @property
    def created(self) -> datetime | None:
        """When the session was created or bound, in UTC; None while nothing is stored."""
        record = self._unit.record
        return datetime.fromtimestamp(record.created / 1000, UTC) if record else None

    @property
    def available(self) -> bool:
        """False if the store could not be reached and the view is `@sessions.optional`."""
        return self._unit.is_available

    @property
    def new(self) -> bool:  # type: ignore[override]  # likewise
        """True while nothing is stored, and in the request that stored it first."""
        return self._unit.is_new

    @property
    def modified(self) -> bool:
        """Whether this request changed the session, by now; setting it True is not needed."""
        return self._announced or (self._begun is not None and self._begun.modified)

    @modified.setter
    def modified(self, value: bool) -> None:
        """Accept what Flask applications do after a change in place, which is found without it."""
        self._announced = value

    @property
    def user(self) -> str | None:
        """The user whom `bind` named; None for nobody.

        This is not the plain key `user`. In a template, `session.user` is the key.
        """
        return self._unit.user

    @property
    def permanent(self) -> bool:
        """Whether the cookie outlives the browser. Setting the value that it has costs nothing."""
        announced = self._unit.extras.permanent
        if announced is not None:
            return announced
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
        """Let the atomic operations from here on happen once in all requests that give this name.

        Another request of this session may give the same name and then do the same operations
        (`incr`, `take` and the like, with equal arguments) in the same order. It gets the results
        of the first request and changes nothing. If the first request did only some of the
        operations, the other one does the rest. Results are kept for 24 hours and end with the
        session's id. This is what an Idempotency-Key needs: a worker may die after it wrote and
        before it answered. An operation that was refused, by its bounds for example, has no result
        and may succeed later.

        The name has no effect on plain keys that the view sets. A transaction refuses it, because
        its changes follow from what it read.

        Raises:
            SessionError: in a transaction, or after the response was made.
        """
        operations_of(self._unit).once(name)

    def incr(
        self, name: str, delta: int = 1, *, minimum: int | None = None, maximum: int | None = None
    ) -> int:
        """Add to a plain key, atomically, and return the new value; an absent key counts as 0.

        Args:
            name: the key.
            delta: what to add, within ±(10¹⁵ - 1) like the result.
            minimum: the least new value that is accepted.
            maximum: the greatest new value that is accepted.

        Raises:
            OutOfRange: the new value would leave its bounds; the key keeps its value.
            TypeError: the key holds no integer.
        """
        return operations_of(self._unit).add(fields.plain_field(name), delta, minimum, maximum)

    def rotate(self) -> None:
        """Give the session a new id; the old one is invalid from that instant.

        If this fails, what the request changed before is dropped.

        Raises:
            SessionGone: the session ended in the meantime.
        """
        operations_of(self._unit).rotate()

    def bind(self, user: str, *, stamp: int | None = None, label: str = "") -> None:
        """Make this the session of `user`, under a new id, and add it to the user's list.

        What the request changed before is written in the same step, so that a login is complete or
        does not happen. If it fails, those changes are dropped. What is set afterwards is written
        when the request ends.

        Args:
            user: a stable name of the user, such as the primary key as a string.
            stamp: the version of the credential that was checked; see `revoke_all`.
            label: what the list shows for the session, such as the browser's name; cut at 200
                bytes.

        Raises:
            StaleCredential: `revoke_all` recorded a newer credential version.
            Conflict: another request changed what this one read and changed before.
            SessionGone: the session ended in the meantime.
            SessionError: there is no response, as in a handler of Flask-SocketIO.
        """
        operations_of(self._unit).bind(user, stamp, label)

    def unbind(self, *names: str) -> None:
        """Log out: take the session from its user, remove these plain keys, give it a new id.

        This is one atomic write, so that a worker that is killed leaves either the login or the
        logout. A conflict in the request's other changes does not undo it. The rest of the session
        stays for the visitor, who is now anonymous; its limits are the application's again. An
        empty session ends. So does one whose handler has no response that could carry the new id,
        as with Flask-SocketIO. `destroy` ends everything.

        Args:
            *names: plain keys that belong to the login, such as `_user_id`.

        Raises:
            SessionGone: another request gave the session a new id, under which it is still alive.
            StoreUnavailable, OutcomeUnknown: the logout did not happen, or may not have.
        """
        operations_of(self._unit).unbind(tuple(fields.plain_field(name) for name in names))

    def set_lifetime(
        self, *, idle: timedelta | float | None = None, absolute: timedelta | float | None = None
    ) -> None:
        """Set limits for this session alone, such as 30 days for "remember me".

        They are written when the request ends, and apply by the store's clock. Limits alone start
        no session. `unbind` resets them.

        Args:
            idle: since the session was last seen, in seconds or as a timedelta; None for the
                application's limit.
            absolute: since the session was created or bound, likewise.

        Raises:
            ConfigurationError: not a time, under a second, or over a hundred years.
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
        """End the session and all its data; what is set afterwards starts a new one.

        What the request changed before is dropped, even if this fails.

        Raises:
            StoreUnavailable: the session may still be alive.
        """
        operations_of(self._unit).destroy()

    def clear(self) -> None:
        """End the session; the same as `destroy`, under the name that a mapping gives it."""
        operations_of(self._unit).destroy()

    def _read(self, name: Any) -> Any:
        try:
            field = fields.plain_field(name)
        except Unserializable:
            return NOTHING  # nothing can be stored under it
        if name in _REQUEST_LOCAL and not (self._touched and self._unit.changes.base is not None):
            return NOTHING if self._begun is None else self._begun.changes.get(field)
        return self._unit.read(field)


session: Final = cast("Session", flask.session)
"""`flask.session` with its type, for editors and type checkers."""


def current_session() -> Session | None:
    """Return the current request's session, not its proxy; None if it is of another kind."""
    if not flask.has_request_context():
        return None
    held = flask.session._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (werkzeug's documented way to the object behind a proxy)
    return held if isinstance(held, Session) else None
