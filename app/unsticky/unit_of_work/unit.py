"""The unit of work behind a session: loaded when first read, with what the request changed since.

The other modules of this package commit it, and carry out its operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from ..codec import decode
from ..cookie import Token
from ..errors import Corrupt, SessionError, SessionGone, StoreUnavailable
from ..fields import PERMANENT, name_of
from ..merge import strict
from ..request_facts import RequestFacts
from ..state import ExtensionState
from ..stores.base import Record, SetLimits
from .changes import NOTHING, ChangeSet, HeldValue, refuse_changed
from .extras import Extras
from .lifecycle import Presence
from .stored_session import StoredSession

T = TypeVar("T")


class UnitOfWork:
    """See the module. `session.Session` is what a view sees of it.

    Attributes:
        extension: what all sessions of the application share.
        stored: the session at the store.
        changes: what is known of its fields, and what was changed.
        extras: what the next commit writes beside the fields.
        dropped: values of dropped change sets that the view may still hold and change.
        touched: the request read or changed the session in any way.
        sealed: the response was made; nothing can be changed any more.
        answering: an error is being answered, or the response was made: reading does not raise.
    """

    __slots__ = (
        "_created_before",
        "_extras_before",
        "_modified",
        "answering",
        "changes",
        "dropped",
        "extension",
        "extras",
        "sealed",
        "stored",
        "touched",
    )

    def __init__(self, extension: ExtensionState, tokens: list[Token], facts: RequestFacts) -> None:
        self.extension = extension
        self.stored = StoredSession(extension, tokens, facts)
        self.changes = ChangeSet()
        self.extras = Extras()
        self.dropped: list[HeldValue] = []
        self.touched = False
        self.sealed = False
        self.answering = False
        self._modified = False
        self._created_before = False
        self._extras_before: Extras | None = None  # those from before the transaction

    # What is known.

    @property
    def token(self) -> Token | None:
        """What the cookie holds, or will hold. Of several cookies, the one with a live session.

        Raises:
            StoreUnavailable: several cookies came, and the store cannot say which counts.
        """
        if self.stored.is_undecided:
            self.load()
        return self.stored.token

    @property
    def record(self) -> Record | None:
        """When the session was created and how long it may live; None while nothing is stored."""
        if self.stored.record is None:
            self.load()
        return self.stored.record

    @property
    def user(self) -> str | None:
        """The user whom the session is bound to; None for nobody."""
        move = self.extras.rotation.move if self.extras.rotation is not None else None
        if self.extras.end is not None or (move is not None and (move.bind or move.unbind)):
            return move.bind.name.decode() if move is not None and move.bind else None
        self.load()
        return self.stored.user

    @property
    def is_available(self) -> bool:
        """Whether the store could be reached."""
        self.load()
        return self.stored.state is not Presence.UNAVAILABLE

    @property
    def is_permanent(self) -> bool:
        """Whether the cookie outlives the browser, as far as is known without a load."""
        if self.extras.permanent is not None:
            return self.extras.permanent
        token = self.stored.token
        unknown = token is not None and token.permanent
        return self.changes.is_true(PERMANENT, unknown=unknown)

    @property
    def is_new(self) -> bool:
        """Whether the request's cookie, if it has one, opens no stored session yet."""
        return self.token is None or self.stored.created

    @property
    def state_name(self) -> str:
        """The state of the stored session, for people."""
        return self.stored.state_name

    @property
    def retry(self) -> Callable[[], None] | None:
        """What lets the request run again, if it may."""
        return self.stored.retry

    def adopt(self) -> None:
        """Take over the session of another library, if the request brought one."""
        self.stored.adopt()

    def knows(self, field: bytes) -> bool:
        """Whether a field is there, as far as is known without a load."""
        return self.changes.knows(field)

    def has_map(self, prefix: bytes) -> bool:
        """Whether a map has an entry, as far as is known without a load."""
        return self.changes.has_any(prefix)

    @property
    def modified(self) -> bool:
        """Whether the request changed the session, by now."""
        return self._modified or bool(self.changes.writes(b""))

    # Reading.

    def load(self) -> None:
        """Load the session if its fields are not known yet.

        Raises:
            StoreUnavailable: and the view did not say that it can live without the store.
        """
        self.touched = True
        if self.changes.base is not None:
            return
        try:
            self.changes.loaded(self.stored.load(late=self.sealed))
        except (StoreUnavailable, SessionGone):
            if not self.answering:
                raise
            self.stored.state = Presence.UNAVAILABLE
            self.changes.loaded({})

    def read(self, field: bytes) -> Any:
        """Return a field's value, or NOTHING.

        Raises:
            SessionGone: the stored bytes are unreadable; the session was set aside.
        """
        self.touched = True
        if not self.changes.holds(field):
            self.load()
        try:
            return self.changes.get(field)
        except Corrupt as error:
            gone = self.unreadable_field(field)
            if self.answering:
                return NOTHING
            raise gone from error

    def fields(self, prefix: bytes) -> list[bytes]:
        """Return the fields that exist under `prefix`, in order."""
        self.load()
        return self.changes.fields(prefix)

    def named(self, name: Callable[[bytes], T], field: bytes) -> T:
        """Return `name(field)` of a field that is loaded.

        Raises:
            SessionGone: the field's name is unreadable; the session was set aside.
        """
        try:
            return name(field)
        except Corrupt as error:
            raise self.unreadable_field(field) from error

    def entries(self, prefix: bytes, name: Callable[[bytes, bytes], Any]) -> list[tuple[Any, Any]]:
        """Return `name(prefix, field)` and the value of each field under `prefix`, in order.

        Raises:
            SessionGone: a name or a value is unreadable; the session was set aside.
        """
        entries = []
        for field in self.fields(prefix):
            try:
                entries.append((name(prefix, field), self.changes.get(field)))
            except Corrupt as error:
                raise self.unreadable_field(field) from error
        return entries

    def unreadable_field(self, field: bytes) -> SessionGone:
        """Set the session aside because of this field, and return the error to raise."""
        return self.stored.set_aside(field, (self.changes.base or {}).get(field, b""))

    def unreadable(self, fields: Mapping[bytes, bytes | None]) -> SessionGone:
        """Set the session aside for the first of these fields that cannot be read."""
        for field, data in fields.items():
            try:
                decode(data or b"0")
            except Corrupt:
                return self.stored.set_aside(field, data or b"")
        return self.stored.set_aside()

    # Changing.

    def open_for_writing(self) -> None:
        """Prepare for a change.

        Raises:
            SessionError: the response was made.
            StoreUnavailable: the view goes on without the store, so that nothing can be changed.
        """
        if self.sealed:
            self.refuse_if_sealed()
        self.touched = self._modified = True
        if self.stored.state is Presence.UNAVAILABLE:
            raise StoreUnavailable(
                "the store is unavailable: this view's session is empty and read-only"
            )
        if self.stored.adopts:
            self.stored.adopt()

    def refuse_if_sealed(self) -> None:
        """Raise SessionError if the response was made."""
        if self.sealed:
            raise SessionError("the response was made: change the session before returning it")

    def write(self, field: bytes, value: Any, path: str) -> None:
        """Set a field; `path` names it in errors."""
        self.open_for_writing()
        if self.extension.config.merges.get(name_of(field)) is strict:
            self.read(field)
        self.changes.set(field, value, path)

    def delete(self, field: bytes) -> None:
        """Delete a field."""
        self.open_for_writing()
        self.changes.delete(field)

    def limit(self, idle: int | None, absolute: int | None) -> None:
        """Give this session limits in ms; None for the application's."""
        self.open_for_writing()
        self.extras.limits = SetLimits(idle, absolute)

    def make_permanent(self, permanent: bool) -> None:  # noqa: FBT001 (a property's value)
        """Let the cookie outlive the browser, or not. If it does so already, nothing changes."""
        self.refuse_if_sealed()
        self.extras.permanent = permanent
        token = self.stored.token
        if token is not None and token.permanent != permanent:
            self.touched = self._modified = True

    # A transaction: operations are buffered until it commits, which compares all that they read.

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun."""
        return self._extras_before is not None

    def begin_transaction(self) -> None:
        """Begin a transaction, or begin it again, from what the store holds."""
        if self._extras_before is None:
            self.dropped += self.changes.held_values()
            self._extras_before = self.extras
        self._restart(self._extras_before, ChangeSet(validating=True))

    def roll_back(self) -> None:
        """Drop what the transaction would have changed."""
        if self._extras_before is not None:
            self.dropped += self.changes.held_values()
            self._restart(self._extras_before, ChangeSet())

    def end_transaction(self) -> None:
        """Carry out operations at once again, and compare no more what is only read."""
        if self._extras_before is not None:
            self.changes.validating = False
            self._extras_before = None

    def _restart(self, extras: Extras, changes: ChangeSet) -> None:
        self.begin(changes)
        self.extras = replace(extras)

    # After a write, an error or the response.

    def settle(self) -> None:
        """Note that the store holds nothing else if there is no session, or a new one started."""
        changes, stored = self.changes, self.stored
        if changes.base is None:
            created = stored.created and not self._created_before
            if created or stored.state is not Presence.ALIVE:
                changes.loaded({})

    def begin(self, changes: ChangeSet) -> None:
        """Continue with another change set."""
        self.changes = changes
        self._created_before = self.stored.created  # what was stored then is not in `changes`

    def abandon(self, *, answering: bool = False) -> None:
        """Drop what was not written. What was read stays, and what is set from now on counts.

        While an error is answered (`answering`), reading does not raise any more.
        """
        self.begin(self.changes.unchanged())
        self.extras = Extras()
        self.answering = self.answering or answering

    def detach(self) -> None:
        """Drop what was changed: the session moved on without this request."""
        self.stored.leave()
        self.changes = ChangeSet()
        self.changes.loaded({})

    def seal(self) -> None:
        """Refuse changes from now on: the response was made."""
        self.sealed = self.answering = True

    def refuse_changed_after_drop(self) -> None:
        """Raise SessionError, once, if the view changed a value of a dropped change set."""
        if self.dropped:
            try:
                refuse_changed(self.dropped, self.changes)
            except SessionError:
                self.dropped.clear()
                raise
