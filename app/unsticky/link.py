"""What stands between a request and its session: is it there, was it ended, where did it go?

The link knows references, states and outcomes, and nothing of values. Every answer of the store
becomes a state here, in one place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from .backend import Backend
from .cookie import Reference, Token
from .errors import OutcomeUnknown, SessionError, SessionGone, StoreUnavailable
from .policy import ONCE_LIFETIME_MS
from .refusals import refusal
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
        rerun: asks for the request to be run again from the start, where that is possible.
    """

    has_cookie: bool
    rerun: Callable[[], None] | None

    @property
    def operation(self) -> bytes:
        """Names this request to the store; a proxy's resend of it should bring the same name."""

    @property
    def request_id(self) -> str:
        """For logs and signals; empty where there is none."""

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
    """

    def __init__(self, backend: Backend, token: Token | None, facts: RequestFacts) -> None:
        self.facts = facts
        self.token = token
        self.state = State.UNREAD if token else State.EMPTY
        self.record: Record | None = None
        self.slid = False
        self.created = False
        self.cookie = CookieAction.LEAVE
        self._over = "rotated"
        self._backend = backend
        self._budget = Budget(backend.policy.deadline)
        self._ordinal = 0
        self._named = b""

    @property
    def rerun(self) -> Callable[[], None] | None:
        """Ask for another run of the view, where nothing stands against it.

        Once this run changed which session the browser is to hold, another one, with the old
        cookie, would find it gone.
        """
        return self.facts.rerun if self.cookie is CookieAction.LEAVE else None

    def name_writes(self, name: str) -> None:
        """Name the writes from here on by `name` instead of by the request; see `Session.once`."""
        # No header field holds a NUL, so that no request's own name is one of these.
        named = b"\0once\0" + name.encode()
        if named != self._named:
            self._named, self._ordinal = named, 0

    def load(self) -> dict[bytes, bytes]:
        """Return the session's fields, none where there is no session.

        Raises:
            StoreUnavailable: and the view did not say that it can live without the store.
            SessionGone: the session was alive in this request and has ended.
        """
        if self.token is None or self.state in {State.OVER, State.UNAVAILABLE}:
            return {}
        self._backend.counters.reads += 1
        try:
            found = self._backend.store.read(self.token.reference, self._budget)
            if isinstance(found, Unreadable):
                found = Gone(self.set_aside().kind)
        except StoreUnavailable as error:
            self._backend.counters.store_errors += 1
            if not self.facts.optional:
                raise
            _log.warning("session store unavailable, the view goes on without: %s", error)
            self.state = State.UNAVAILABLE
            return {}
        if isinstance(found, Record):
            self._found(found)
            return found.fields or {}
        if found == Gone("rotated") and self.state is State.UNREAD:
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
    ) -> Written | Conflicting:
        """Apply changes to the session there is, or to a new one.

        Args:
            changes: see `Store.write`.
            finish: likewise.
            successor: the token of the session that `finish` moves or binds to.
            load: bring all fields back.
            create: begin a new session where there is none.

        Raises:
            SessionGone: the session was alive in this request and has ended, or was rotated away.
            NothingThere: there is none, and `create` is off.
            SessionError: the store failed, or refused the changes.
        """
        if self.state is State.OVER:
            raise self._prevented(self._over)
        if self.token is not None:
            outcome = self._write(self.token.reference, changes, finish=finish, load=load)
            if isinstance(outcome, Written):
                self._found(outcome.record)
                self._follow(outcome, finish, successor)
            if isinstance(outcome, (Written, Conflicting)):
                return outcome
            if not isinstance(outcome, (Missing, Gone)):
                raise refusal(outcome)
            self._lost(outcome)
        if not create:
            raise NothingThere
        if isinstance(finish, Move):
            finish = finish.bind  # nothing is there to move: it begins where it would have gone
        return self._create(successor or self._backend.ring.mint(), changes, finish)

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
            outcome = self._write(reference, (), finish=Destroy(), load=False)
        except OutcomeUnknown as error:
            # Ending twice is ending once, so the client may simply try again.
            message = f"the session may still live: {error}"
            raise StoreUnavailable(message) from error
        if isinstance(outcome, Gone):
            # Whoever ended it has answered for the cookie: the browser may hold a newer one.
            if outcome.kind == "rotated":
                raise self._prevented(outcome.kind)
            self._forget()
        elif isinstance(outcome, (Written, Missing)):
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
        """Emit an event of this session."""
        self._backend.emit(event, self._held().reference, self.facts.request_id, **detail)

    def seconds(self) -> float:
        """Return how long this request has waited for the store."""
        return self._backend.policy.deadline - self._budget.remaining

    def _held(self) -> Token:
        if self.token is None:
            message = "there is no session"
            raise SessionError(message)
        return self.token

    def _write(
        self,
        reference: Reference,
        changes: tuple[Change, ...],
        *,
        finish: Finish,
        load: bool,
        create: bool = False,
    ) -> WriteOutcome:
        if self.state is State.UNAVAILABLE:
            message = "the store is unavailable: this view's session is empty and read-only"
            raise StoreUnavailable(message)
        self._ordinal += 1
        operation = (
            Operation(self._named, self._ordinal, ONCE_LIFETIME_MS)
            if self._named
            else Operation(self.facts.operation, self._ordinal)
        )
        try:
            outcome = self._backend.store.write(
                reference, changes, operation, self._budget, create=create, finish=finish, load=load
            )
            if isinstance(outcome, Unreadable):
                return Gone(self.set_aside().kind)
        except (StoreUnavailable, OutcomeUnknown):
            self._backend.counters.store_errors += 1
            raise
        return outcome

    def _create(self, token: Token, changes: tuple[Change, ...], finish: Finish) -> Written:
        outcome = self._write(token.reference, changes, finish=finish, load=False, create=True)
        if not isinstance(outcome, Written):
            raise refusal(outcome)
        self.token = token
        self.created = True
        self.cookie = CookieAction.SEND
        self._found(outcome.record)
        self._backend.counters.created += 1
        self.announce("session_created")
        self._announce_ended(outcome)
        return outcome

    def _follow(self, outcome: Written, finish: Finish, successor: Token | None) -> None:
        if isinstance(finish, Destroy):
            self._ended()
        elif isinstance(finish, (Move, Bind)) and successor is not None:
            previous = self._held().reference
            self.token = successor
            self.cookie = CookieAction.SEND
            self.announce("session_rotated", previous=previous.handle)
            self._announce_ended(outcome)

    def _announce_ended(self, outcome: Written) -> None:
        for ended in outcome.ended:
            self._backend.emit("session_revoked", ended, self.facts.request_id, reason="limit")

    def _found(self, record: Record) -> None:
        self.state = State.LIVE
        if self.record is not None and self.record.permanent and not record.slid:
            record = record._replace(permanent=True)  # told by the call that slid it
        self.record = record
        self.slid = self.slid or record.slid

    def _forget(self) -> None:
        self.state = State.EMPTY
        self.token = None
        self.record = None

    def _unknown(self) -> None:
        reference = self._held().reference
        self._forget()
        self._backend.counters.unknown_ids += 1
        self._backend.emit("unknown_id", reference, self.facts.request_id)

    def _lost(self, outcome: Missing | Gone) -> None:
        """Refuse where the session was seen alive in this request; else a new one may begin."""
        seen_alive = self.state is State.LIVE
        if isinstance(outcome, Missing):
            if seen_alive:
                raise self._prevented("expired")
            self._unknown()
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

    def _ended(self) -> None:
        reference = self._held().reference
        self.cookie = CookieAction.DELETE if self.facts.has_cookie else CookieAction.LEAVE
        self.created = False
        self._forget()
        self._backend.emit("session_destroyed", reference, self.facts.request_id)
