"""The unit of work behind a session: it loads when first read, and sends what changed, once.

`contents` is what a request has of its session: the `changes` of its fields, and the
`stored_session`. Operations happen `at_once`, or are `buffered` in a transaction. `commit` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..cookie import Token
from ..errors import Corrupt, SessionError
from ..fields import FLASHES, PERMANENT, name_of
from ..merge import strict
from ..request_facts import RequestFacts
from ..state import ExtensionState
from ..stores.base import Bind, Move, Record, SetLimits
from .at_once import AtOnce
from .buffered import Buffered
from .changes import NOTHING
from .commit import commit, remove_shown_flashes
from .contents import Contents
from .lifecycle import Cookie, Presence, Rotation
from .outcomes import check_counter
from .stored_session import StoredSession

__all__ = ["NOTHING", "Cookie", "UnitOfWork"]

T = TypeVar("T")

_MAX_LABEL = 200


class UnitOfWork:
    """See the module. `session.Session` is what a view sees of it.

    Attributes:
        load: loads the session if its fields are not known yet.
        read: returns a field's value, or NOTHING; raises SessionGone if its bytes are unreadable.
        fields: returns the fields that exist under a prefix, in order.
    """

    __slots__ = ("_contents", "_extension", "_stored", "_transaction", "fields", "load", "read")

    def __init__(self, extension: ExtensionState, tokens: list[Token], facts: RequestFacts) -> None:
        self._extension = extension
        self._stored = StoredSession(extension, tokens, facts)
        contents = self._contents = Contents(extension, self._stored)
        self._transaction: Buffered | None = None
        self.load = contents.load
        self.read = contents.read
        self.fields = contents.fields

    # What is known.

    @property
    def token(self) -> Token | None:
        """What the cookie holds, or will hold. Of several cookies, the one with a live session.

        Raises:
            StoreUnavailable: several cookies came, and the store cannot say which counts.
        """
        if self._stored.is_undecided:
            self.load()
        return self._stored.token

    @property
    def record(self) -> Record | None:
        """When the session was created and how long it may live; None while nothing is stored."""
        if self._stored.record is None:
            self.load()
        return self._stored.record

    @property
    def user(self) -> str | None:
        """The user whom the session is bound to; None for nobody."""
        extras = self._contents.extras
        move = extras.rotation.move if extras.rotation is not None else None
        if extras.end is not None or (move is not None and (move.bind or move.unbind)):
            return move.bind.name.decode() if move is not None and move.bind else None
        self.load()
        return self._stored.user

    @property
    def is_available(self) -> bool:
        """Whether the store could be reached."""
        self.load()
        return self._stored.state is not Presence.UNAVAILABLE

    @property
    def is_new(self) -> bool:
        """Whether nothing is stored, or this request stored it first."""
        return self.token is None or self._stored.created

    @property
    def is_loaded(self) -> bool:
        """Whether the fields are known."""
        return self._contents.changes.base is not None

    @property
    def is_permanent(self) -> bool:
        """Whether the cookie outlives the browser, as far as is known without a load."""
        permanent = self._contents.extras.permanent
        if permanent is not None:
            return permanent
        token = self._stored.token
        unknown = token is not None and token.permanent
        return self._contents.changes.is_true(PERMANENT, unknown=unknown)

    @property
    def announced_permanent(self) -> bool | None:
        """What the view set `session.permanent` to; None if it did not."""
        return self._contents.extras.permanent

    @property
    def touched(self) -> bool:
        """Whether the request read or changed the session in any way."""
        return self._contents.touched

    @property
    def modified(self) -> bool:
        """Whether the request changed the session, by now."""
        contents = self._contents
        return contents.modified or bool(contents.changes.writes(b""))

    @property
    def state_name(self) -> str:
        """What is known of the session, in one word for people."""
        state = self._stored.state
        return state.name.lower() if isinstance(state, Presence) else "over"

    def has_any(self, prefix: bytes) -> bool:
        """Return whether any field is known to exist under `prefix`, without counting a read."""
        return self._contents.changes.has_any(prefix)

    def knows(self, field: bytes) -> bool:
        """Return whether the field is known to exist, without counting a read."""
        return self._contents.changes.knows(field)

    def peek(self, field: bytes) -> Any:
        """Return a field's value as far as it is known, without a load; else NOTHING."""
        return self._contents.changes.get(field)

    def named(self, name: Callable[[bytes], T], field: bytes) -> T:
        """Return `name(field)` of a field that is loaded.

        Raises:
            SessionGone: the field's name is unreadable; the session was set aside.
        """
        try:
            return name(field)
        except Corrupt as error:
            raise self._contents.unreadable_field(field) from error

    def entries(self, prefix: bytes, name: Callable[[bytes, bytes], Any]) -> list[tuple[Any, Any]]:
        """Return `name(prefix, field)` and the value of each field under `prefix`, in order.

        Raises:
            SessionGone: a name or a value is unreadable; the session was set aside.
        """
        entries = []
        for field in self.fields(prefix):
            try:
                entries.append((name(prefix, field), self._contents.changes.get(field)))
            except Corrupt as error:
                raise self._contents.unreadable_field(field) from error
        return entries

    # Changes that the commit writes.

    def write(self, field: bytes, value: Any, path: str) -> None:
        """Set a field; `path` names it in errors."""
        self._contents.open_for_writing()
        if self._extension.config.merges.get(name_of(field)) is strict:
            self.read(field)
        self._contents.changes.set(field, value, path)

    def delete(self, field: bytes) -> None:
        """Delete a field."""
        if self._contents.sealed and field == FLASHES:
            remove_shown_flashes(self._contents)
            return
        self._contents.open_for_writing()
        self._contents.changes.delete(field)

    def limit(self, idle: int | None, absolute: int | None) -> None:
        """Give this session limits in ms; None for the application's."""
        self._contents.open_for_writing()
        self._contents.extras.limits = SetLimits(idle, absolute)

    def make_permanent(self, permanent: bool) -> None:  # noqa: FBT001 (a property's value)
        """Let the cookie outlive the browser, or not. If it does so already, nothing changes."""
        contents = self._contents
        contents.refuse_if_sealed()
        contents.extras.permanent = permanent
        token = self._stored.token
        if token is not None and token.permanent != permanent:
            contents.touched = contents.modified = True

    # Operations: at once, or with the transaction's commit.

    def once(self, name: str) -> None:
        """Name the operations from here on by `name`; see `Session.once`."""
        self._contents.refuse_if_sealed()
        if self.in_transaction:
            raise SessionError(
                "a transaction's changes follow from what it read, so a name does not make them "
                "the same again: call session.once outside of @transaction"
            )
        self._stored.names().once(name)

    def add(self, field: bytes, delta: int, minimum: int | None, maximum: int | None) -> int:
        """Add to a counter; see `Session.incr`."""
        self._contents.open_for_writing()
        check_counter(delta, minimum, maximum)
        return (self._transaction or AtOnce(self._contents)).add(field, delta, minimum, maximum)

    def take(self, prefix: bytes, into: bytes = b"") -> dict[bytes, Any]:
        """Remove all fields under `prefix` and return their values; see `SessionMap.take`."""
        self._contents.open_for_writing()
        return self._operations().take(prefix, into)

    def rotate(self) -> None:
        """Give the session a new id; see `Session.rotate`."""
        with self._all_or_nothing():
            held = self.token
            if held is not None:
                self._refuse_if_silent()
                self._operations().rotate(self._rotation(held.reference.bucket))

    def bind(self, user: str, stamp: int | None, label: str) -> None:
        """Make this the session of `user`, under a new id; see `Session.bind`."""
        with self._all_or_nothing():
            subject = self._extension.ring.subject(user)
            shown = label.encode("utf-8", "replace")[:_MAX_LABEL]
            limit = self._extension.config.max_sessions_per_user
            bind = Bind(subject, stamp, shown, limit, user.encode())
            self._refuse_if_silent()
            self._operations().bind(self._rotation(subject.bucket, bind=bind))

    def unbind(self, fields: tuple[bytes, ...]) -> None:
        """Take the session from its user and delete these fields; see `Session.unbind`."""
        with self._all_or_nothing():
            held, contents = self.token, self._contents
            contents.extras.limits = contents.extras.rotation = None
            if held is None:
                for field in fields:
                    contents.changes.delete(field)
            elif self._stored.facts.silent:
                # The browser could not learn of a new id, and must not stay logged in by this one.
                self.destroy()
            else:
                rotation = self._rotation(held.reference.bucket, unbind=True)
                self._operations().unbind(fields, rotation)

    def destroy(self) -> None:
        """End the session; see `Session.destroy`."""
        with self._all_or_nothing():
            self._operations().destroy(self.token if self.in_transaction else None)

    # Transactions.

    @property
    def in_transaction(self) -> bool:
        """Whether operations are buffered until a transaction commits."""
        return self._transaction is not None

    def begin_transaction(self) -> None:
        """Begin a transaction, or begin it again: all that it reads is compared by the commit."""
        if self._transaction is None:
            self._transaction = Buffered(self._contents)
        else:
            self._transaction.begin()

    def roll_back(self) -> None:
        """Drop what the transaction would have changed."""
        if self._transaction is not None:
            self._transaction.roll_back()

    def end_transaction(self) -> None:
        """Carry out operations at once again."""
        if self._transaction is not None:
            self._transaction.end()
            self._transaction = None

    # The end of the request.

    def commit(self) -> None:
        """Write what was changed, all or nothing.

        Raises:
            Conflict: another request changed the same, and no rule settles it.
            SessionGone: the session ended in the meantime; nothing was revived.
            StoreUnavailable, OutcomeUnknown: the store failed.
            Unserializable: a value was changed in place into one that cannot be stored.
            SessionError: a value was changed in place that is not the session's any more, because
                a transaction began or rolled back since; that change would be lost.
        """
        contents = self._contents
        # Most requests end with nothing to write.
        if contents.changes.may_write or contents.dropped or not contents.extras.is_idle():
            commit(contents)

    def abandon(self, *, answering: bool = False) -> None:
        """Drop what was not written. What was read stays, and what is set from now on counts.

        Args:
            answering: an error is being answered, so that reading does not raise any more.
        """
        self._contents.abandon()
        self._contents.answering = self._contents.answering or answering

    def detach(self) -> None:
        """Drop what was changed: the session moved on without this request."""
        self._contents.detach()

    def seal(self) -> None:
        """Refuse changes from now on: the response was made."""
        self._contents.sealed = self._contents.answering = True

    def adopt(self) -> None:
        """Adopt the session of the library used before, if the browser brought one."""
        self._stored.adopt()

    def run_again(self) -> None:
        """Let the request run again from the start, if that is possible."""
        retry = self._stored.retry
        if retry is not None:
            self._extension.counters.retries += 1
            retry()

    def cookie_due(self, *, refresh: bool) -> Cookie | None:
        """Return the cookie that the response sets; see `Lifecycle.cookie_due`."""
        return self._stored.cookie_due(self.is_permanent, refresh=refresh)

    @property
    def logged_out(self) -> bool:
        """Whether this request unbound or ended the session."""
        return self._stored.logged_out

    @property
    def old_cookie_spent(self) -> bool:
        """Whether the cookie of the library used before names nothing any more."""
        return self._stored.old_cookie_spent or self._stored.logged_out

    @property
    def store_seconds(self) -> float:
        """How long this request has waited for the store."""
        return self._extension.config.deadline - self._stored.deadline.remaining

    # Inside.

    def _operations(self) -> AtOnce | Buffered:
        return self._transaction or AtOnce(self._contents)

    def _rotation(self, bucket: int, *, bind: Bind | None = None, unbind: bool = False) -> Rotation:
        token = self._extension.ring.mint(bucket)
        return Rotation(Move(token.reference, bind, unbind=unbind), token)

    def _refuse_if_silent(self) -> None:
        if self._stored.facts.silent:
            raise SessionError(
                "a handler without a response cannot send the cookie of a new id: "
                "log in by an HTTP request"
            )

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Drop what the request changed if a login or a logout fails: no half of it may stay."""
        contents = self._contents
        try:
            contents.open_for_writing()
            self._stored.take_up()
            yield
        except BaseException:
            contents.dropped += contents.changes.held_values()
            contents.abandon()
            raise
