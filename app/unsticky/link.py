"""What stands between a request and its session: is it there, was it ended, where did it go?

The link knows references, states and outcomes, and nothing of values. Every answer of the store
becomes a state here, in one place.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Protocol

from .adopt import Adopted
from .backend import Backend
from .cookie import Reference, Token
from .errors import OutcomeUnknown, SessionError, SessionGone, StoreUnavailable
from .policy import ONCE_LIFETIME_MS, TOMBSTONE_LIFETIME_MS
from .refusals import read_of_nothing, refusal
from .stores.contract import (
    Bind,
    Budget,
    Change,
    Conflicting,
    Destroy,
    Finish,
    Gone,
    Missing,
    Move,
    Operation,
    Record,
    Unreadable,
    WriteOutcome,
    Written,
)

_log = logging.getLogger("unsticky")

_FEW: Final = 8

_TOO_LATE_SECONDS: Final = TOMBSTONE_LIFETIME_MS / 1000 - 5
"""A request that runs longer may find its session's tombstone gone, and cannot tell a session that
was rotated from one that never was. It begins none, and leaves the browser's cookie alone."""


class State(Enum):
    """What is known of the session that the request's cookie names."""

    UNREAD = auto()
    """Nothing yet."""
    LIVE = auto()
    """It is there."""
    EMPTY = auto()
    """There is none; a new one begins with the first write."""
    OVER = auto()
    """It was rotated away, or ended while this request held it. The browser may hold a newer cookie
    already, so nothing may begin here, and this request leaves the cookie alone."""
    UNAVAILABLE = auto()
    """The store could not be asked, and the view said that it can live without."""


class CookieAction(Enum):
    """What the response does to the browser's cookie."""

    LEAVE = auto()
    SEND = auto()
    DELETE = auto()


class RequestFacts(Protocol):
    """What a session needs to know of its request; asked only when it matters.

    Attributes:
        has_cookie: the browser sent a session cookie of some kind.
        silent: no answer goes out to the browser, so that it cannot learn of a new cookie.
        began: when the request began, in seconds of the monotonic clock.
        old_cookies: what the browser brought of the library used before.
    """

    began: float
    old_cookies: list[str]

    @property
    def has_cookie(self) -> bool:
        """See the class."""

    @property
    def silent(self) -> bool:
        """See the class."""

    @property
    def is_safe(self) -> bool:
        """Whether the method asks for nothing to be changed (RFC 9110, section 9.2.1)."""

    @property
    def rerun(self) -> Callable[[], None] | None:
        """Asks for the request to be run again from the start, where that is possible."""

    @property
    def operation(self) -> bytes:
        """Names this request to the store; a proxy's resend of it should bring the same name."""

    @property
    def request_id(self) -> str:
        """For logs and signals; empty where there is none."""

    @property
    def label(self) -> str:
        """What a user's list shows for a session that is adopted in this request."""

    @property
    def optional(self) -> bool:
        """Whether the view can live without the store."""


class NothingThere(Exception):
    """There is no session, and none was to be made."""


