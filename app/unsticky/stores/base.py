"""The contract of a store. The docstrings are the contract; every store passes the same tests.

A store knows nothing of Flask, cookies or Python values. It holds fields of bytes under references,
applies changes atomically, all or none, and returns the outcome as a value. An exception means that
the system failed: `StoreUnavailable` if nothing was changed, `OutcomeUnknown` if that is not known.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol, Self, TypeAlias

from ..cookie import Reference
from ..limits import OPERATION_LIFETIME_MS, Lifetimes

COUNTER_LIMIT: Final = 10**15 - 1
"""Counters stay within ± this limit, because Lua in Redis cannot compare larger ones."""
QUARANTINE_LIFETIME_MS: Final = 7 * 24 * 3600 * 1000
"""How long a store keeps a session that it set aside as corrupt."""

ENVELOPE: Final = b"1"
"""The version of the stored format; a session of another version is left untouched."""


@dataclass(frozen=True, slots=True)
class Wait:
    """On how many replicas a change must be before it counts, and how long the server waits."""

    replicas: int
    milliseconds: int


class Deadline:
    """The time that a request may spend in the store, in seconds, all its calls together.

    Only time within calls counts. Give each call the same deadline.
    """

    __slots__ = ("_started", "remaining", "total")

    def __init__(self, seconds: float) -> None:
        self.total = seconds
        self.remaining = seconds
        self._started = 0.0

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.remaining -= time.monotonic() - self._started

    def left(self) -> float:
        """Return the seconds left during a call, at least a millisecond."""
        return max(self.remaining - (time.monotonic() - self._started), 0.001)

    @contextlib.contextmanager
    def share(self, part: float) -> Iterator[Deadline]:
        """Give a part of the time left to some of the calls, between calls of this deadline."""
        share = Deadline(max(self.remaining, 0) * part)
        given, share.total = share.remaining, self.total
        try:
            yield share
        finally:
            self.remaining -= given - share.remaining

    def passed(self) -> bool:
        """Tell whether no time is left during a call."""
        return self.remaining - (time.monotonic() - self._started) <= 0


class Basis(Enum):
    """What a write knows of the field that it replaces, if it does not know the bytes."""

    UNREAD = auto()


UNREAD: Final = Basis.UNREAD
"""The field was not read, so it is not compared."""


@dataclass(frozen=True, slots=True)
class Write:
    """Set a field, or delete it if `value` is None, unless it has changed since it was read.

    `base` is what was read: None if the field was absent, UNREAD if the field was not read.
    """

    field: bytes
    value: bytes | None
    base: bytes | Basis | None


@dataclass(frozen=True, slots=True)
class Add:
    """Add to a counter; an absent field counts as 0. Refused if the sum would pass a bound."""

    field: bytes
    delta: int
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Take:
    """Remove and return all fields that begin with `prefix`, except those that begin with NUL.

    With `into`, they are stored under that prefix instead, and replace fields of the same name.
    `into` does not begin with `prefix`, nor `prefix` with `into`.
    """

    prefix: bytes
    into: bytes = b""


@dataclass(frozen=True, slots=True)
class Check:
    """Change nothing, but conflict if the field has changed since it was read."""

    field: bytes
    base: bytes | None


@dataclass(frozen=True, slots=True)
class CheckNames:
    """Change nothing, but conflict unless exactly these fields begin with `prefix`.

    Fields that begin with NUL are the store's and do not count. A conflict names the prefix.
    """

    prefix: bytes
    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SetLimits:
    """Give this session its own limits in ms; None means the application's limits.

    The absolute limit counts from when the session was created or bound. Setting limits uses the
    session, so its idle limit slides. A session that this write creates still lives for the unused
    limit. A write has at most one such change.
    """

    idle: int | None
    absolute: int | None


Change: TypeAlias = Write | Add | Take | Check | CheckNames | SetLimits


@dataclass(frozen=True, slots=True)
class Bind:
    """Add the session to a user's index, and end the user's oldest ones beyond `limit`.

    Attributes:
        user: where the index is stored.
        stamp: the version of the credential that was checked, None if it has no versions.
        label: what the user's list shows for this session.
        name: the user's name. The session keeps it for `Record.user`.
    """

    user: Reference
    stamp: int | None
    label: bytes
    limit: int
    name: bytes = b""


@dataclass(frozen=True, slots=True)
class Destroy:
    """End the session. Later calls get `Gone(kind)`. No fields are loaded."""

    kind: str = "destroyed"


@dataclass(frozen=True, slots=True)
class Move:
    """Give the session a new reference, with all its data; the old reference ends as rotated.

    Attributes:
        to: the new reference.
        bind: bind the session in the same step.
        unbind: remove the session from its user in the same step: the name, the label, the entry
            in the user's index and the session's own limits, also those that `changes` set. From
            then on the application's absolute limit counts. Never together with `bind`. A full
            server still carries it out if no field is set in the same write.
    """

    to: Reference
    bind: Bind | None = None
    unbind: bool = False


Finish: TypeAlias = Destroy | Move | Bind | None
"""What happens to the session after the changes, in the same step; `Bind` keeps its reference."""


class Record(NamedTuple):
    """A living session as it was at one instant.

    Attributes:
        created: when it was created or bound, in ms since 1970 on the store's clock.
        ends_at: when its absolute limit is reached, likewise; 0 if it has none.
        seen: when a request last used it, to within one step. A read that slides returns the time
            before. None if the session was just created, or if the call does not load it (a write
            without `load`).
        slid: whether this call moved the idle limit.
        fields: all fields; None if the call does not load them. Empty if a move is repeated and
            the moved session has ended since.
        label: what the user's list shows for it.
        idle: the session's own idle limit in ms, None for the application's.
        user: the user it is bound to; empty if it is not bound, or if an old release bound it,
            which stored no names. None if the call does not load it (a list; a write without `load`
            and `finish`). If there is a finish, the user before it.
    """

    created: int
    ends_at: int
    seen: int | None
    slid: bool
    fields: dict[bytes, bytes] | None
    label: bytes = b""
    idle: int | None = None
    user: bytes | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no session: there never was one, or it expired."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A session was here and was ended.

    Attributes:
        kind: destroyed, rotated, revoked, corrupt, emptied, or adopted (`Operation.makes_once`).
        done: this operation, which ends, moves and binds nothing, had been applied before the end.
    """

    kind: str
    done: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """All changes were applied, now or when the operation came for the first time.

    Attributes:
        record: the session afterwards.
        results: one for each Add (the new value) and Take (the fields removed), in order.
        ended: the sessions that a Bind ended because of its limit, or because an earlier call that
            was to end them had stopped.
    """

    record: Record
    results: tuple[int | dict[bytes, bytes], ...] = ()
    ended: tuple[Reference, ...] = ()

    @property
    def count(self) -> int:
        """The result of a write with one Add."""
        (result,) = self.results
        if not isinstance(result, int):
            raise TypeError(f"an Add has no result {result!r}")
        return result

    @property
    def taken(self) -> dict[bytes, bytes]:
        """The result of a write with one Take."""
        (result,) = self.results
        if not isinstance(result, dict):
            raise TypeError(f"a Take has no result {result!r}")
        return result


