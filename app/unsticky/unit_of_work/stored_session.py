"""The calls to the store that one request makes about its session: load, write, end, adopt.

This module knows references and outcomes, and no values.
"""

from __future__ import annotations

import logging

from ..adoption import Adopted, Destination
from ..cookie import Reference, Token
from ..errors import OutcomeUnknown, SessionError, SessionGone, StoreUnavailable, repeatable
from ..request_facts import RequestFacts
from ..state import ExtensionState
from ..stores.base import (
    Change,
    Conflicting,
    Deadline,
    Destroy,
    Finish,
    Gone,
    Missing,
    Operation,
    Record,
    Unreadable,
    WriteOutcome,
    Written,
)
from .lifecycle import Absent, CookieAction, Ended, Lifecycle, Presence, Rotation
from .operation_names import OperationNames
from .outcomes import read_of_nothing, refusal

_log = logging.getLogger("unsticky")


class StoredSession(Lifecycle):
    """See the module, and `Lifecycle` for what is known of the session.

    Attributes:
        deadline: the time that this request may spend in the store.
        adopts: the browser brought a session of the library used before, not adopted yet.
    """

    def __init__(self, extension: ExtensionState, tokens: list[Token], facts: RequestFacts) -> None:
        super().__init__(extension, tokens, facts)
        self.deadline = Deadline(extension.config.deadline)
        self._names: OperationNames | None = None
        self._adopted_before = False
        self.adopts = bool(facts.old_cookies)

    @property
    def is_old_cookie_spent(self) -> bool:
        """Whether the cookie of the library used before names nothing any more."""
        return self._adopted_before or self.logged_out

    # Reading.

    def adopt(self) -> None:
        """Adopt the session of the library used before, if the browser brought one.

        Raises:
            StoreUnavailable: it is not known whether there is one.
        """
        extension, adoption = self._extension, self._extension.adoption
        if not self.adopts or adoption is None:
            return
        facts = self.facts
        try:
            to = Destination(
                extension.store, extension.ring, extension.lifetimes, self.deadline, facts.label
            )
            found = adoption.take_over(facts.old_cookies, to)
        except StoreUnavailable as error:
            extension.failed(error)
            raise
        self.adopts, self._adopted_before = False, found is not None
        if isinstance(found, Adopted):
            self.token, self.cookie = found.token, CookieAction.SEND
            self._found(found.record)
            self.user = found.user
            self.announce("session_created", adopted=True)
            self._announce_ended(found.ended)
        elif found is None:
            extension.counters.unknown_ids += 1
            extension.announce("unknown_id", None, facts.request_id)
        elif found.kind == "rotated":
            self.token, self.state = found.token, Ended("rotated")

    def load(self, *, late: bool = False) -> dict[bytes, bytes]:
        """Return the session's fields; none if there is no session.

        If the response was made already (`late`), the idle limit stays as it is, and this read gets
        a new deadline, because the request's own may have passed.

        Raises:
            StoreUnavailable: and the view did not say that it can live without the store.
            SessionGone: the session was alive in this request and has ended.
        """
        if late:
            self.deadline = Deadline(self._extension.config.deadline)
            self.adopts = False  # the new cookie could not be sent any more
        elif self.token is None:
            self.take_up()
        if self.adopts:
            return self._loaded_old()
        state = self.state
        if self.token is None or state is Presence.UNAVAILABLE or isinstance(state, Ended):
            return {}
        self._extension.counters.reads += 1
        try:
            found = self._read(self.token.reference, slide=not late)
        except StoreUnavailable as error:
            self._extension.failed(error)
            if not self.facts.optional:
                raise
            self.state = Presence.UNAVAILABLE
            return {}
        self._extension.answered()
        if isinstance(found, Record):
            self._found(found)
            return found.fields or {}
        if self._tries_another(found):
            return self.load(late=late)
        if state is Presence.NOT_LOADED and (found == Gone("rotated") or self._is_late(found)):
            self.state = Ended("rotated")
        else:
            self._lost(found)
        return {}

    def set_aside(self, field: bytes = b"", observed: bytes = b"") -> SessionGone:
        """Quarantine a session with unreadable bytes (`observed`), and return the error to raise.

        Without a `field`, the whole session is unreadable.
        """
        reference = self._required_token().reference
        if self._extension.store.quarantine(reference, field, observed, self.deadline):
            self._extension.counters.quarantined += 1
            _log.error("session %s held unreadable bytes and was set aside", reference.handle)
        return SessionGone("corrupt")

    # Writing.

    def write(
        self,
        changes: tuple[Change, ...],
        *,
        finish: Destroy | Rotation | None = None,
        load: bool = False,
        atomic: bool = False,
        create: bool = False,
    ) -> Written | Conflicting | Missing:
        """Apply changes to the session; see `Store.write`.

        If there is none, a new one starts (`create`, never with `Destroy`). Otherwise the outcome
        is `Conflicting` for what was read of it, or `Missing`. `atomic` means an operation that
        `once` may have named.

        Raises:
            SessionGone: the session was alive in this request and has ended, or was rotated.
            SessionError: the store failed, or refused the changes, or no response can bring the
                browser the new session's cookie.
        """
        # One name for both: a resend may find the session that this request has to create.
        operation = self._operation(changes, finish, atomic=atomic)
        outcome = self._apply(changes, operation, finish, load=load)
        if isinstance(outcome, Missing):
            if create and not isinstance(finish, Destroy):
                return self._create(changes, operation, finish)
            contested = read_of_nothing(changes)
            if contested:
                return Conflicting(contested)
            if isinstance(self.state, Absent) and finish not in {None, Destroy("emptied")}:
                self.state = Absent()  # what is set from now on gets another id
        return outcome

    def names(self) -> OperationNames:
        """Return the names of this request's writes."""
        if self._names is None:
            self._names = OperationNames(self._extension.config.operation_lifetime)
        return self._names

    def end(self) -> None:
        """End the session. Ending one that has ended already is no error.

        Raises:
            StoreUnavailable: it may still be alive.
            SessionGone: it was rotated, and is alive under the new id.
        """
        if self.token is None:
            if self._ended_before is not None and self._extension.config.wait is not None:
                self._end_at(self._ended_before)  # replicas may not have its end
            return
        state = self.state
        if isinstance(state, Ended):
            if state.kind != "rotated":
                return
            raise self._prevented(state.kind)
        outcome = self._end_at(self.token.reference)
        if isinstance(outcome, (Missing, Gone)) and self._tries_another(outcome):
            self.end()
        elif isinstance(outcome, Gone):
            # The request that ended it answers for the cookie; the browser may hold a newer one.
            if outcome.kind == "rotated":
                raise self._prevented(outcome.kind)
            self._forget()
        elif isinstance(outcome, (Written, Missing)):
            if isinstance(outcome, Written):
                self._found(outcome.record)
            self._ended()
        else:
            raise refusal(outcome)

    def end_others(self) -> None:
        """End the sessions of the browser's other cookies, so that none replaces this one.

        Raises:
            StoreUnavailable: they may still be alive.
        """
        if self.is_undecided:
            self.load()
        while self._others:
            reference = self._others[0].reference
            if isinstance(self._end_at(reference), Written):
                self._extension.announce("session_destroyed", reference, self.facts.request_id)
            del self._others[0]

    # Inside: the calls to the store.

    def _loaded_old(self) -> dict[bytes, bytes]:
        try:
            self.adopt()
        except StoreUnavailable:
            if not self.facts.optional:
                raise
            self.state, self.adopts = Presence.UNAVAILABLE, False
        return (self.record.fields if self.record is not None else None) or {}

    def _operation(
        self, changes: tuple[Change, ...], finish: Destroy | Rotation | None, *, atomic: bool
    ) -> Operation:
        return self.names().next(self.facts.operation, changes, type(finish), atomic=atomic)

    def _apply(
        self,
        changes: tuple[Change, ...],
        operation: Operation,
        finish: Destroy | Rotation | None,
        *,
        load: bool,
    ) -> Written | Conflicting | Missing:
        state = self.state
        if isinstance(state, Ended):
            raise self._prevented(state.kind)
        ending = finish.move if isinstance(finish, Rotation) else finish
        while self.token is not None:
            outcome = self._send(self.token.reference, changes, operation, ending, load=load)
            if isinstance(outcome, Written):
                self._found(outcome.record)
                if finish is not None:
                    self._follow(outcome, finish)
                return outcome
            if isinstance(outcome, Conflicting):
                return outcome
            if not isinstance(outcome, (Missing, Gone)):
                raise refusal(outcome)
            done = isinstance(outcome, Gone) and outcome.done
            if done or not self._tries_another(outcome):
                self._lost(outcome)
        return Missing()

    def _send(
        self,
        reference: Reference,
        changes: tuple[Change, ...],
        operation: Operation,
        finish: Finish,
        *,
        load: bool = False,
        create: bool = False,
    ) -> WriteOutcome:
        if self.state is Presence.UNAVAILABLE:
            raise StoreUnavailable(
                "the store is unavailable: this view's session is empty and read-only"
            )
        extension = self._extension
        try:
            outcome = extension.store.write(
                reference,
                changes,
                operation,
                extension.lifetimes,
                self.deadline,
                create=create,
                finish=finish,
                load=load,
            )
            if isinstance(outcome, Unreadable):
                return Gone(self.set_aside().kind)
        except (StoreUnavailable, OutcomeUnknown) as error:
            extension.failed(error)
            raise
        extension.answered()
        return outcome

    def _read(self, reference: Reference, *, slide: bool) -> Record | Missing | Gone:
        extension = self._extension
        found = extension.store.read(reference, extension.lifetimes, self.deadline, slide=slide)
        return Gone(self.set_aside().kind) if isinstance(found, Unreadable) else found

    def _end_at(self, reference: Reference) -> WriteOutcome:
        finish = Destroy()
        with repeatable("the session may still be alive: "):
            return self._send(reference, (), self._operation((), finish, atomic=False), finish)

    def _create(
        self, changes: tuple[Change, ...], operation: Operation, rotation: Rotation | None
    ) -> Written | Conflicting:
        if self.facts.silent:
            raise SessionError(
                "a handler without a response cannot send the cookie of a new session: "
                "start the session in an HTTP request"
            )
        emptied = self.state.emptied if isinstance(self.state, Absent) else None
        token = rotation.token if rotation is not None else emptied or self._extension.ring.mint()
        bind = rotation.move.bind if rotation is not None else None
        # An emptied session starts again, and then moves. Otherwise there is nothing to move: the
        # session starts under the id that it would have got.
        finish = rotation.move if rotation is not None and emptied is not None else bind
        started = (emptied or token).reference
        outcome = self._send(started, changes, operation, finish, create=True)
        if isinstance(outcome, Conflicting):
            return outcome  # the request read something of the session that ended
        if isinstance(outcome, Gone) and emptied is not None:
            # Another request started it again, and moved or ended it since.
            self._lost(outcome)
            return self._create(changes, operation, rotation)
        if not isinstance(outcome, Written):
            raise refusal(outcome)
        self.token = token
        self.created = True
        self.cookie = CookieAction.SEND
        self._found(outcome.record)
        if bind is not None:
            self.user = bind.name.decode()
        self._extension.counters.created += 1
        self.announce("session_created")
        self._announce_ended(outcome.ended)
        return outcome