class Link:
    """See the module.

    Attributes:
        token: what the cookie holds, or will hold; None while there is no session.
        state: what is known.
        record: when the session was made and how long it may live, once known.
        slid: this request moved the session's idle limit.
        created: this request made the session.
        cookie: what the response does to the browser's cookie.
        seen_alive: the session was there at some time of this request.
        user: whom the session is bound to; None for nobody, or where that is not known yet.
        old_cookie_spent: the browser's cookie of the library used before was adopted.
        logged_out: this request took the session from its user, or ended it.
    """

    def __init__(self, backend: Backend, tokens: list[Token], facts: RequestFacts) -> None:
        self.facts = facts
        # A browser may hold several cookies of this name, of which the first may be stale.
        self.token: Token | None = tokens[0] if tokens else None
        self._others = tokens[1:]
        self.state = State.UNREAD if tokens else State.EMPTY
        self.record: Record | None = None
        self.slid = False
        self.created = False
        self.cookie = CookieAction.LEAVE
        self.seen_alive = False
        self.user: str | None = None
        self.logged_out = False
        self._emptied: Token | None = None
        self._over = "rotated"
        self._backend = backend
        self._budget = Budget(backend.policy.deadline)
        self._first: list[object] = []
        self._done: Counter[object] = Counter()
        self._named = b""
        self.old_cookie_spent = False
        self.adopts = bool(facts.old_cookies)

    @property
    def rerun(self) -> Callable[[], None] | None:
        """Ask for another run of the view, where nothing stands against it.

        Once this run changed which session the browser is to hold, another one, with the old
        cookie, would find it gone.
        """
        return self.facts.rerun if self.cookie is CookieAction.LEAVE else None

    @property
    def may_drop(self) -> bool:
        """Whether this request's own changes may be dropped where its session moved on.

        It asked for a page while another request logged in or out, and never saw the session. What
        it wrote, such as a token for a form, is nothing that anybody was told.
        """
        moved = self.state is State.OVER and self._over == "rotated"
        return moved and self.facts.is_safe and not self.seen_alive

    @property
    def deadline(self) -> int:
        """The session's absolute limit in seconds since 1970, 0 for none."""
        if self.record is not None:
            return -(-self.record.deadline // 1000)
        return self.token.deadline if self.token is not None else 0

    @property
    def is_undecided(self) -> bool:
        """Whether several cookies came, and it is not known yet which one counts."""
        return self.state is State.UNREAD and bool(self._others)

    def name_writes(self, name: str) -> None:
        """Name the atomic operations from here on by `name`; see `Session.once`."""
        # No header field holds a NUL, so that no request's own name is one of these.
        named = b"\0once\0" + name.encode("utf-8", "surrogatepass")
        self._named = named

    def adopt(self) -> None:
        """Take over the session that the browser brought of the library used before, if any.

        Raises:
            StoreUnavailable: it is not known whether there is one.
        """
        backend, adoption = self._backend, self._backend.adoption
        if not self.adopts or adoption is None:
            return
        facts = self.facts
        try:
            found = adoption.take_over(facts.old_cookies, backend, self._budget, label=facts.label)
        except StoreUnavailable as error:
            backend.failed(error)
            raise
        self.adopts, self.old_cookie_spent = False, found is not None
        if isinstance(found, Adopted):
            self.token, self.cookie = found.token, CookieAction.SEND
            self._found(found.record)
            self.user = found.user
            self.announce("session_created", adopted=True)
            self._announce_ended(found.ended)
        elif found is None:
            backend.counters.unknown_ids += 1
            backend.emit("unknown_id", None, facts.request_id)
        elif found.kind == "rotated":
            self.token, self.state = found.token, State.OVER

    def load(self, *, late: bool = False) -> dict[bytes, bytes]:
        """Return the session's fields, none where there is no session.

        Args:
            late: the response was made. The idle limit stays where it is, and the time that the
                request had for the store is over, so that this read has a time of its own.

        Raises:
            StoreUnavailable: and the view did not say that it can live without the store.
            SessionGone: the session was alive in this request and has ended.
        """
        if late:
            self._budget = Budget(self._backend.policy.deadline)
            self.adopts = False  # the cookie could not be sent any more
        else:
            self.take_up()
        if self.adopts:
            return self._loaded_old()
        if self.token is None or self.state in {State.OVER, State.UNAVAILABLE}:
            return {}
        self._backend.counters.reads += 1
        try:
            found = self._read(self.token.reference, slide=not late)
        except StoreUnavailable as error:
            self._backend.failed(error)
            if not self.facts.optional:
                raise
            self.state = State.UNAVAILABLE
            return {}
        self._backend.answered()
        if isinstance(found, Record):
            self._found(found)
            return found.fields or {}
        if self._tries_another():
            return self.load(late=late)
        if self.state is State.UNREAD and (found == Gone("rotated") or self._is_late(found)):
            self.state = State.OVER
        else:
            self._lost(found)
        return {}

    def send(
        self,
        changes: tuple[Change, ...],
        *,
        finish: Finish = None,
        successor: Token | None = None,
        load: bool = False,
        create: bool = True,
        named: bool = False,
    ) -> Written | Conflicting:
        """Apply changes to the session there is, or to a new one.

        Args:
            changes: see `Store.write`.
            finish: likewise.
            successor: the token of the session that `finish` moves or binds to.
            load: bring all fields back.
            create: begin a new session where there is none.
            named: an operation that `once` names.

        Returns:
            What came of it; where nothing is there any more, `Conflicting` for what was read of it.

        Raises:
            SessionGone: the session was alive in this request and has ended, or was rotated away.
            NothingThere: there is none, and `create` is off.
            SessionError: the store failed, or refused the changes.
        """
        if self.state is State.OVER:
            raise self._prevented(self._over)
        # One name, wherever it is written: a resend may meet at once what this one had to begin.
        operation = self._operation(changes, finish, named=named)
        while self.token is not None:
            outcome = self._write(
                self.token.reference, changes, operation, finish=finish, load=load
            )
            if isinstance(outcome, Written):
                self._found(outcome.record)
                self._follow(outcome, finish, successor)
            if isinstance(outcome, (Written, Conflicting)):
                return outcome
            if not isinstance(outcome, (Missing, Gone)):
                raise refusal(outcome)
            if not self._tries_another():
                self._lost(outcome)
        if create:
            return self._create(changes, operation, finish, successor)
        contested = read_of_nothing(changes)
        if contested:
            return Conflicting(contested)
        if finish is not None and finish != Destroy("emptied"):
            self._emptied = None  # what is set from now on goes under another id
        raise NothingThere

    def take_up(self) -> None:
        """Hold an emptied session again, which another request may have begun since."""
        if self.token is None and self._emptied is not None:
            self.token, self._emptied = self._emptied, None
            self.state = State.LIVE if self.seen_alive else State.UNREAD

    def end_others(self) -> None:
        """End the sessions of the browser's other cookies: after a logout none may take its place.

        Raises:
            StoreUnavailable: they may still live.
        """
        if self.is_undecided:
            self.load()
        while self._others:
            token = self._others[0]
            try:
                outcome = self._destroy(token.reference)
            except OutcomeUnknown as error:
                message = f"a session may still live: {error}"
                raise StoreUnavailable(message) from error
            if isinstance(outcome, Written):
                self._backend.emit("session_destroyed", token.reference, self.facts.request_id)
            del self._others[0]

    def end(self) -> None:
        """End the session; ending one that has ended is no error.

        Raises:
            StoreUnavailable: it may still live.
            SessionGone: it was rotated away, and lives on under the new id.
        """
        if self.token is None:
            return
        if self.state is State.OVER:
            if self._over != "rotated":
                return
            raise self._prevented(self._over)
        reference = self.token.reference
        try:
            outcome = self._destroy(reference)
        except OutcomeUnknown as error:
            # Ending twice is ending once, so the client may simply try again.
            message = f"the session may still live: {error}"
            raise StoreUnavailable(message) from error
        if isinstance(outcome, (Missing, Gone)) and self._tries_another():
            self.end()
        elif isinstance(outcome, Gone):
            # Whoever ended it has answered for the cookie: the browser may hold a newer one.
            if outcome.kind == "rotated":
                raise self._prevented(outcome.kind)
            self._forget()
        elif isinstance(outcome, (Written, Missing)):
            if isinstance(outcome, Written):
                self._found(outcome.record)
            self._ended()
        else:
            raise refusal(outcome)

    def set_aside(self, field: bytes = b"", observed: bytes = b"") -> SessionGone:
        """Quarantine a session whose bytes are unreadable, and return the error to raise.

        Args:
            field: which of its fields, if not the whole.
            observed: what that field held.
        """
        reference = self._held().reference
        if self._backend.store.quarantine(reference, field, observed, self._budget):
            self._backend.counters.quarantined += 1
            _log.error("session %s held unreadable bytes and was set aside", reference.handle)
        return SessionGone("corrupt")

    def announce(self, event: str, **detail: object) -> None:
        """Emit an event of this session, with its user where that is known."""
        if self.user is not None:
            detail["user"] = self.user
        reference = self.token.reference if self.token is not None else None
        self._backend.emit(event, reference, self.facts.request_id, **detail)

    def seconds(self) -> float:
        """Return how long this request has waited for the store."""
        return self._backend.policy.deadline - self._budget.remaining

    def _loaded_old(self) -> dict[bytes, bytes]:
        try:
            self.adopt()
        except StoreUnavailable:
            if not self.facts.optional:
                raise
            self.state, self.adopts = State.UNAVAILABLE, False
        return (self.record.fields if self.record is not None else None) or {}

    def _held(self) -> Token:
        if self.token is None:
            message = "there is no session"
            raise SessionError(message)
        return self.token

    def _write(
        self,
        reference: Reference,
        changes: tuple[Change, ...],
        operation: Operation,
        *,
        finish: Finish,
        load: bool,
        create: bool = False,
    ) -> WriteOutcome:
        if self.state is State.UNAVAILABLE:
            message = "the store is unavailable: this view's session is empty and read-only"
            raise StoreUnavailable(message)
        try:
            outcome = self._backend.store.write(
                reference,
                changes,
                operation,
                self._backend.lifetimes,
                self._budget,
                create=create,
                finish=finish,
                load=load,
            )
            if isinstance(outcome, Unreadable):
                return Gone(self.set_aside().kind)
        except (StoreUnavailable, OutcomeUnknown) as error:
            self._backend.failed(error)
            raise
        self._backend.answered()
        return outcome

    def _destroy(self, reference: Reference) -> WriteOutcome:
        finish = Destroy()
        operation = self._operation((), finish, named=False)
        return self._write(reference, (), operation, finish=finish, load=False)

    def _operation(self, changes: tuple[Change, ...], finish: Finish, *, named: bool) -> Operation:
        """Name a write by what it is and how often this request made it, not by its place.

        A view that runs again may make others before it, and must not make this one twice.
        """
        named = named and self._named != b""
        what = (changes, type(finish), self._named if named else b"")
        ordinal = self._count(what)
        if named:
            return Operation(self._named, ordinal, ONCE_LIFETIME_MS, ends_with_session=True)
        return Operation(self.facts.operation, ordinal, self._backend.policy.operation_lifetime)

    def _count(self, what: tuple[object, ...]) -> int:
        """Return how often this write was made, this time included."""
        if len(self._first) < _FEW:  # cheaper than hashing it, for the two or three that are usual
            self._first.append(what)
            return self._first.count(what)
        self._done[what] += 1
        return self._first.count(what) + self._done[what]

    def _read(self, reference: Reference, *, slide: bool) -> Record | Missing | Gone:
        backend = self._backend
        found = backend.store.read(reference, backend.lifetimes, self._budget, slide=slide)
        return Gone(self.set_aside().kind) if isinstance(found, Unreadable) else found

    def _tries_another(self) -> bool:
        """Go on with the browser's next cookie where the session of this one is not there."""
        if self.state is not State.UNREAD or not self._others:
            return False
        self.token = self._others.pop(0)
        return True

    def _is_late(self, outcome: Missing | Gone) -> bool:
        late = time.monotonic() - self.facts.began > _TOO_LATE_SECONDS
        return late and isinstance(outcome, Missing)

    def _create(
        self,
        changes: tuple[Change, ...],
        operation: Operation,
        finish: Finish,
        successor: Token | None,
    ) -> Written | Conflicting:
        if self.facts.silent:
            message = (
                "no response goes out from here, so the browser would not learn of a new session: "
                "begin it in an HTTP request"
            )
            raise SessionError(message)
        begun = self._emptied or successor or self._backend.ring.mint()
        if isinstance(finish, Move) and self._emptied is None:
            finish = finish.bind  # nothing is there to move: it begins where it would have gone
        outcome = self._write(
            begun.reference, changes, operation, finish=finish, load=False, create=True
        )
        if isinstance(outcome, Conflicting):
            return outcome  # something was read of the session that ended
        if isinstance(outcome, Gone) and self._emptied is not None:
            # Another request began it again, and moved or ended it since.
            self._emptied = None
            self._lost(outcome)
            return self._create(changes, operation, finish, successor)
        if not isinstance(outcome, Written):
            raise refusal(outcome)
        self.token, self._emptied = successor or begun, None
        self.created = True
        self.cookie = CookieAction.SEND
        self._found(outcome.record)
        self._bound(finish)
        self._backend.counters.created += 1
        self.announce("session_created")
        self._announce_ended(outcome.ended)
        return outcome

    def _follow(self, outcome: Written, finish: Finish, successor: Token | None) -> None:
        if isinstance(finish, Destroy):
            self._ended(by_request=finish.kind != "emptied")
        elif isinstance(finish, (Move, Bind)) and successor is not None:
            previous = self._held().reference
            self.token = successor._replace(permanent=self._held().permanent)
            self.cookie = CookieAction.SEND
            unbinds = isinstance(finish, Move) and finish.unbind
            if not unbinds:
                self._bound(finish)
            self.announce("session_rotated", previous=previous.handle)
            if unbinds:
                self.user, self.logged_out = None, True
            self._announce_ended(outcome.ended)

    def _bound(self, finish: Finish) -> None:
        """Remember whose session it is from now on."""
        bind = finish.bind if isinstance(finish, Move) else finish
        if isinstance(bind, Bind):
            self.user = bind.name.decode()

    def _announce_ended(self, references: tuple[Reference, ...]) -> None:
        for ended in references:
            self._backend.emit(
                "session_revoked", ended, self.facts.request_id, reason="limit", user=self.user
            )

    def _found(self, record: Record) -> None:
        self.state = State.LIVE
        if self.cookie is CookieAction.DELETE:
            self.cookie = CookieAction.SEND  # emptied, and begun again by another request
        self.seen_alive = True
        self.record = record
        if record.user is not None:
            self.user = record.user.decode() or None
        self.slid = self.slid or record.slid

    def _forget(self) -> None:
        self.state = State.EMPTY
        self.token = None
        self.record = None
        self.user = None

    def _lost(self, outcome: Missing | Gone) -> None:
        """Refuse where the session was seen alive in this request; else a new one may begin."""
        seen_alive = self.state is State.LIVE
        if isinstance(outcome, Missing):
            if seen_alive or self._is_late(outcome):
                raise self._prevented("expired")
            # The cookie was signed here, so there was a session.
            self.announce("session_expired", kind="idle")
            self._forget()
        elif outcome.kind == "emptied":
            # It held nothing any more, for nobody. All who write now begin the same one.
            self._emptied = self.token
            self._forget()
        else:
            if seen_alive or outcome.kind == "rotated":
                raise self._prevented(outcome.kind)
            self._forget()

    def _prevented(self, kind: str) -> SessionGone:
        self.state, self._over = State.OVER, kind
        self.cookie = CookieAction.LEAVE
        self._backend.counters.revivals_prevented += 1
        self.announce("session_revival_prevented", kind=kind)
        return SessionGone(kind)

    def _ended(self, *, by_request: bool = True) -> None:
        self.announce("session_destroyed")
        self.cookie = CookieAction.DELETE if self.facts.has_cookie else CookieAction.LEAVE
        self.created = False
        self.logged_out = self.logged_out or by_request
        if not by_request:
            self._emptied = self.token
        self._forget()