@dataclass(frozen=True, slots=True)
class Conflicting:
    """Nothing was applied: these fields have changed since they were read. None: absent."""

    current: dict[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was applied: a counter would have left its bounds."""

    field: bytes
    current: int


@dataclass(frozen=True, slots=True)
class NotACounter:
    """Nothing was applied: the field of an Add holds no integer."""

    field: bytes


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Nothing was applied: the session would have passed a cap."""

    what: str
    size: int
    limit: int


@dataclass(frozen=True, slots=True)
class StaleStamp:
    """Nothing was applied: the credential was changed after it was checked."""

    minimum: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Nothing was applied: what is stored there is not a session of this library."""


NotApplied: TypeAlias = Conflicting | Refused | NotACounter | TooLarge | StaleStamp | Unreadable
WriteOutcome: TypeAlias = Written | Missing | Gone | NotApplied


class Operation(NamedTuple):
    """The name of a write, so that sending it again cannot apply it twice.

    Attributes:
        request: the request that writes.
        ordinal: the number of the write in that request.
        kept: how long its result is kept, in ms.
        ends_with_session: its result is forgotten when the session ends or gets a new reference.
            The result of that end or move itself is kept for a resend (`OPERATION_LIFETIME_MS`).
        makes_once: the session may be made only once, so the result outlives it. If the session
            has ended, the outcome is `Gone("adopted")`. While it lives, the outcome is `Written`
            with the session as it is; changes and finish are not applied again, even if they
            differ. `results` is empty, and `Record.user` is always loaded. Only together with
            `create`, and only for writes, limits and `Bind`.
    """

    request: bytes
    ordinal: int
    kept: int = OPERATION_LIFETIME_MS
    ends_with_session: bool = False
    makes_once: bool = False


@dataclass(frozen=True, slots=True)
class Caps:
    """The largest session, in fields and in bytes of names and values together."""

    fields: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a user's index."""

    reference: Reference
    record: Record


class Store(Protocol):
    """Where sessions are stored. Each method is one atomic step.

    At a server, most are one round trip.

    At a cluster a call about a user takes several steps, in effect one; see docs/guarantees.md.

    Each method raises `StoreUnavailable` if nothing was changed and `OutcomeUnknown` if that is not
    known. None takes longer than its deadline.

    A store may have `lacks`, a frozenset of what it cannot do, which is then refused: `users` (it
    changes two documents in two steps, so `Bind`, `sessions` and `end_all` are never called), and
    `processes` (each process has its own data).

    A store may have `keeps_buckets`. If it is true, a session that is bound stays in its bucket;
    otherwise `Move.to` is in the bucket of its user.
    """

    @property
    def description(self) -> str:
        """The store for the log: an address without secrets."""

    def read(
        self, reference: Reference, lifetimes: Lifetimes, deadline: Deadline, *, slide: bool = True
    ) -> Record | Missing | Gone | Unreadable:
        """Return the session with its fields; slide its idle limit if it was seen a step ago.

        A step is a 20th of the idle limit; `Lifetimes.unused` says which sessions have a shorter
        limit. A session last seen longer ago than its idle limit (its
        own, or that of `lifetimes`) is `Missing`, even if it was to live longer then. A replica, or
        a primary that was replaced, raises `StoreUnavailable` and does not return old data.
        """

    def write(
        self,
        reference: Reference,
        changes: tuple[Change, ...],
        operation: Operation,
        lifetimes: Lifetimes,
        deadline: Deadline,
        *,
        create: bool = False,
        finish: Finish = None,
        load: bool = False,
    ) -> WriteOutcome:
        """Apply all changes and `finish`, or nothing.

        Args:
            reference: the session.
            changes: at most one for each field.
            operation: the write's name. It is applied at most once while its result is kept; a
                resend gets the same result. If the session ended since, a resend gets `Gone` or
                `Missing`, unless its own `finish` ended it or it ended as `emptied`. If it has
                begun again, a resend of its end is another end.
            lifetimes: the limits of sessions that have none of their own.
            deadline: the time left.
            create: make the session if there is none, or if it ended as `emptied` (it held
                nothing). Without `create` the outcome is then `Missing` or `Gone`. A session that
                is past its limits is replaced, and none of its data comes back.
            finish: what happens to the session after the changes.
            load: return all fields as they are after the changes.
        """

    def sessions(self, user: Reference, deadline: Deadline) -> tuple[Listed, ...]:
        """Return the living sessions of a user, oldest first, and forget those that ended.

        A session without its own idle limit lives for the limit under which it was last used.
        """

    def end_all(
        self,
        user: Reference,
        keep: Reference | None,
        stamp: int | None,
        operation: Operation,
        lifetimes: Lifetimes,
        deadline: Deadline,
        *,
        forget: bool = False,
    ) -> tuple[Reference, ...]:
        """End all sessions of a user except `keep`; from now on, refuse to bind below `stamp`.

        The index with its stamp is kept at least as long as any session in it may live, and any
        session that begins now. Only a call with `forget` makes that time shorter: it deletes the
        index in the same step. Returns the sessions that ended.
        """

    def sweep(
        self, cursor: bytes, deadline: Deadline
    ) -> tuple[bytes | None, tuple[Reference, ...]]:
        """End some of all sessions; return the next cursor, None at the end, and what was ended.

        The first cursor is b"0". Repeated until the cursor is None, it ends every session that
        lived all that time.
        """

    def quarantine(
        self, reference: Reference, field: bytes, observed: bytes, deadline: Deadline
    ) -> bool:
        """Set a session aside and end it as corrupt, if `field` still holds `observed`.

        With both empty: if the whole session is unreadable. Returns whether it did.
        """

    def probe(self, deadline: Deadline) -> None:
        """Check that the store takes writes, as a request would find it."""

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
