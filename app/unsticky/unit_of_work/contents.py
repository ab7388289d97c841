"""What one request has of its session: loaded when first read, with what it changed since.

This is the state that the other modules of the unit of work share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..codec import decode
from ..errors import Corrupt, SessionError, SessionGone, StoreUnavailable
from ..state import ExtensionState
from ..stores.base import Change, SetLimits
from .changes import NOTHING, ChangeSet, HeldValue, refuse_changed
from .lifecycle import Presence, Rotation
from .stored_session import StoredSession


@dataclass(slots=True)
class Extras:
    """What the next commit writes beside the fields.

    Attributes:
        permanent: what the view set; None if it did not.
        limits: the session's own limits; None if they stay.
        rotation: the new id that the session gets; None if it keeps its id.
        removed: fields that a logout deletes, even if another request has just set them.
        end: the session ends before the commit, and what was set since starts a new one. The
            changes are what must still hold then. None if the session does not end.
        emptied: something was removed, so that the session may be empty.
    """

    permanent: bool | None = None
    limits: SetLimits | None = None
    rotation: Rotation | None = None
    removed: tuple[bytes, ...] = ()
    end: tuple[Change, ...] | None = None
    emptied: bool = False

    def is_idle(self) -> bool:
        """Return whether there is nothing to write."""
        return (
            self.permanent is None
            and self.limits is None
            and self.rotation is None
            and self.end is None
            and not self.emptied
        )


class Contents:
    """See the module.

    Attributes:
        extension: what all sessions of the application share.
        stored: the session at the store.
        changes: what is known of its fields, and what was changed.
        extras: what the next commit writes beside the fields.
        dropped: values of dropped change sets that the view may still hold and change.
        touched: the request read or changed the session in any way.
        modified: the request changed it.
        sealed: the response was made; nothing can be changed any more.
        answering: an error is being answered, or the response was made: reading does not raise.
    """

    __slots__ = (
        "_created_before",
        "answering",
        "changes",
        "dropped",
        "extension",
        "extras",
        "modified",
        "sealed",
        "stored",
        "touched",
    )

    def __init__(self, extension: ExtensionState, stored: StoredSession) -> None:
        self.extension = extension
        self.stored = stored
        self.changes = ChangeSet()
        self.extras = Extras()
        self.dropped: list[HeldValue] = []
        self.touched = False
        self.modified = False
        self.sealed = False
        self.answering = False
        self._created_before = False

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
        self.touched = self.modified = True
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

    def settle(self) -> None:
        """Note that the store holds nothing else if there is no session, or a new one started."""
        changes, stored = self.changes, self.stored
        if changes.base is None:
            created = stored.created and not self._created_before
            if created or stored.state is not Presence.LIVE:
                changes.loaded({})

    def begin(self, changes: ChangeSet) -> None:
        """Continue with another change set."""
        self.changes = changes
        self._created_before = self.stored.created  # what was stored then is not in `changes`

    def abandon(self) -> None:
        """Drop what was not written. What was read stays, and what is set from now on counts."""
        self.begin(self.changes.unchanged())
        self.extras = Extras()

    def detach(self) -> None:
        """Drop what was changed: the session moved on without this request."""
        self.stored.leave()
        self.changes = ChangeSet()
        self.changes.loaded({})

    def refuse_changed_after_drop(self) -> None:
        """Raise SessionError, once, if the view changed a value of a dropped change set."""
        if self.dropped:
            try:
                refuse_changed(self.dropped, self.changes)
            except SessionError:
                self.dropped.clear()
                raise
