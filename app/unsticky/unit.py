"""The unit of work behind a session: loads when first read, sends what changed, once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .backend import Backend
from .codec import decode
from .cookie import Token
from .draft import NOTHING, Draft
from .errors import Conflict, Corrupt, OutOfRange, SessionError, SessionGone, StoreUnavailable
from .fields import PERMANENT, describe
from .link import Link, NothingThere, RequestFacts, State
from .policy import MERGE_ROUNDS, OnConflict
from .refusals import check_counter, no_counter
from .stores.contract import (
    BLIND,
    COUNTER_LIMIT,
    Add,
    Bind,
    Change,
    Conflicting,
    Destroy,
    Finish,
    Move,
    Take,
    Write,
    Written,
)

_log = logging.getLogger("unsticky")

T = TypeVar("T")


class Unit:
    """See the module. `session.Session` is its face.

    Attributes:
        link: the session at the store.
        draft: what is known and changed of its fields.
        permanent: what the view set, None where it did not.
        touched: the request read or changed the session in any way.
    """

    def __init__(self, backend: Backend, token: Token | None, facts: RequestFacts) -> None:
        self.link = Link(backend, token, facts)
        self.draft = Draft()
        self.permanent: bool | None = None
        self.touched = False
        self._backend = backend
        self._sealed = False
        self._buffering = False
        self._finish: Move | None = None
        self._successor: Token | None = None
        self._ends = False
        self._before_end: tuple[Change, ...] = ()

    # Reading.

    def load(self) -> None:
        """Load the session if its fields are not known yet.

        Raises:
            StoreUnavailable: and the view did not say that it can live without the store.
        """
        self.touched = True
        if self.draft.base is not None:
            return
        if self._sealed:
            message = "the response was made: read the session before returning it"
            raise SessionError(message)
        self.draft.base = self.link.load()

    def read(self, field: bytes) -> Any:
        """Return a field's value, or NOTHING.

        Raises:
            SessionGone: the stored bytes are unreadable; the session was set aside.
        """
        self.touched = True
        if not self.draft.holds(field):
            self.load()
        return self.peek(field)

    def peek(self, field: bytes) -> Any:
        """Return the value of a field that is known to be loaded; see `read`."""
        try:
            return self.draft.get(field)
        except Corrupt as error:
            raise self._corrupt(field) from error

    def named(self, name: Callable[[bytes], T], field: bytes) -> T:
        """Return `name(field)` of a field that is known to be loaded.

        Raises:
            SessionGone: the field's name is unreadable; the session was set aside.
        """
        try:
            return name(field)
        except Corrupt as error:
            raise self._corrupt(field) from error

    def entries(self, prefix: bytes, name: Callable[[bytes, bytes], Any]) -> list[tuple[Any, Any]]:
        """Return `name(prefix, field)` and the value of each field under `prefix`, in order.

        Raises:
            SessionGone: something of it is unreadable; the session was set aside.
        """
        entries = []
        for field in self.fields(prefix):
            try:
                entries.append((name(prefix, field), self.draft.get(field)))
            except Corrupt as error:
                raise self._corrupt(field) from error
        return entries

    def fields(self, prefix: bytes) -> list[bytes]:
        """Return the fields that exist under `prefix`, in order."""
        self.load()
        return self.draft.fields(prefix)

    # Changing, to be written at the end.

    def write(self, field: bytes, value: Any, path: str) -> None:
        """Set a field; `path` names it in errors."""
        self._open_for_writing()
        self.draft.set(field, value, path)

    def delete(self, field: bytes) -> None:
        """Delete a field."""
        self._open_for_writing()
        self.draft.delete(field)

    # Changing at once.

    def add(self, field: bytes, delta: int, minimum: int | None, maximum: int | None) -> int:
        """Add to a counter, atomically; see `Session.incr`."""
        self._open_for_writing()
        check_counter(delta, minimum, maximum)
        if self._buffering or self.draft.holds(field):
            return self._add_here(field, delta, minimum, maximum)
        written = self._sent((Add(field, delta, minimum, maximum),))
        result = written.results[0]
        assert isinstance(result, int)  # noqa: S101 (what the contract says of Add)
        self.draft.applied(field, b"%d" % result)
        return result

    def once(self, name: str) -> None:
        """Name the operations from here on by `name`; see `Session.once`."""
        self._refuse_if_sealed()
        if self._buffering:
            message = (
                "a transaction's changes follow from what it read, so a name does not make them "
                "the same again: call session.once outside of @transaction"
            )
            raise SessionError(message)
        self.link.name_writes(name)

    def move(self, prefix: bytes, into: bytes) -> dict[bytes, Any]:
        """Give all fields under `prefix` a name under `into`, atomically; return their values."""
        self._open_for_writing()
        if self._buffering:
            taken = self.take(prefix)
            for field, value in taken.items():
                target = into + field[len(prefix) :]
                self.draft.set(target, value, describe(target))
            return taken
        if self.draft.changed(prefix) or self.draft.changed(into):
            self.commit()  # what was set before is there before
        try:
            result = self._sent((Take(prefix, into),), create=False).results[0]
        except NothingThere:
            self._settle()
            return {}
        assert isinstance(result, dict)  # noqa: S101 (what the contract says of Take)
        targets = {into + field[len(prefix) :]: data for field, data in result.items()}
        for field in self.draft.fields(prefix):
            self.draft.applied(field, None)
        for field, data in targets.items():
            self.draft.applied(field, data)
        try:
            return {field: decode(result[field]) for field in sorted(result)}
        except Corrupt as error:
            raise self._unreadable(targets) from error

    def take(self, prefix: bytes) -> dict[bytes, Any]:
        """Remove all fields under `prefix`, atomically, and return their values."""
        self._open_for_writing()
        if self._buffering:
            taken = {field: self.read(field) for field in self.fields(prefix)}
            for field in taken:
                self.draft.delete(field)
            return taken
        mine = {field: self.peek(field) for field in self.draft.changed(prefix)}
        raw: dict[bytes, bytes] = {}
        try:
            result = self._sent((Take(prefix),), create=False).results[0]
        except NothingThere:
            self._settle()
        else:
            assert isinstance(result, dict)  # noqa: S101 (what the contract says of Take)
            raw = result
        values = self._decoded(raw) | mine
        for field in {*values, *self.draft.fields(prefix)}:
            self.draft.applied(field, None)
        return {field: values[field] for field in sorted(values) if values[field] is not NOTHING}

    def _decoded(self, raw: dict[bytes, bytes]) -> dict[bytes, Any]:
        try:
            return {field: decode(data) for field, data in raw.items()}
        except Corrupt as error:
            # Put back what was taken, so that all of it goes into quarantine.
            self.link.send(tuple(Write(field, data, BLIND) for field, data in raw.items()))
            raise self._unreadable(raw) from error

    def rotate(self) -> None:
        """Give the session a new id; see `Session.rotate`."""
        self._open_for_writing()
        if self.link.token is None:
            return
        successor = self._backend.ring.mint(self.link.token.reference.bucket)
        self._move(Move(successor.reference), successor)

    def bind(self, user: str, stamp: int | None, label: str) -> None:
        """Make this the session of `user`, under a new id; see `Session.bind`."""
        self._open_for_writing()
        subject = self._backend.ring.subject(user)
        limit = self._backend.policy.max_sessions_per_user
        bind = Bind(subject, stamp, label.encode("utf-8", "replace")[:200], limit)
        successor = self._backend.ring.mint(subject.bucket)
        self._move(Move(successor.reference, bind), successor)

    def destroy(self) -> None:
        """End the session; see `Session.destroy`."""
        self._open_for_writing()
        if self._buffering and self.link.token is not None:
            # What was read so far is still compared; what is set from now on begins a new session.
            self._before_end = self.draft.checks()
            self._ends = True
            self._finish = self._successor = None
        else:
            self.link.end()
        self.permanent = None
        self.draft = Draft()
        self.draft.base = {}

    def detach(self) -> None:
        """Drop what was changed here: the session moved on without this request."""
        self.link.state = State.OVER
        self.draft = Draft()
        self.draft.base = {}

    # The end of the request.

    @property
    def in_transaction(self) -> bool:
        """Whether changes are buffered until a transaction commits."""
        return self._buffering

    def begin_transaction(self) -> None:
        """Start afresh: what is read from now on is compared when it is committed, all at once."""
        self._buffering = True
        self._forget_changes(Draft(validating=True))

    def roll_back(self) -> None:
        """Drop what the transaction would have changed: it did not come to its end."""
        self._forget_changes(Draft())

    def end_transaction(self) -> None:
        """Go back to atomic operations that happen at once."""
        self._buffering = False
        self.draft.validating = False

    def commit(self) -> None:
        """Write what was changed, all or nothing.

        Raises:
            Conflict: another request changed the same, and no rule settles it.
            SessionGone: the session ended in the meantime; nothing was revived.
            StoreUnavailable, OutcomeUnknown: the store failed.
            Unserializable: a value was changed in place into one that cannot be stored.
        """
        if self._ends:
            self._commit(self._before_end, Destroy(), None, create=False)
            self._ends = False
        changes = self._changes()
        finish = self._finish
        writes = any(isinstance(change, Write) for change in changes)
        binds = finish is not None and finish.bind is not None
        if writes or finish is not None:
            self._commit(changes, finish, self._successor, create=writes or binds)
            self._finish = self._successor = None

    def make_permanent(self, permanent: bool) -> None:  # noqa: FBT001 (a property's value)
        """Let the cookie outlive the browser, or not; by itself this stores and loads nothing."""
        self._refuse_if_sealed()
        self.permanent = permanent

    def seal(self) -> None:
        """Refuse changes from now on: the response was made."""
        self._sealed = True

    def keeps_cookie_alive(self) -> bool:
        """Tell whether this request slid a permanent session, or met an old signature."""
        link = self.link
        if link.state is not State.LIVE or link.token is None:
            return False
        return link.token.outdated or (link.slid and self.is_permanent())

    def is_permanent(self) -> bool:
        """Tell whether the cookie outlives the browser, as far as is known without asking."""
        if self.permanent is not None:
            return self.permanent
        if self.draft.base is not None or self.draft.holds(PERMANENT):
            return self.peek(PERMANENT) is True
        return self.link.record is not None and self.link.record.permanent

    # Inside.

    def _refuse_if_sealed(self) -> None:
        if self._sealed:
            message = "the response was made: change the session before returning it"
            raise SessionError(message)

    def _open_for_writing(self) -> None:
        self._refuse_if_sealed()
        self.touched = True
        if self.link.state is State.UNAVAILABLE:
            message = "the store is unavailable: this view's session is empty and read-only"
            raise StoreUnavailable(message)

    def _settle(self) -> None:
        """Where there turned out to be no session, or a new one began, nothing else is stored."""
        if self.draft.base is None and (self.link.created or self.link.state is not State.LIVE):
            self.draft.base = {}

    def _sent(self, changes: tuple[Change, ...], *, create: bool = True) -> Written:
        outcome = self.link.send(changes, load=self.draft.base is None, create=create)
        assert isinstance(outcome, Written)  # noqa: S101 (atomic operations compare nothing)
        self._backend.counters.operations += 1
        if self.draft.base is None and outcome.record.fields is not None:
            self.draft.base = outcome.record.fields
        self._settle()
        return outcome

    def _move(self, move: Move, successor: Token) -> None:
        """Rotate or bind: at once, or with the transaction's commit."""
        if self._buffering:
            bound = self._finish is not None and self._finish.bind is not None
            if move.bind is not None or not bound:  # a bind gives a new id already
                self._finish, self._successor = move, successor
            return
        try:
            self.link.send((), finish=move, successor=successor, create=move.bind is not None)
        except NothingThere:
            return
        finally:
            if self.link.created:
                self._settle()

    def _forget_changes(self, draft: Draft) -> None:
        self.draft = draft
        self._ends = False
        self._finish = self._successor = None

    def _commit(
        self,
        changes: tuple[Change, ...],
        finish: Finish,
        successor: Token | None,
        *,
        create: bool,
    ) -> None:
        counters = self._backend.counters
        for _ in range(MERGE_ROUNDS + 1):
            try:
                outcome = self.link.send(changes, finish=finish, successor=successor, create=create)
            except NothingThere:
                return
            if isinstance(outcome, Written):
                counters.commits += 1
                if not isinstance(finish, Destroy):
                    self._settle()
                    self.draft.committed(changes)
                return
            counters.merges += 1
            changes = self._merged(changes, outcome)
            if not changes and finish is None:
                self.draft.committed(())
                return
        raise Conflict(
            tuple(describe(change.field) for change in changes if isinstance(change, Write))
        )

    def _merged(self, changes: tuple[Change, ...], outcome: Conflicting) -> tuple[Change, ...]:
        policy = self._backend.policy
        if self._buffering:
            # Merged, a value would no longer follow from what the view read: it runs again.
            raise self._conflict(tuple(describe(field) for field in outcome.current))
        try:
            result, contested = self.draft.merged(
                changes,
                outcome.current,
                policy.merges,
                repeatable=self.link.rerun is not None,
            )
        except Corrupt as error:
            raise self._unreadable(outcome.current) from error
        if contested:
            conflict = self._conflict(contested)
            if policy.on_conflict is OnConflict.CONFLICT:
                raise conflict
            self._backend.counters.overwritten += 1
            _log.warning("last write wins on %s", ", ".join(contested))
        return result

    def _conflict(self, contested: tuple[str, ...]) -> Conflict:
        self._backend.counters.conflicts += 1
        self.link.announce("session_conflict", fields=contested)
        return Conflict(contested)

    def _unreadable(self, fields: Mapping[bytes, bytes | None]) -> SessionGone:
        """Set the session aside for the first of these fields that cannot be read."""
        for field, data in fields.items():
            try:
                decode(data or b"0")
            except Corrupt:
                return self.link.set_aside(field, data or b"")
        return self.link.set_aside()

    def _corrupt(self, field: bytes) -> SessionGone:
        return self.link.set_aside(field, (self.draft.base or {}).get(field, b""))

    def _add_here(self, field: bytes, delta: int, minimum: int | None, maximum: int | None) -> int:
        value = self.read(field)
        current = 0 if value is NOTHING else value
        if type(current) is not int:
            raise no_counter(field)
        result = current + delta
        low = -COUNTER_LIMIT if minimum is None else minimum
        high = COUNTER_LIMIT if maximum is None else maximum
        if not low <= result <= high:
            raise OutOfRange(current)
        self.draft.set(field, result, describe(field))
        return result

    def _changes(self) -> tuple[Change, ...]:
        changes = self.draft.changes()
        if self.permanent is None or self.draft.holds(PERMANENT):
            return changes
        known = self.draft.base
        writes = any(isinstance(change, Write) for change in changes)
        stored = known is not None and self.link.state is State.LIVE
        # What an existing session that was not loaded holds is unknown: False must replace it too.
        maybe = self.link.token is not None if known is None else PERMANENT in known
        if (writes or stored) and (self.permanent or maybe):
            self.draft.set(PERMANENT, self.permanent, "session.permanent")
            return self.draft.changes()
        return changes
