"""What each call does in a store without scripts; `DocumentStore.carry_out` says how to use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b

from ..cookie import Reference
from ..errors import StoreUnavailable
from ..limits import OPERATION_LIFETIME_MS, TOMBSTONE_LIFETIME_MS, Lifetimes
from .base import (
    QUARANTINE_LIFETIME_MS,
    Bind,
    Caps,
    Change,
    Destroy,
    Finish,
    Gone,
    Listed,
    Missing,
    Move,
    Operation,
    Record,
    StaleStamp,
    Unreadable,
    WriteOutcome,
    Written,
)
from .documents import Damaged, Document, Documents, Result, Session, Tombstone, key_of
from .effects import Effects


class Plan(Documents):
    """The plan of one call: what it answers, and the documents that it replaces.

    The methods are those of `Store`, without what only a store knows: the deadline, and how to find
    all sessions. `caps` is what a session may grow to.
    """

    def __init__(self, load: Callable[[str], Document | None], now: int, caps: Caps) -> None:
        super().__init__(load, now)
        self.caps = caps

    def read(
        self, reference: Reference, lifetimes: Lifetimes, *, slide: bool
    ) -> Record | Missing | Gone | Unreadable:
        """See `Store.read`."""
        found = self.find(reference, lifetimes)
        if not isinstance(found, Session):
            return found
        slid = slide and self.use(reference, found, lifetimes)[1]
        return found.record(slid=slid, load=True)

    def write(
        self,
        reference: Reference,
        changes: tuple[Change, ...],
        operation: Operation,
        lifetimes: Lifetimes,
        *,
        create: bool,
        finish: Finish,
        load: bool,
    ) -> WriteOutcome:
        """See `Store.write`."""
        call = _Write(self, reference, changes, operation, lifetimes, create, finish, load)
        return call.outcome()

    def sessions(self, user: Reference) -> tuple[Listed, ...]:
        """See `Store.sessions`."""
        listed = [
            Listed(reference, session.record(slid=False, load=False))
            for reference, session in self.living_of(user)
        ]
        return tuple(sorted(listed, key=lambda entry: entry.record.created))

    def end_all(
        self, user: Reference, keep: Reference | None, stamp: int | None, *, forget: bool
    ) -> tuple[Reference, ...]:
        """See `Store.end_all`."""
        index = self.index(user)
        if stamp is not None and (index.stamp is None or index.stamp < stamp):
            self.replaced[key_of("index", user)] = replace(index, stamp=stamp)
        ended = tuple(found for found, _ in self.living_of(user) if found != keep)
        for reference in ended:
            self.bury(reference, "revoked")
        if forget:
            self.replaced[key_of("index", user)] = Tombstone("forgotten", self.now)
        return ended

    def end_each(self, keys: Iterable[str]) -> tuple[Reference, ...]:
        """End the living sessions among these keys of documents, as `Store.sweep` does.

        What cannot be read ends, too: it must not outlive the end of all.
        """
        ended = []
        for key in keys:
            kind, _, handle = key.partition(":")
            reference = Reference.from_handle(handle) if kind == "session" else None
            if reference is None:
                continue
            try:
                if not isinstance(self.find(reference), (Session, Unreadable)):
                    continue
                self.bury(reference, "revoked")
            except StoreUnavailable:  # a newer release wrote it
                self.put(reference, Tombstone("revoked", self.now + TOMBSTONE_LIFETIME_MS))
            ended.append(reference)
        return tuple(ended)

    def quarantine(self, reference: Reference, field: bytes, observed: bytes) -> bool:
        """See `Store.quarantine`."""
        found = self.find(reference)
        if isinstance(found, Session):
            is_it = found.fields.get(field) == observed
        else:
            is_it = isinstance(found, Unreadable) and not field and not observed
        stored = self.get(key_of("session", reference))
        if not is_it or not isinstance(stored, (Session, Damaged)):
            return False
        aside = replace(stored, expires=self.now + QUARANTINE_LIFETIME_MS)
        self.replaced[key_of("quarantine", reference)] = aside
        self.bury(reference, "corrupt")
        return True


def operation_name(
    reference: Reference, changes: tuple[Change, ...], operation: Operation, finish: Finish
) -> str:
    """Return what names an operation: all of it, or that it makes the session."""
    what = None if operation.makes_once else (changes, finish)
    whole = repr((reference, operation.request, operation.ordinal, what))
    return blake2b(whole.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class _Write:
    """One call of `Store.write`, with its arguments."""

    plan: Plan
    reference: Reference
    changes: tuple[Change, ...]
    operation: Operation
    lifetimes: Lifetimes
    create: bool
    finish: Finish
    load: bool

    def outcome(self) -> WriteOutcome:
        found = self.plan.find(self.reference, self.lifetimes)
        first = self._first(found)
        outcome: WriteOutcome | None = None
        if self.operation.makes_once:
            outcome = self._made(found, first)
        elif first is not None:
            outcome = self._repeated(found, first)
        if outcome is None:
            outcome = self._applied(found)
            if isinstance(outcome, Gone) and first is not None and self.finish is None:
                outcome = replace(outcome, done=True)
            if self.operation.makes_once and isinstance(outcome, Written):
                outcome = replace(outcome, record=outcome.record._replace(user=b""), results=())
        if isinstance(outcome, Written) and first is None:
            self._keep(outcome)
        return outcome

    # The operation may have come before.

    @property
    def _name(self) -> str:
        return operation_name(self.reference, self.changes, self.operation, self.finish)

    @property
    def _kept_beside(self) -> bool:
        """Whether the result is kept in the session's document, and so ends with it."""
        apart = self.operation.makes_once or isinstance(self.finish, (Destroy, Move))
        return self.operation.ends_with_session and not apart

    def _first(self, found: Session | Missing | Gone | Unreadable) -> Written | None:
        """Return what the operation was answered the first time, None if this is the first."""
        if isinstance(found, Session) and self._kept_beside:
            result: object = found.results.get(self._name)
        else:
            result = self.plan.get(f"result:{self._name}")
        if isinstance(result, Result) and result.expires > self.plan.now:
            return result.written
        return None

    def _keep(self, outcome: Written) -> None:
        now, lifetime = self.plan.now, self.operation.kept
        if self.operation.ends_with_session and isinstance(self.finish, (Destroy, Move)):
            # Earlier results end with this session: only a resend gets how it ended.
            lifetime = min(lifetime, OPERATION_LIFETIME_MS)
        written = replace(outcome, record=outcome.record._replace(fields=None))
        result = Result(now + lifetime, written)
        session = self.plan.get(key_of("session", self.reference))
        if isinstance(session, Session) and self._kept_beside:
            kept = {n: each for n, each in session.results.items() if each.expires > now}
            session = replace(session, results={**kept, self._name: result})
            self.plan.put(self.reference, session)
        else:
            self.plan.replaced[f"result:{self._name}"] = result

    def _made(
        self, found: Session | Missing | Gone | Unreadable, first: Written | None
    ) -> Written | Gone | Unreadable | None:
        """Answer for a session that is made once, as it is now; None if it must still be made."""
        if isinstance(found, Unreadable):
            return found
        if not isinstance(found, Session):
            return Gone("adopted") if first is not None else None
        found, slid = self._used(found)
        if first is not None:
            slid = slid or first.record.slid
        record = found.record(slid=slid, load=self.load)._replace(user=found.name)
        return Written(record, (), first.ended if first is not None else ())

    def _repeated(
        self, found: Session | Missing | Gone | Unreadable, first: Written
    ) -> Written | None:
        """Answer as the first time, with the session as it is now; None if that is no answer."""
        slid, there = first.record.slid, found
        if isinstance(self.finish, Move):
            there = self.plan.find(self.finish.to)
        elif isinstance(self.finish, Destroy):
            if isinstance(found, Session):
                return None  # it has begun again since
        elif isinstance(found, Session):
            there, again = self._used(found)
            slid = slid or again
        elif found != Gone("emptied"):
            return None
        if not isinstance(there, Session):
            loaded = self.load and not isinstance(self.finish, Destroy)
            return replace(first, record=first.record._replace(fields={} if loaded else None))
        record = there.record(slid=slid, load=self.load)
        if self.finish is not None:
            record = record._replace(user=first.record.user)
        return replace(first, record=record)

    def _used(self, session: Session) -> tuple[Session, bool]:
        """Count a resend as a use, which it is hours later; but not of a session just created."""
        if session.seen is None:
            return session, False
        return self.plan.use(self.reference, session, self.lifetimes)

    # It comes for the first time.

    def _applied(self, found: Session | Missing | Gone | Unreadable) -> WriteOutcome:
        # A session that ended as "emptied" held nothing, and may be made again under its name.
        free = isinstance(found, Missing) or found == Gone("emptied")
        now, creating = self.plan.now, self.create and free
        if creating:
            session = Session(now).counted_from(now, self.lifetimes)
        elif isinstance(found, Session):
            session = found
        else:
            return found
        effects = Effects.of(session.fields, self.changes, self.plan.caps)
        if not isinstance(effects, Effects):
            return effects
        if (stale := self._stale()) is not None:
            return stale
        user, results = session.name, tuple(effects.results)
        if isinstance(self.finish, Destroy):
            self.plan.bury(self.reference, self.finish.kind)
            record = session.record(slid=False, load=False)
            return Written(record._replace(user=user), results)
        session, slid = self._changed(session, effects, creating=creating)
        if creating or self.finish is not None:
            self.plan.leave(self.reference)
        if self.finish is None:
            self.plan.put(self.reference, session)
            return Written(session.record(slid=slid, load=self.load), results)
        session, ended = self._placed(session, self.finish)
        record = session.record(slid=True, load=self.load)
        return Written(record._replace(user=user), results, ended)

    def _changed(
        self, session: Session, effects: Effects, *, creating: bool
    ) -> tuple[Session, bool]:
        """Return the session with the effects of all changes, and whether its idle limit slid."""
        now, lifetimes, limits = self.plan.now, self.lifetimes, effects.limits
        session = replace(session, fields=effects.on(session.fields))
        if limits is not None:
            session = replace(session, idle=limits.idle, absolute=limits.absolute)
            session = session.counted_from(session.created, lifetimes)
        if creating:
            limit = min(lifetimes.unused, session.idle or lifetimes.idle)
            return session.expiring_in(limit, now), False
        return session.used(now, lifetimes, always=limits is not None)

    def _stale(self) -> StaleStamp | None:
        bind = self.finish.bind if isinstance(self.finish, Move) else self.finish
        if not isinstance(bind, Bind) or bind.stamp is None:
            return None
        least = self.plan.index(bind.user).stamp
        return StaleStamp(least) if least is not None and bind.stamp < least else None

    def _placed(
        self, session: Session, finish: Move | Bind
    ) -> tuple[Session, tuple[Reference, ...]]:
        """Move or bind the session; return it, and the sessions that ended."""
        now, reference = self.plan.now, self.reference
        bind = finish.bind if isinstance(finish, Move) else finish
        ended: tuple[Reference, ...] = ()
        session = session.used(now, self.lifetimes, always=True)[0]
        if isinstance(finish, Move):
            self.plan.put(reference, Tombstone("rotated", now + TOMBSTONE_LIFETIME_MS))
            reference = finish.to
            session = replace(session, results={})
            if finish.unbind:
                session = replace(session, user=None, name=b"", label=b"", idle=None, absolute=None)
                session = session.begun_again(now, self.lifetimes)
        if bind is not None:
            ended = self.plan.end_oldest(bind.user, bind.limit, self.lifetimes)
            session = replace(session, user=bind.user, name=bind.name, label=bind.label)
            session = session.begun_again(now, self.lifetimes)
        if session.user is not None:
            self.plan.enter(reference, session.user, session.created)
        self.plan.put(reference, session)
        return session, ended
