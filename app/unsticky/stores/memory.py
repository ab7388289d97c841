"""Sessions in this process's memory: for tests, development and single-process programs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ..cookie import Reference
from ..policy import OPERATION_LIFETIME_MS, TOMBSTONE_LIFETIME_MS, Lifetimes
from .contract import (
    Bind,
    Budget,
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
    WriteOutcome,
    Written,
)
from .plan import Plan

_Name: TypeAlias = tuple[Reference, bytes, int, tuple[Change, ...] | None, Finish]
_Results: TypeAlias = dict[_Name, tuple[int, Written]]
"""Until when each result is kept, and what it was."""


@dataclass(slots=True)
class _Living:
    created: int
    deadline: int = 0
    expires: int = 0
    seen: int | None = None
    idle: int | None = None
    absolute: int | None = None
    user: Reference | None = None
    name: bytes = b""
    label: bytes = b""
    fields: dict[bytes, bytes] = field(default_factory=dict)
    results: _Results = field(default_factory=dict)

    def is_past(self, now: int, lifetimes: Lifetimes | None) -> bool:
        """Tell whether a limit has come; without `lifetimes`, of the idle ones its own counts."""
        idle = self.idle or (lifetimes.idle if lifetimes is not None else None)
        last = self.created if self.seen is None else self.seen
        return (
            self.expires <= now
            or 0 < self.deadline <= now
            or (idle is not None and now - last >= idle)
        )

    def start(self, created: int, lifetimes: Lifetimes) -> None:
        """Let its absolute limit count from `created`."""
        absolute = self.absolute or lifetimes.absolute
        self.created = created
        self.deadline = created + absolute if absolute else 0

    def expire_in(self, limit: int, now: int) -> None:
        """Let it expire then, or at its deadline."""
        self.expires = min(now + limit, self.deadline) if self.deadline else now + limit

    def slide(self, now: int, lifetimes: Lifetimes, *, always: bool = False) -> bool:
        """Move the idle limit if it is a step old, or was set under a shorter limit."""
        idle, expires = self.idle or lifetimes.idle, self.expires
        self.expire_in(idle, now)
        step = idle // 20
        recent = self.seen is not None and now - self.seen < step
        if recent and not always and expires >= self.expires - step:
            self.expires = expires
            return False
        self.seen = now
        return True

    def record(self, *, slid: bool, load: bool) -> Record:
        """Return what is to be told of it."""
        return Record(
            self.created,
            self.deadline,
            self.seen,
            slid,
            dict(self.fields) if load else None,
            self.label,
            self.idle,
            self.name if load else None,
        )


@dataclass(frozen=True, slots=True)
class _Tombstone:
    kind: str
    expires: int


@dataclass(slots=True)
class _Index:
    stamp: int | None = None
    entries: dict[Reference, int] = field(default_factory=dict)


class MemoryStore:
    """The contract kept under one lock. `clock` returns seconds since 1970."""

    trips = 0

    def __init__(self, caps: Caps, clock: Callable[[], float] = time.time) -> None:
        self._caps = caps
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[Reference, _Living | _Tombstone] = {}
        self._indexes: dict[Reference, _Index] = {}
        self._operations: _Results = {}
        self._quarantined: dict[Reference, _Living] = {}
        self._sweep_at = 0

    def read(
        self, reference: Reference, lifetimes: Lifetimes, budget: Budget, *, slide: bool = True
    ) -> Record | Missing | Gone:
        """See `Store.read`."""
        del budget
        with self._lock:
            now = self._now()
            found = self._find(reference, now, lifetimes)
            if not isinstance(found, _Living):
                return found
            record = found.record(slid=False, load=True)
            return record._replace(slid=slide and found.slide(now, lifetimes))

    def write(
        self,
        reference: Reference,
        changes: tuple[Change, ...],
        operation: Operation,
        lifetimes: Lifetimes,
        budget: Budget,
        *,
        create: bool = False,
        finish: Finish = None,
        load: bool = False,
    ) -> WriteOutcome:
        """See `Store.write`."""
        del budget
        with self._lock:
            now = self._now()
            found = self._find(reference, now, lifetimes)
            what = (None, None) if operation.makes_once else (changes, finish)
            name: _Name = (reference, operation.request, operation.ordinal, *what)
            results = self._results(found, operation, finish)
            until, first = results.get(name, (0, None))
            if until <= now:
                first = None
            answer: WriteOutcome | None
            if operation.makes_once:
                answer = _made(found, first, now, lifetimes, load=load)
            else:
                answer = self._repeated(found, first, finish, now, lifetimes, load=load)
            if answer is None:
                answer = self._write(
                    reference, changes, now, lifetimes, create=create, finish=finish, load=load
                )
                results = self._results(self._sessions.get(reference), operation, finish)
                if operation.makes_once and isinstance(answer, Written):
                    answer = replace(answer, record=answer.record._replace(user=b""), results=())
            if isinstance(answer, Written) and first is None:
                kept = replace(answer, record=answer.record._replace(fields=None))
                results[name] = (now + _kept(operation, finish), kept)
            return answer

    def sessions(self, user: Reference, budget: Budget) -> tuple[Listed, ...]:
        """See `Store.sessions`."""
        del budget
        with self._lock:
            listed = [
                Listed(reference, living.record(slid=False, load=False))
                for reference, living in self._living_of(user, self._now())
            ]
            return tuple(sorted(listed, key=lambda entry: entry.record.created))

    def end_all(
        self,
        user: Reference,
        keep: Reference | None,
        stamp: int | None,
        operation: Operation,
        lifetimes: Lifetimes,
        budget: Budget,
    ) -> tuple[Reference, ...]:
        """See `Store.end_all`. Indexes live as long as the process."""
        del operation, lifetimes, budget
        with self._lock:
            now = self._now()
            index = self._indexes.setdefault(user, _Index())
            if stamp is not None:
                index.stamp = stamp if index.stamp is None else max(stamp, index.stamp)
            ended = [reference for reference, _ in self._living_of(user, now) if reference != keep]
            for reference in ended:
                self._bury(reference, "revoked", now)
            return tuple(ended)

    def sweep(self, cursor: bytes, budget: Budget) -> tuple[bytes | None, tuple[Reference, ...]]:
        """See `Store.sweep`; all in one step."""
        del cursor, budget
        with self._lock:
            now = self._now()
            ended = tuple(
                reference
                for reference in self._sessions
                if isinstance(self._find(reference, now), _Living)
            )
            for reference in ended:
                self._bury(reference, "revoked", now)
            return None, ended

    def quarantine(
        self, reference: Reference, field: bytes, observed: bytes, budget: Budget
    ) -> bool:
        """See `Store.quarantine`."""
        del budget
        with self._lock:
            now = self._now()
            found = self._find(reference, now)
            if not isinstance(found, _Living) or found.fields.get(field) != observed:
                return False
            self._quarantined[reference] = found
            self._bury(reference, "corrupt", now)
            return True

    def probe(self, budget: Budget) -> None:
        """See `Store.probe`."""
        del budget

    def close(self) -> None:
        """See `Store.close`."""

    def plant(self, reference: Reference, field: bytes, data: bytes) -> None:
        """Overwrite stored bytes, as someone who can write to the store could; for tests."""
        with self._lock:
            living = self._sessions[reference]
            assert isinstance(living, _Living)
            living.fields[field] = data

    def _now(self) -> int:
        now = int(self._clock() * 1000)
        if now >= self._sweep_at:
            self._sweep_at = now + 1000
            self._sessions = {
                name: item for name, item in self._sessions.items() if item.expires > now
            }
            self._operations = {
                name: item for name, item in self._operations.items() if item[0] > now
            }
        return now

    def _find(
        self, reference: Reference, now: int, lifetimes: Lifetimes | None = None
    ) -> _Living | Missing | Gone:
        found = self._sessions.get(reference)
        if isinstance(found, _Tombstone) and found.expires > now:
            return Gone(found.kind)
        if isinstance(found, _Living) and not found.is_past(now, lifetimes):
            return found
        return Missing()

    def _bury(self, reference: Reference, kind: str, now: int) -> None:
        self._leave(reference)
        self._sessions[reference] = _Tombstone(kind, now + TOMBSTONE_LIFETIME_MS)

    def _leave(self, reference: Reference) -> None:
        """Take whatever is there out of its user's index."""
        found = self._sessions.get(reference)
        if isinstance(found, _Living) and found.user is not None:
            self._indexes[found.user].entries.pop(reference, None)

    def _living_of(self, user: Reference, now: int) -> list[tuple[Reference, _Living]]:
        index = self._indexes.get(user, _Index())
        living = []
        for reference in list(index.entries):
            found = self._find(reference, now)
            # Another session may have begun where one of this user's had expired.
            if isinstance(found, _Living) and found.user == user:
                living.append((reference, found))
            else:
                del index.entries[reference]
        return living

    def _results(self, found: object, operation: Operation, finish: Finish) -> _Results:
        """Return where the operation's result is kept."""
        beside = operation.ends_with_session and not operation.makes_once
        if beside and isinstance(found, _Living) and not isinstance(finish, (Destroy, Move)):
            return found.results
        return self._operations

    def _repeated(
        self,
        found: _Living | Missing | Gone,
        first: Written | None,
        finish: Finish,
        now: int,
        lifetimes: Lifetimes,
        *,
        load: bool,
    ) -> Written | None:
        """Answer as the first time, with the session as it is now."""
        if first is None:
            return None
        slid, there = first.record.slid, found
        if isinstance(finish, Move):
            there = self._find(finish.to, now)
        elif isinstance(finish, Destroy):
            if isinstance(found, _Living):
                return None  # begun again since
        elif isinstance(found, _Living):
            # Hours later this is a use of its own.
            slid = (found.seen is not None and found.slide(now, lifetimes)) or slid
        elif found != Gone("emptied"):
            return None
        if not isinstance(there, _Living):
            fields: dict[bytes, bytes] | None = None
            if load and not isinstance(finish, Destroy):
                fields = {}
            return replace(first, record=first.record._replace(fields=fields))
        record = there.record(slid=slid, load=load)
        if finish is not None:
            record = record._replace(user=first.record.user)
        return replace(first, record=record)

    def _write(
        self,
        reference: Reference,
        changes: tuple[Change, ...],
        now: int,
        lifetimes: Lifetimes,
        *,
        create: bool,
        finish: Finish,
        load: bool,
    ) -> WriteOutcome:
        found = self._find(reference, now, lifetimes)
        if found == Gone("emptied") and create:
            found = Missing()  # it held nothing, and may be made again under its name
        creating = isinstance(found, Missing) and create
        if isinstance(found, _Living):
            living = found
        elif creating:
            living = _Living(now)
            living.start(now, lifetimes)
        else:
            return found
        plan = Plan.of(living.fields, changes, self._caps)
        if not isinstance(plan, Plan):
            return plan
        refused = self._stale(finish)
        if refused is not None:
            return refused
        user = None if finish is None else living.name
        if isinstance(finish, Destroy):
            self._bury(reference, finish.kind, now)
            record = living.record(slid=False, load=False)._replace(user=user)
            return Written(record, tuple(plan.results))
        if creating:
            self._leave(reference)
            self._sessions[reference] = living
        slid = _apply(plan, living, now, lifetimes, creating=creating)
        ended: tuple[Reference, ...] = ()
        if finish is not None:
            slid = living.slide(now, lifetimes, always=True)
            ended = self._place(reference, living, finish, now, lifetimes)
        record = living.record(slid=slid, load=load)
        if finish is not None:
            record = record._replace(user=user)
        return Written(record, tuple(plan.results), ended)

    def _stale(self, finish: Finish) -> StaleStamp | None:
        bind = finish.bind if isinstance(finish, Move) else finish
        if not isinstance(bind, Bind) or bind.stamp is None:
            return None
        least = self._indexes.get(bind.user, _Index()).stamp
        return StaleStamp(least) if least is not None and bind.stamp < least else None

    def _place(
        self,
        reference: Reference,
        living: _Living,
        finish: Move | Bind,
        now: int,
        lifetimes: Lifetimes,
    ) -> tuple[Reference, ...]:
        self._leave(reference)
        bind = finish.bind if isinstance(finish, Move) else finish
        if isinstance(finish, Move):
            self._sessions[reference] = _Tombstone("rotated", now + TOMBSTONE_LIFETIME_MS)
            reference = finish.to
            self._sessions[reference] = living
            living.results = {}
            if finish.unbind:
                living.user, living.name, living.label = None, b"", b""
                living.idle = living.absolute = None
                living.start(now, lifetimes)
                living.slide(now, lifetimes, always=True)
        if bind is not None:
            return self._bind(reference, living, bind, now, lifetimes)
        if living.user is not None:
            self._indexes[living.user].entries[reference] = living.created
        return ()

    def _bind(
        self, reference: Reference, living: _Living, bind: Bind, now: int, lifetimes: Lifetimes
    ) -> tuple[Reference, ...]:
        others = sorted(
            self._living_of(bind.user, now),
            key=lambda item: (not item[1].is_past(now, lifetimes), item[1].created),
        )
        ended = tuple(other for other, _ in others[: max(0, len(others) - bind.limit + 1)])
        for other in ended:
            self._bury(other, "revoked", now)
        living.user, living.name, living.label = bind.user, bind.name, bind.label
        living.start(now, lifetimes)
        living.slide(now, lifetimes, always=True)
        self._indexes.setdefault(bind.user, _Index()).entries[reference] = now
        return ended


