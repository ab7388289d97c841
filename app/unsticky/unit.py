"""The unit of work behind a session: loads when first read, sends what changed, once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from .backend import Backend
from .codec import decode
from .cookie import Token
from .draft import NOTHING, Draft, Held, refuse_changed
from .errors import (
    Conflict,
    Corrupt,
    OutcomeUnknown,
    OutOfRange,
    SessionError,
    SessionGone,
    StoreUnavailable,
)
from .fields import FLASHES, PERMANENT, describe, name_of, order
from .link import CookieAction, Link, NothingThere, RequestFacts, State
from .merge import strict
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
    SetLimits,
    Take,
    Write,
    Written,
)

_log = logging.getLogger("unsticky")

T = TypeVar("T")


@dataclass(slots=True)
class Aside:
    """What is to be written with the next commit beside the fields.

    Attributes:
        permanent: what the view set, None where it did not.
        limits: the session's own, None where they stay.
        move: how the session ends up under a new id, in a transaction.
        successor: that id.
        removed: fields that go with the user, also where another request just set them.
        ends: the session ends first; what was set since begins a new one.
        before_end: what must still hold then.
        emptied: something was removed, so that the session may be empty.
    """

    permanent: bool | None = None
    limits: SetLimits | None = None
    move: Move | None = None
    successor: Token | None = None
    removed: tuple[bytes, ...] = ()
    ends: bool = False
    before_end: tuple[Change, ...] = ()
    emptied: bool = False

    def is_idle(self) -> bool:
        """Tell whether there is nothing."""
        return (
            self.permanent is None
            and self.limits is None
            and self.move is None
            and not self.ends
            and not self.emptied
        )


class Unit:
    """See the module. `session.Session` is its face.

    Attributes:
        link: the session at the store.
        draft: what is known and changed of its fields.
        aside: what is to be written beside them.
        touched: the request read or changed the session in any way.
        modified: it changed the session.
        answering: the request's answer is an error's, or was made: reading raises no more.
    """

    def __init__(self, backend: Backend, tokens: list[Token], facts: RequestFacts) -> None:
        self.link = Link(backend, tokens, facts)
        self.draft = Draft()
        self.aside = Aside()
        self.touched = False
        self.modified = False
        self.answering = False
        self._backend = backend
        self._sealed = False
        self._buffering = False
        self._created_before = False
        self._left_behind: list[Held] = []
        self._aside_before = self.aside

    # Reading.

    @property
    def token(self) -> Token | None:
        """What the cookie holds, or will hold; of several cookies, the one whose session is there.

        Raises:
            StoreUnavailable: several cookies came, and the store cannot say which counts.
        """
        if self.link.is_undecided:
            self.load()
        return self.link.token

    def load(self) -> None:
        """Load the session if its fields are not known yet.

        Raises:
            StoreUnavailable: and the view did not say that it can live without the store.
        """
        self.touched = True
        if self.draft.base is not None:
            return
        try:
            self.draft.loaded(self.link.load(late=self._sealed))
        except (StoreUnavailable, SessionGone):
            if not self.answering:
                raise
            # An error is being answered already, or the answer was made: nobody is left to tell.
            self.link.state = State.UNAVAILABLE
            self.draft.loaded({})

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
            gone = self._corrupt(field)
            if self.answering:
                return NOTHING
            raise gone from error

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
        if self._backend.policy.merges.get(name_of(field)) is strict:
            self.read(field)
        self.draft.set(field, value, path)

    def delete(self, field: bytes) -> None:
        """Delete a field."""
        if self._sealed and field == FLASHES:
            self._forget_flashes()
            return
        self._open_for_writing()
        self.draft.delete(field)

    def limit(self, idle: int | None, absolute: int | None) -> None:
        """Give this session limits of its own, in ms, with the commit; None: the application's."""
        self._open_for_writing()
        self.aside.limits = SetLimits(idle, absolute)

    # Changing at once.

    def add(self, field: bytes, delta: int, minimum: int | None, maximum: int | None) -> int:
        """Add to a counter, atomically; see `Session.incr`."""
        self._open_for_writing()
        check_counter(delta, minimum, maximum)
        if self._buffering:
            return self._add_here(field, delta, minimum, maximum)
        self._write_first(field)
        written = self._sent((Add(field, delta, minimum, maximum),))
        result = written.results[0]
        assert isinstance(result, int)
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
        self._write_first(prefix, into)
        try:
            result = self._sent((Take(prefix, into),), create=False).results[0]
        except NothingThere:
            self._settle()
            return {}
        assert isinstance(result, dict)
        targets = {into + field[len(prefix) :]: data for field, data in result.items()}
        for field in {*result, *self.draft.fields(prefix)}:
            self.draft.applied(field, None)
        for field, data in targets.items():
            self.draft.applied(field, data)
        try:
            return {field: decode(result[field]) for field in sorted(result, key=order)}
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
        self._write_first(prefix)
        raw: dict[bytes, bytes] = {}
        try:
            result = self._sent((Take(prefix),), create=False).results[0]
        except NothingThere:
            self._settle()
        else:
            assert isinstance(result, dict)
            raw = result
        values = self._decoded(raw)
        self.aside.emptied = True
        for field in {*values, *self.draft.fields(prefix)}:
            self.draft.applied(field, None)
        return {field: values[field] for field in sorted(values, key=order)}

    def _decoded(self, raw: dict[bytes, bytes]) -> dict[bytes, Any]:
        try:
            return {field: decode(data) for field, data in raw.items()}
        except Corrupt as error:
            # Put back what was taken, so that all of it goes into quarantine.
            self.link.send(tuple(Write(field, data, BLIND) for field, data in raw.items()))
            raise self._unreadable(raw) from error

    def rotate(self) -> None:
        """Give the session a new id; see `Session.rotate`."""
        with self._all_or_nothing():
            held = self.token
            if held is not None:
                successor = self._backend.ring.mint(held.reference.bucket)
                self._move(Move(successor.reference), successor)

    def bind(self, user: str, stamp: int | None, label: str) -> None:
        """Make this the session of `user`, under a new id; see `Session.bind`."""
        with self._all_or_nothing():
            subject = self._backend.ring.subject(user)
            limit = self._backend.policy.max_sessions_per_user
            shown = label.encode("utf-8", "replace")[:200]
            successor = self._backend.ring.mint(subject.bucket)
            bind = Bind(subject, stamp, shown, limit, user.encode())
            move = Move(successor.reference, bind)
            self._refuse_if_silent()
            if self._buffering:
                self._move(move, successor)
                return
            # With what the request changed so far: a login is there as a whole, or not at all.
            self.aside.move, self.aside.successor = move, successor
            self._commit_all()

    def unbind(self, fields: tuple[bytes, ...]) -> None:
        """Take the session from its user and delete these fields; see `Session.unbind`."""
        with self._all_or_nothing():
            held = self.token
            if held is None or self._buffering:
                for field in fields:
                    self.draft.delete(field)
            self.aside.limits = self.aside.move = self.aside.successor = None
            if held is None:
                return
            if self._buffering and not self.link.facts.silent:
                successor = self._backend.ring.mint(held.reference.bucket)
                self.aside.move = Move(successor.reference, unbind=True)
                self.aside.successor, self.aside.removed = successor, fields
            elif self.link.facts.silent:
                # The browser would not learn of a new id, and must not stay logged in by this one.
                self.destroy()
            else:
                self._unbind(fields, self._backend.ring.mint(held.reference.bucket))

    def _unbind(self, fields: tuple[bytes, ...], successor: Token) -> None:
        self.link.end_others()
        deletes = tuple(Write(field, None, BLIND) for field in fields)
        move = Move(successor.reference, unbind=True)
        try:
            outcome = self.link.send(
                deletes, finish=move, successor=successor, load=True, create=False
            )
        except NothingThere:
            self._settle()
        else:
            if self.draft.base is None and isinstance(outcome, Written):
                self.draft.loaded(outcome.record.fields or {})
        for field in fields:
            self.draft.applied(field, None)
        self.aside.emptied = True

    def destroy(self) -> None:
        """End the session; see `Session.destroy`."""
        with self._all_or_nothing():
            if self._buffering and self.token is not None:
                # What was read so far is still compared; what is set now begins a new session.
                compared = self.aside.before_end if self.aside.ends else self.draft.checks()
                self.aside = Aside(ends=True, before_end=compared)
            else:
                self.link.end_others()
                self.link.end()
                self.aside = Aside()
        self._begin_draft(Draft(validating=self._buffering))
        self.draft.loaded({})

    def detach(self) -> None:
        """Drop what was changed here: the session moved on without this request."""
        self.link.state = State.OVER
        self.draft = Draft()
        self.draft.loaded({})

    # The end of the request.

    @property
    def in_transaction(self) -> bool:
        """Whether changes are buffered until a transaction commits."""
        return self._buffering

    def begin_transaction(self) -> None:
        """Start afresh: what is read from now on is compared when it is committed, all at once."""
        if not self._buffering:
            self._left_behind += self.draft.held()
            self._aside_before = replace(self.aside)
        self._buffering = True
        self._forget_changes(Draft(validating=True))

    def roll_back(self) -> None:
        """Drop what the transaction would have changed: it did not come to its end."""
        if self._buffering:
            self._left_behind += self.draft.held()
        self._forget_changes(Draft())

    def end_transaction(self) -> None:
        """Go back to atomic operations that happen at once."""
        self._buffering = False
        self.draft.validating = False

    def run_again(self) -> None:
        """Let the request run again from the start, where that is possible."""
        rerun = self.link.rerun
        if rerun is not None:
            self._backend.counters.reruns += 1
            rerun()

    def abandon(self) -> None:
        """Drop what was not written, and no more: what was read stays, what is set now counts."""
        self._begin_draft(self.draft.unchanged())
        self.aside = Aside()

    def commit(self) -> None:
        """Write what was changed, all or nothing.

        Raises:
            Conflict: another request changed the same, and no rule settles it.
            SessionGone: the session ended in the meantime; nothing was revived.
            StoreUnavailable, OutcomeUnknown: the store failed.
            Unserializable: a value was changed in place into one that cannot be stored.
            SessionError: a value was changed in place after a transaction began that it was read
                before, or that took it back; that change would be lost.
        """
        if not (self.draft.may_write or self._left_behind) and self.aside.is_idle():
            return
        try:
            self._commit_all()
        except SessionGone:
            if not self.link.may_drop:
                raise
            self.detach()

    def _commit_all(self) -> None:
        self._refuse_left_behind()
        aside = self.aside
        if aside.ends:
            self._commit(aside.before_end, Destroy(), None, create=False)
            aside.ends = False
            try:
                self._commit_all()
            except StoreUnavailable as error:
                message = f"the session ended, and what was set then was not stored: {error}"
                raise OutcomeUnknown(message) from error
            return
        changes = self._changes()
        if self._end_if_empty(changes):
            return
        finish = aside.move
        if aside.removed:
            changed = {getattr(change, "field", b"") for change in changes}
            changes += tuple(
                Write(field, None, BLIND)
                for field in aside.removed
                if field not in changed and not self.draft.knows(field)
            )
        begins = (finish is not None and finish.bind is not None) or self._begins(changes)
        limits = aside.limits if begins or self.link.token is not None else None
        if limits is not None:
            changes = (*changes, limits)
        if finish is not None or any(isinstance(c, (Write, SetLimits)) for c in changes):
            self._commit(changes, finish, aside.successor, create=begins)
            if limits is not None and finish is not None and finish.unbind:
                self._commit((limits,), None, None, create=False)  # the move took all limits back
            aside.emptied = finish is not None and finish.unbind
            aside.move = aside.successor = aside.limits = None
            aside.removed = ()
            if limits is not None and self.link.state is State.LIVE:
                self.link.cookie = CookieAction.SEND

    def _refuse_left_behind(self) -> None:
        if self._left_behind:
            try:
                refuse_changed(self._left_behind, self.draft)
            except SessionError:
                self._left_behind.clear()  # told once
                raise

    def _begins(self, changes: tuple[Change, ...]) -> bool:
        """Tell whether these would begin a session; `session.permanent` alone does not."""
        return any(
            isinstance(change, Write)
            and change.value is not None
            and (change.field != PERMANENT or self.aside.permanent is None)
            for change in changes
        )

    def make_permanent(self, permanent: bool) -> None:  # noqa: FBT001 (a property's value)
        """Let the cookie outlive the browser, or not; what the cookie is already costs nothing."""
        self._refuse_if_sealed()
        self.aside.permanent = permanent
        if self.link.token is not None and self.link.token.permanent != permanent:
            self.touched = self.modified = True

    def seal(self) -> None:
        """Refuse changes from now on: the response was made."""
        self._sealed = self.answering = True

    def renews_cookie(self, *, refresh: bool) -> bool:
        """Tell whether the browser's cookie should be sent again although the session is the same.

        Its signature is an old one, or it says something else than is true now, or the request slid
        a permanent session and `refresh` is on.
        """
        link = self.link
        if link.state is not State.LIVE or link.token is None:
            return False
        permanent = self.is_permanent()
        return (
            link.token.outdated
            or permanent != link.token.permanent
            or link.deadline != link.token.deadline
            or (refresh and permanent and link.slid)
        )

    def is_permanent(self) -> bool:
        """Tell whether the cookie outlives the browser, as far as is known without asking."""
        if self.aside.permanent is not None:
            return self.aside.permanent
        token = self.link.token
        return self.draft.is_true(PERMANENT, unknown=token is not None and token.permanent)

    @property
    def user(self) -> str | None:
        """Whom the session is bound to, None for nobody."""
        move = self.aside.move
        if self.aside.ends or (move is not None and (move.bind or move.unbind)):
            return move.bind.name.decode() if move is not None and move.bind else None
        self.load()
        return self.link.user

    # Inside.

    def _refuse_if_sealed(self) -> None:
        if self._sealed:
            message = "the response was made: change the session before returning it"
            raise SessionError(message)

    def _refuse_if_silent(self) -> None:
        if self.link.facts.silent:
            message = (
                "no response goes out from here, so the browser would not learn of the new id: "
                "log in by an HTTP request"
            )
            raise SessionError(message)

    def _open_for_writing(self) -> None:
        self._refuse_if_sealed()
        self.touched = self.modified = True
        if self.link.state is State.UNAVAILABLE:
            message = "the store is unavailable: this view's session is empty and read-only"
            raise StoreUnavailable(message)
        if self.link.adopts:
            self.link.adopt()

    def _settle(self) -> None:
        """Where there turned out to be no session, or a new one began, nothing else is stored."""
        created = self.link.created and not self._created_before
        if self.draft.base is None and (created or self.link.state is not State.LIVE):
            self.draft.loaded({})

    def _begin_draft(self, draft: Draft) -> None:
        self.draft = draft
        self._created_before = self.link.created  # so that there is something, not in this draft

    def _write_first(self, *prefixes: bytes) -> None:
        """Write what was set under these before an atomic operation there, so that it stays."""
        if not self.draft.may_write:
            return
        changes = tuple(change for prefix in prefixes for change in self.draft.writes(prefix))
        if changes:
            begins = any(change.value is not None for change in changes)
            self._commit(changes, None, None, create=begins)

    def _forget_flashes(self) -> None:
        """Remove messages that were shown after the response was made, in a stream.

        The one write that is allowed then. If it fails they stay, to be shown again.
        """
        shown = self.draft.get(FLASHES)
        self.draft.delete(FLASHES)
        if shown is NOTHING or self.link.state is not State.LIVE:
            return
        try:
            self._commit(self.draft.writes(FLASHES), None, None, create=False)
        except SessionError as error:
            _log.warning("flashed messages stay, and will be shown again: %s", error)

    def _end_if_empty(self, changes: tuple[Change, ...]) -> bool:
        """End the session if this request removed the last thing in it, as Flask does.

        What another request put there in the meantime keeps it.
        """
        removes = self.aside.emptied or any(
            # Messages that were shown are no reason: other requests may be about to write.
            isinstance(change, Write) and change.value is None and change.field != FLASHES
            for change in changes
        )
        self.aside.emptied = False
        if (
            not removes
            or self.aside.move is not None
            or self.link.state is not State.LIVE
            or self.link.user is not None
            or self.draft.base is None
            or self.draft.any(b"")
        ):
            return False
        try:
            outcome = self.link.send(
                (*changes, self.draft.names(b"")), finish=Destroy("emptied"), create=False
            )
        except NothingThere:
            return True
        if not isinstance(outcome, Written):
            return False
        self.draft.committed(changes)
        return True

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Drop what the request changed where a login or a logout fails: half of it is worse."""
        try:
            self._open_for_writing()
            self.link.take_up()
            yield
        except BaseException:
            self._left_behind += self.draft.held()
            self.abandon()
            raise

    def _sent(self, changes: tuple[Change, ...], *, create: bool = True) -> Written:
        outcome = self.link.send(changes, load=self.draft.base is None, create=create, named=True)
        assert isinstance(outcome, Written)
        self._backend.counters.operations += 1
        if self.draft.base is None and outcome.record.fields is not None:
            self.draft.loaded(outcome.record.fields)
        self._settle()
        return outcome

    def _move(self, move: Move, successor: Token) -> None:
        """Rotate or bind: at once, or with the transaction's commit."""
        self._refuse_if_silent()
        if self._buffering:
            before = self.aside.move
            if move.bind is not None or before is None:  # another gives a new id already
                self.aside.move, self.aside.successor = move, successor
            if before is not None and before.unbind and self.aside.limits is None:
                self.aside.limits = SetLimits(None, None)  # the limits of who logged out
            return
        try:
            self.link.send((), finish=move, successor=successor, create=move.bind is not None)
        except NothingThere:
            return
        finally:
            if self.link.created:
                self._settle()

    def _forget_changes(self, draft: Draft) -> None:
        self._begin_draft(draft)
        self.aside = replace(self._aside_before)

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
        if not self._buffering:
            names = [name.partition("[")[0] for name in contested]  # an entry's key may be personal
            _log.warning(
                "conflict on %s; where the last write may win: UNSTICKY_MERGE=%r",
                ", ".join(names),
                dict.fromkeys(names, "last"),
            )
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
        token, permanent = self.link.token, self.aside.permanent
        if permanent is None or self.draft.holds(PERMANENT):
            return changes
        if token is None:
            # Alone it begins no session, and False is what a session is without it.
            due = permanent and self._begins(changes)
        else:
            known = self.draft.base
            stored = token.permanent if known is None else PERMANENT in known
            due = permanent != stored or permanent != token.permanent
        if not due:
            return changes
        self.draft.set(PERMANENT, permanent, "session.permanent")
        return self.draft.changes()
