"""The unit of work behind a session: loads once, sends changes, and turns outcomes into states."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from .backend import Backend
from .codec import decode
from .cookie import Reference, Token
from .draft import NOTHING, Draft
from .errors import (
    Conflict,
    Corrupt,
    OutcomeUnknown,
    OutOfRange,
    SessionError,
    SessionGone,
    StaleCredential,
    StoreUnavailable,
    Unserializable,
)
from .fields import describe, plain_field
from .policy import MERGE_ROUNDS, OnConflict
from .stores.contract import (
    COUNTER_LIMIT,
    Add,
    Bind,
    Budget,
    Change,
    Conflicting,
    Destroy,
    Finish,
    Gone,
    Missing,
    Move,
    NotACounter,
    Operation,
    Record,
    Refused,
    StaleStamp,
    Take,
    TooLarge,
    Write,
    WriteOutcome,
    Written,
)

_log = logging.getLogger("unsticky")

PERMANENT: Final = plain_field("_permanent")


class State(Enum):
    """What is known of the session that the request's cookie names."""

    UNREAD = auto()
    """Nothing yet."""
    LIVE = auto()
    """It is there."""
    EMPTY = auto()
    """There is none; a new one begins with the first write."""
    MOVED = auto()
    """It was rotated away: the browser already holds a newer cookie, so nothing may begin here."""
    UNAVAILABLE = auto()
    """The store could not be asked, and the view said that it can live without."""


class CookieAction(Enum):
    """What the response does to the browser's cookie."""

    LEAVE = auto()
    SEND = auto()
    DELETE = auto()


@dataclass(slots=True)
class RequestFacts:
    """What a session needs to know of its request.

    Attributes:
        operation: names this request; a proxy's retry of it must bring the same name.
        request_id: for logs and signals.
        optional: tells whether the view can live without the store.
        rerun: asks for the request to be run again from the start, where that is possible.
        has_cookie: the browser sent a session cookie of some kind.
    """

    operation: bytes
    request_id: str = ""
    optional: Callable[[], bool] = bool
    rerun: Callable[[], None] | None = None
    has_cookie: bool = False