def _kept(operation: Operation, finish: Finish) -> int:
    """Return how long the result is kept, in ms.

    The results that end with the session end with this one: a resend alone is told how it ended.
    """
    if operation.ends_with_session and isinstance(finish, (Destroy, Move)):
        return min(operation.kept, OPERATION_LIFETIME_MS)
    return operation.kept


def _made(
    found: _Living | Missing | Gone,
    first: Written | None,
    now: int,
    lifetimes: Lifetimes,
    *,
    load: bool,
) -> Written | Gone | None:
    """Answer for a session that is made once, as it is now."""
    if not isinstance(found, _Living):
        return Gone("adopted") if first is not None else None
    slid = found.seen is not None and found.slide(now, lifetimes)
    if first is not None:
        slid = slid or first.record.slid
    record = found.record(slid=slid, load=load)._replace(user=found.name)
    return Written(record, (), first.ended if first is not None else ())


def _apply(plan: Plan, living: _Living, now: int, lifetimes: Lifetimes, *, creating: bool) -> bool:
    """Carry out the plan; return whether the idle limit moved."""
    for name in plan.deletes:
        living.fields.pop(name, None)
    living.fields.update(plan.sets)
    if plan.limits is not None:
        living.idle, living.absolute = plan.limits.idle, plan.limits.absolute
        living.start(living.created, lifetimes)
    if creating:
        living.expire_in(min(lifetimes.unused, living.idle or lifetimes.idle), now)
        return False
    return living.slide(now, lifetimes, always=plan.limits is not None)
