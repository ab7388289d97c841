"""Sessions in this process's memory: for tests, development and single-process programs."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Final, TypeAlias

from unsticky.codec import encode
from unsticky.cookie import Reference
from unsticky.fields import PERMANENT
from unsticky.policy import TOMBSTONE_LIFETIME_MS, Lifetimes

from .contract import (
    BLIND,
    COUNTER_LIMIT,
    Add,
    Bind,
    Budget,
    Caps,
    Change,
    Check,
    CheckCount,
    Conflicting,
    Destroy,
    Finish,
    Gone,
    Listed,
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

_INTEGER: Final = re.compile(rb"-?[0-9]+")
_Name: TypeAlias = tuple[Reference, Operation, tuple[Change, ...], Finish]


@dataclass(slots=True)
class _Living:
    created: int
    deadline: int
    expires: int
    seen: int | None = None
    user: Reference | None = None
    label: bytes = b""
    fields: dict[bytes, bytes] = dataclass_field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Tombstone:
    kind: str
    expires: int


@dataclass(slots=True)
class _Index:
    stamp: int | None = None
    entries: dict[Reference, int] = dataclass_field(default_factory=dict)


@dataclass(slots=True)
class _Plan:
    """What the changes come to, worked out before anything is touched."""

    sets: dict[bytes, bytes] = dataclass_field(default_factory=dict)
    deletes: set[bytes] = dataclass_field(default_factory=set)
    results: list[int | dict[bytes, bytes]] = dataclass_field(default_factory=list)
    conflicts: dict[bytes, bytes | None] = dataclass_field(default_factory=dict)


class MemoryStore:
    """The contract kept under one lock. `clock` returns seconds since 1970."""

    trips = 0

    def __init__(
        self, lifetimes: Lifetimes, caps: Caps, clock: Callable[[], float] = time.time
    ) -> None:
        self._lifetimes = lifetimes
        self._caps = caps
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[Reference, _Living | _Tombstone] = {}
        self._indexes: dict[Reference, _Index] = {}
        self._operations: dict[_Name, tuple[int, Written]] = {}
        self._quarantined: dict[Reference, _Living] = {}
        self._sweep_at = 0

    def read(self, reference: Reference, budget: Budget) -> Record | Missing | Gone:
        """See `Store.read`."""
        del budget
        with self._lock:
            now = self._now()
            found = self._find(reference, now)
            if not isinstance(found, _Living):
                return found
            return self._record(found, slid=self._slide(found, now), load=True)

    def write(  # noqa: PLR0913 (the contract)
        self,
        reference: Reference,
        changes: tuple[Change, ...],
        operation: Operation,
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
            name = (reference, operation, changes, finish)
            if name in self._operations:
                alive = isinstance(self._find(reference, now), _Living)
                if alive or finish is not None:
                    return self._repeated(name, now, load=load)
            outcome = self._write(reference, changes, now, create=create, finish=finish, load=load)
            if isinstance(outcome, Written):
                self._operations[name] = (now + operation.kept, outcome)
            return outcome

    def sessions(self, user: Reference, budget: Budget) -> tuple[Listed, ...]:
        """See `Store.sessions`."""
        del budget
        with self._lock:
            now = self._now()
            listed = [
                Listed(reference, self._record(living, slid=False, load=False))
                for reference, living in self._living_of(user, now)
            ]
            return tuple(sorted(listed, key=lambda entry: entry.record.created))

    def end_all(
        self,
        user: Reference,
        keep: Reference | None,
        stamp: int | None,
        operation: Operation,
        budget: Budget,
    ) -> tuple[Reference, ...]:
        """See `Store.end_all`."""
        del operation, budget
        with self._lock:
            now = self._now()
            index = self._indexes.setdefault(user, _Index())
            if stamp is not None:
                index.stamp = max(stamp, index.stamp or stamp)
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
            assert isinstance(living, _Living)  # noqa: S101 (a test's own mistake)
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

    def _find(self, reference: Reference, now: int) -> _Living | Missing | Gone:
        found = self._sessions.get(reference)
        if found is None or found.expires <= now:
            return Missing()
        return Gone(found.kind) if isinstance(found, _Tombstone) else found

    def _slide(self, living: _Living, now: int) -> bool:
        if living.seen is not None and now - living.seen < self._lifetimes.step:
            return False
        living.seen = now
        living.expires = self._expiry(self._lifetimes.idle, living.deadline, now)
        return True

    @staticmethod
    def _expiry(limit: int, deadline: int, now: int) -> int:
        return min(now + limit, deadline) if deadline else now + limit

    @staticmethod
    def _record(living: _Living, *, slid: bool, load: bool) -> Record:
        fields = dict(living.fields) if load else None
        permanent = living.fields.get(PERMANENT) == encode(value=True)
        return Record(
            living.created, living.deadline, living.seen, slid, fields, living.label, permanent
        )

    def _bury(self, reference: Reference, kind: str, now: int) -> None:
        found = self._sessions.get(reference)
        if isinstance(found, _Living) and found.user is not None:
            self._indexes[found.user].entries.pop(reference, None)
        self._sessions[reference] = _Tombstone(kind, now + TOMBSTONE_LIFETIME_MS)

    def _living_of(self, user: Reference, now: int) -> list[tuple[Reference, _Living]]:
        index = self._indexes.get(user, _Index())
        living = []
        for reference in list(index.entries):
            found = self._find(reference, now)
            if isinstance(found, _Living):
                living.append((reference, found))
            else:
                del index.entries[reference]
        return living

    def _repeated(self, name: _Name, now: int, *, load: bool) -> Written:
        """Answer as the first time, with the session as it is now."""
        reference, _, _, finish = name
        written = self._operations[name][1]
        where = finish.to if isinstance(finish, Move) else reference
        living = self._sessions.get(where)
        if not isinstance(living, _Living):
            return written
        # Hours later this is a use of its own.
        slid = where == reference and living.seen is not None and self._slide(living, now)
        record = self._record(living, slid=slid or written.record.slid, load=load)
        return replace(written, record=record)

    def _write(  # noqa: PLR0913 (the contract)
        self,
        reference: Reference,
        changes: tuple[Change, ...],
        now: int,
        *,
        create: bool,
        finish: Finish,
        load: bool,
    ) -> WriteOutcome:
        found = self._find(reference, now)
        if isinstance(found, Gone):
            return found
        creating = isinstance(found, Missing)
        if creating and not create:
            return Missing()
        living = self._born(now) if isinstance(found, Missing) else found
        plan = self._plan(living.fields, changes)
        if not isinstance(plan, _Plan):
            return plan
        refused = self._stale(finish)
        if refused is not None:
            return refused
        if isinstance(finish, Destroy):
            self._bury(reference, finish.kind, now)
            return Written(self._record(living, slid=False, load=load), tuple(plan.results))
        self._sessions[reference] = living
        for field in plan.deletes:
            living.fields.pop(field, None)
        living.fields.update(plan.sets)
        slid = not creating and self._slide(living, now)
        ended: tuple[Reference, ...] = ()
        if finish is not None:
            slid = True
            ended = self._place(reference, living, finish, now)
        return Written(self._record(living, slid=slid, load=load), tuple(plan.results), ended)

    def _born(self, now: int) -> _Living:
        deadline = now + self._lifetimes.absolute if self._lifetimes.absolute else 0
        return _Living(now, deadline, self._expiry(self._lifetimes.unused, deadline, now))

    def _plan(  # noqa: C901, PLR0912 (one branch for each kind of change)
        self, fields: dict[bytes, bytes], changes: tuple[Change, ...]
    ) -> _Plan | WriteOutcome:
        plan = _Plan()
        refusals: list[WriteOutcome] = []
        for change in changes:
            match change:
                case Write(field, value, base):
                    current = fields.get(field)
                    if base is not BLIND and current != base:
                        plan.conflicts[field] = current
                    if value is None:
                        plan.deletes.add(field)
                    else:
                        plan.sets[field] = value
                case Add():
                    outcome = self._added(fields, change)
                    if isinstance(outcome, int):
                        plan.results.append(outcome)
                        plan.sets[change.field] = b"%d" % outcome
                    else:
                        refusals.append(outcome)
                case Take(prefix, into):
                    taken = {
                        name: value for name, value in fields.items() if name.startswith(prefix)
                    }
                    plan.results.append(taken)
                    plan.deletes.update(taken)
                    if into:
                        plan.sets |= {
                            into + name[len(prefix) :]: value for name, value in taken.items()
                        }
                case Check(field, base):
                    if fields.get(field) != base:
                        plan.conflicts[field] = fields.get(field)
                case CheckCount(prefix, count):
                    if sum(name.startswith(prefix) for name in fields) != count:
                        plan.conflicts[prefix] = None
        if refusals:
            return refusals[0]
        if plan.conflicts:
            return Conflicting(plan.conflicts)
        return self._oversized(fields, plan) or plan

    @staticmethod
    def _added(fields: dict[bytes, bytes], change: Add) -> int | Refused | NotACounter:
        raw = fields.get(change.field, b"0")
        if not _INTEGER.fullmatch(raw):
            return NotACounter(change.field)
        current = int(raw)
        result = current + change.delta
        low = -COUNTER_LIMIT if change.minimum is None else change.minimum
        high = COUNTER_LIMIT if change.maximum is None else change.maximum
        if not low <= result <= high or abs(result) > COUNTER_LIMIT or abs(current) > COUNTER_LIMIT:
            return Refused(change.field, current)
        return result

    def _oversized(self, fields: dict[bytes, bytes], plan: _Plan) -> TooLarge | None:
        after = {
            name: value for name, value in fields.items() if name not in plan.deletes
        } | plan.sets
        if len(after) > len(fields) and len(after) > self._caps.fields:
            return TooLarge("fields", len(after), self._caps.fields)
        size = sum(len(name) + len(value) for name, value in after.items())
        before = sum(len(name) + len(value) for name, value in fields.items())
        if size > before and size > self._caps.octets:
            return TooLarge("bytes", size, self._caps.octets)
        return None

    def _stale(self, finish: Finish) -> StaleStamp | None:
        bind = finish.bind if isinstance(finish, Move) else finish
        if not isinstance(bind, Bind) or bind.stamp is None:
            return None
        least = self._indexes.get(bind.user, _Index()).stamp
        return StaleStamp(least) if least is not None and bind.stamp < least else None

    def _place(
        self, reference: Reference, living: _Living, finish: Move | Bind, now: int
    ) -> tuple[Reference, ...]:
        created = None
        if living.user is not None:
            created = self._indexes[living.user].entries.pop(reference, None)
        if isinstance(finish, Move):
            self._sessions[reference] = _Tombstone("rotated", now + TOMBSTONE_LIFETIME_MS)
            self._sessions[finish.to] = living
            reference = finish.to
        bind = finish.bind if isinstance(finish, Move) else finish
        if bind is None:
            if living.user is not None:
                self._indexes[living.user].entries[reference] = created or living.created
            return ()
        others = sorted(self._living_of(bind.user, now), key=lambda item: item[1].created)
        ended = tuple(other for other, _ in others[: max(0, len(others) - bind.limit + 1)])
        for other in ended:
            self._bury(other, "revoked", now)
        living.created = now
        living.deadline = now + self._lifetimes.absolute if self._lifetimes.absolute else 0
        living.seen, living.user, living.label = now, bind.user, bind.label
        living.expires = self._expiry(self._lifetimes.idle, living.deadline, now)
        self._indexes.setdefault(bind.user, _Index()).entries[reference] = now
        return ended