class Unit:
    """See the module. `session.Session` is its face."""

    def __init__(self, backend: Backend, token: Token | None, facts: RequestFacts) -> None:
        self.backend = backend
        self.facts = facts
        self.token = token
        self.draft = Draft()
        self.state = State.UNREAD
        self.record: Record | None = None
        self.permanent: bool | None = None
        self.cookie = CookieAction.LEAVE
        self.touched = False
        self.created_here = False
        self._buffering = False
        self._finish: Finish = None
        self._before_end: tuple[Change, ...] = ()
        self._finish_token: Token | None = None
        self._slid = False
        self._sealed = False
        self._ordinal = 0
        self._budget = Budget(backend.policy.deadline)
        if token is None:
            self._become_empty()

    # Reading.

    def load(self) -> None:
        """Load the session if nothing is known of it yet.

        Raises:
            StoreUnavailable: and the view did not say that it can live without the store.
        """
        self.touched = True
        if self.draft.base is not None:
            return
        if self._sealed:
            message = "the response was sent: read the session before returning it"
            raise SessionError(message)
        token = self._held()
        self.backend.counters.reads += 1
        try:
            found = self.backend.store.read(token.reference, self._budget)
        except StoreUnavailable as error:
            self.backend.counters.store_errors += 1
            if not self.facts.optional():
                raise
            _log.warning("session store unavailable, view goes on without: %s", error)
            self.state = State.UNAVAILABLE
            self.draft.rebase({})
            return
        match found:
            case Missing():
                self._unknown()
            case Gone(kind):
                self._met_tombstone(kind)
            case Record():
                self._loaded(found)

    def read(self, field: bytes) -> Any:
        """Return a field's value, or NOTHING.

        Raises:
            SessionGone: the stored bytes are unreadable; the session was set aside.
        """
        if not self.draft.holds(field):
            self.load()
        self.touched = True
        try:
            return self.draft.get(field)
        except Corrupt as error:
            raise self._quarantined(field) from error

    def fields(self, prefix: bytes) -> list[bytes]:
        """Return the fields that exist under `prefix`, in order."""
        self.load()
        return self.draft.fields(prefix)

    # Changing, to be written at the end.

    def write(self, field: bytes, value: Any, path: str) -> None:
        """Set a field; `path` names it in errors."""
        self._writable()
        self.draft.set(field, value, path)

    def delete(self, field: bytes) -> None:
        """Delete a field."""
        self._writable()
        self.draft.delete(field)

    # Changing at once.

    def add(self, field: bytes, delta: int, minimum: int | None, maximum: int | None) -> int:
        """Add to a counter, atomically; see `Session.incr`."""
        self._writable()
        _check_counter(delta, minimum, maximum)
        if self._buffering or self.draft.holds(field):
            return self._add_here(field, delta, minimum, maximum)
        load = self.draft.base is None
        written = self._sent((Add(field, delta, minimum, maximum),), load=load)
        result = written.results[0]
        assert isinstance(result, int)  # noqa: S101 (what the contract says of Add)
        self.draft.applied(field, b"%d" % result)
        self.backend.counters.operations += 1
        return result

    def take(self, prefix: bytes) -> dict[bytes, Any]:
        """Remove all fields under `prefix`, atomically, and return their values."""
        self._writable()
        if self._buffering or self.state is State.EMPTY:
            taken = {field: self.read(field) for field in self.fields(prefix)}
            for field in taken:
                self.draft.delete(field)
            return taken
        mine = {field: self.draft.get(field) for field in self.draft.pending(prefix)}
        try:
            written = self._sent((Take(prefix),), load=self.draft.base is None, create=False)
        except _NothingThere:
            raw: dict[bytes, bytes] = {}
        else:
            result = written.results[0]
            assert isinstance(result, dict)  # noqa: S101 (what the contract says of Take)
            raw = result
        self.backend.counters.operations += 1
        values = {field: decode(data) for field, data in raw.items()} | mine
        for field in {*values, *self.draft.fields(prefix)}:
            self.draft.applied(field, None)
        return {field: values[field] for field in sorted(values) if values[field] is not NOTHING}

    def rotate(self) -> None:
        """Give the session a new id; see `Session.rotate`."""
        self._writable()
        if self.token is None:
            return
        successor = self.backend.ring.mint(self.token.reference.bucket)
        self._move(Move(successor.reference), successor)

    def bind(self, user: str, stamp: int | None, label: str) -> None:
        """Make this the session of `user`, under a new id; see `Session.bind`."""
        self._writable()
        subject = self.backend.ring.subject(user)
        limit = self.backend.policy.max_sessions_per_user
        bind = Bind(subject, stamp, label.encode("utf-8", "replace")[:200], limit)
        successor = self.backend.ring.mint(subject.bucket)
        self._move(Move(successor.reference, bind), successor)

    def destroy(self) -> None:
        """End the session; see `Session.destroy`."""
        self._writable()
        if self.state is State.MOVED:
            return
        if self.token is not None and self._buffering:
            # What was read so far is still compared; what is set from now on begins a new session.
            self._before_end = tuple(
                change for change in self.draft.changes() if not isinstance(change, Write)
            )
            self._finish = Destroy()
        elif self.token is not None:
            self._end(self.token.reference)
        self.permanent = None
        self.draft = Draft()
        self.draft.rebase({})

    # The end of the request.

    def begin_transaction(self) -> None:
        """Start afresh: what is read from now on is compared when it is committed, all at once."""
        self._buffering = True
        self._finish = self._finish_token = None
        self._become_unread()

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
        if isinstance(self._finish, Destroy):
            self._commit(self._before_end)
        changes = self._changes()
        if self._finish is not None or any(isinstance(change, Write) for change in changes):
            self._commit(changes)

    def seal(self) -> None:
        """Refuse changes from now on: the response is being sent."""
        self._sealed = True

    def keeps_cookie_alive(self) -> bool:
        """Tell whether this request slid a permanent session, or met an old signature."""
        if self.state is not State.LIVE or self.token is None:
            return False
        return self.token.outdated or (self._slid and self.is_permanent())

    def is_permanent(self) -> bool:
        """Tell whether the cookie outlives the browser, as far as is known without asking."""
        if self.permanent is not None:
            return self.permanent
        return self.draft.get(PERMANENT) is True

    # Inside.

    def _commit(self, changes: tuple[Change, ...]) -> None:
        counters = self.backend.counters
        for _ in range(MERGE_ROUNDS + 1):
            outcome = self._send(changes, finish=self._finish, load=False, create=True)
            if isinstance(outcome, Written):
                counters.commits += 1
                if not isinstance(self._finish, Destroy):
                    self.draft.committed(changes)
                self._finished(outcome)
                return
            counters.merges += 1
            changes = self._merged(changes, outcome)
            if not changes and self._finish is None:
                self.draft.committed(())
                return
        raise Conflict(
            tuple(describe(change.field) for change in changes if isinstance(change, Write))
        )

    def _writable(self) -> None:
        if self._sealed:
            message = "the response was sent: change the session before returning it"
            raise SessionError(message)
        self.touched = True
        if self.state is State.UNAVAILABLE:
            message = "the store is unavailable: this view's session is empty and read-only"
            raise StoreUnavailable(message)

    def _held(self) -> Token:
        assert self.token is not None  # noqa: S101 (every state but EMPTY has one)
        return self.token

    def _become_empty(self) -> None:
        self.state = State.EMPTY
        self.token = None
        self.record = None
        if self.draft.base is None:
            self.draft.rebase({})

    def _become_unread(self) -> None:
        self.draft = Draft(validating=self._buffering)
        if self.token is None:
            self._become_empty()
        else:
            self.state = State.UNREAD

    def _loaded(self, record: Record) -> None:
        self.state = State.LIVE
        self.record = record
        self._slid = self._slid or record.slid
        if record.fields is not None and self.draft.base is None:
            self.draft.rebase(record.fields)

    def _unknown(self) -> None:
        token = self._held()
        self.backend.counters.unknown_ids += 1
        self.backend.emit("unknown_id", token.reference, self.facts.request_id)
        self._become_empty()

    def _met_tombstone(self, kind: str) -> None:
        if kind == "rotated":
            self.state = State.MOVED
            if self.draft.base is None:
                self.draft.rebase({})
        else:
            self._become_empty()

    def _prevented(self, kind: str) -> SessionGone:
        token = self._held()
        self.backend.counters.revivals_prevented += 1
        self.backend.emit(
            "session_revival_prevented", token.reference, self.facts.request_id, kind=kind
        )
        return SessionGone(kind)

    def _quarantined(self, field: bytes) -> SessionGone:
        observed = (self.draft.base or {}).get(field, b"")
        reference = self._held().reference
        if self.backend.store.quarantine(reference, field, observed, self._budget):
            self.backend.counters.quarantined += 1
            _log.error("session %s held unreadable bytes and was set aside", reference.handle)
        return SessionGone("corrupt")

    def _add_here(self, field: bytes, delta: int, minimum: int | None, maximum: int | None) -> int:
        value = self.read(field)
        current = 0 if value is NOTHING else value
        if type(current) is not int:
            raise _no_counter(field)
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
        writes = any(isinstance(change, Write) for change in changes)
        if writes or (self.state is State.LIVE and self.draft.base is not None):
            stored = (self.draft.base or {}).get(PERMANENT)
            if self.permanent or stored is not None:
                self.draft.set(PERMANENT, self.permanent, "session.permanent")
                return self.draft.changes()
        return changes

    def _merged(self, changes: tuple[Change, ...], outcome: Conflicting) -> tuple[Change, ...]:
        policy = self.backend.policy
        result, contested = self.draft.merged(
            changes, outcome.current, policy.merges, repeatable=self.facts.rerun is not None
        )
        if contested:
            token = self._held()
            self.backend.counters.conflicts += 1
            self.backend.emit(
                "session_conflict", token.reference, self.facts.request_id, fields=contested
            )
            if policy.on_conflict is OnConflict.CONFLICT or self._buffering:
                raise Conflict(contested)
            self.backend.counters.overwritten += 1
            _log.warning("session %s: last write wins on %s", token.reference.handle, contested)
        return result

    def _sent(self, changes: tuple[Change, ...], *, load: bool, create: bool = True) -> Written:
        outcome = self._send(changes, finish=None, load=load, create=create)
        assert isinstance(outcome, Written)  # noqa: S101 (atomic operations compare nothing)
        return outcome

    def _send(
        self, changes: tuple[Change, ...], *, finish: Finish, load: bool, create: bool
    ) -> Written | Conflicting:
        """Send to the session there is, or to a new one, and take over what comes back."""
        if self.state is State.MOVED:
            raise self._prevented("rotated")
        if self.state is not State.EMPTY:
            token = self._held()
            outcome = self._call(token.reference, changes, finish=finish, load=load)
            match outcome:
                case Written():
                    self._loaded(outcome.record)
                    return outcome
                case Conflicting():
                    return outcome
                case Missing() | Gone():
                    self._lost(outcome)
                case _:
                    raise _refusal(outcome)
        if not create:
            raise _NothingThere
        token = self._finish_token or self.backend.ring.mint()
        if isinstance(finish, Move):
            finish = finish.bind  # there is nothing to move, so it begins where it would have gone
        outcome = self._call(token.reference, changes, finish=finish, load=False, create=True)
        if isinstance(outcome, Conflicting):
            return outcome
        if not isinstance(outcome, Written):
            raise _refusal(outcome)
        self.token = token
        self.created_here = True
        self.cookie = CookieAction.SEND
        self._loaded(outcome.record)
        self.backend.counters.created += 1
        self.backend.emit("session_created", token.reference, self.facts.request_id)
        return outcome

    def _lost(self, outcome: Missing | Gone) -> None:
        """Refuse where the session was seen alive in this request; else a new one may begin."""
        seen_alive = self.state is State.LIVE
        if isinstance(outcome, Gone):
            if seen_alive or outcome.kind == "rotated":
                raise self._prevented(outcome.kind)
            self._become_empty()
        else:
            if seen_alive:
                raise self._prevented("expired")
            self._unknown()

    def _call(
        self,
        reference: Reference,
        changes: tuple[Change, ...],
        *,
        finish: Finish,
        load: bool,
        create: bool = False,
    ) -> WriteOutcome:
        self._ordinal += 1
        operation = Operation(self.facts.operation, self._ordinal)
        try:
            return self.backend.store.write(
                reference, changes, operation, self._budget, create=create, finish=finish, load=load
            )
        except (StoreUnavailable, OutcomeUnknown):
            self.backend.counters.store_errors += 1
            raise

    def _move(self, move: Move, successor: Token) -> None:
        """Rotate or bind: at once, or with the transaction's commit."""
        self._finish, self._finish_token = move, successor
        if self._buffering:
            return
        try:
            outcome = self._send((), finish=move, load=False, create=move.bind is not None)
            assert isinstance(outcome, Written)  # noqa: S101 (nothing was compared)
            self._finished(outcome)
        except _NothingThere:
            return
        finally:
            self._finish = self._finish_token = None

    def _finished(self, outcome: Written) -> None:
        """Take over the new id after a rotation or binding, or the end."""
        finish, successor = self._finish, self._finish_token
        self._finish = self._finish_token = None
        if isinstance(finish, Destroy):
            self._after_end(self._held().reference)
        elif successor is not None:
            request_id = self.facts.request_id
            previous = self._held().reference
            self.token = successor
            self.cookie = CookieAction.SEND
            if previous != successor.reference:
                self.backend.emit(
                    "session_rotated", successor.reference, request_id, previous=previous.handle
                )
            for ended in outcome.ended:
                self.backend.emit("session_revoked", ended, request_id, reason="limit")

    def _end(self, reference: Reference) -> None:
        try:
            outcome = self._call(reference, (), finish=Destroy(), load=False)
        except OutcomeUnknown as error:
            # Ending twice is ending once, so the client may simply try again.
            message = f"the session may still live: {error}"
            raise StoreUnavailable(message) from error
        if isinstance(outcome, (Written, Missing, Gone)):
            self._after_end(reference)
        else:
            raise _refusal(outcome)

    def _after_end(self, reference: Reference) -> None:
        self.backend.emit("session_destroyed", reference, self.facts.request_id)
        self.cookie = CookieAction.DELETE if self.facts.has_cookie else CookieAction.LEAVE
        self._become_empty()


class _NothingThere(Exception):
    """There is no session, and none was to be made."""


def _check_counter(delta: int, minimum: int | None, maximum: int | None) -> None:
    for name, value in (("delta", delta), ("minimum", minimum), ("maximum", maximum)):
        if value is None and name != "delta":
            continue
        if type(value) is not int:
            message = f"{name} is {value!r}: counters take int"
            raise TypeError(message)
        if abs(value) > COUNTER_LIMIT:
            message = f"{name} is {value}: counters stay within ±{COUNTER_LIMIT}"
            raise ValueError(message)


def _no_counter(field: bytes) -> TypeError:
    return TypeError(f"{describe(field)} holds no integer, so nothing can be added to it")


def _refusal(outcome: WriteOutcome) -> Exception:
    match outcome:
        case Refused(_, current):
            return OutOfRange(current)
        case NotACounter(field):
            return _no_counter(field)
        case TooLarge(what, size, limit):
            return Unserializable(f"the session would have {size} {what}; the limit is {limit}")
        case StaleStamp(minimum):
            return StaleCredential(minimum)
        case _:
            return SessionError(f"unexpected outcome {outcome!r}")
