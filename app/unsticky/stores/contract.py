"""What a store does. The comments here are the contract; every store passes one suite unchanged.

A store knows nothing of Flask, cookies or Python values: it holds fields of bytes under references,
applies changes atomically, all or none, and answers what happened as a value. Exceptions mean that
the system failed: `StoreUnavailable` where nothing can have changed, `OutcomeUnknown` where that is
not known.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol, Self, TypeAlias

from ..cookie import Reference
from ..policy import OPERATION_LIFETIME_MS, Lifetimes

COUNTER_LIMIT: Final = 10**15 - 1
"""Counters stay within ± this: Lua, which compares them in Redis, cannot order larger ones."""

ENVELOPE: Final = b"1"
"""The version of what is stored. Another one is left untouched: a newer release wrote it."""


class Budget:
    """The time that one request may spend in the store, all calls together, in seconds."""

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
        """Return the seconds left while a call is under way; never below a millisecond."""
        return max(self.remaining - (time.monotonic() - self._started), 0.001)

    def spent(self) -> bool:
        """Tell whether nothing is left while a call is under way."""
        return self.remaining - (time.monotonic() - self._started) <= 0


class Basis(Enum):
    """What a write knows of the field it replaces, when it is not the bytes themselves."""

    BLIND = auto()
    """Nothing was read, so nothing is compared."""


BLIND: Final = Basis.BLIND


@dataclass(frozen=True, slots=True)
class Write:
    """Set a field, or delete it (`value` None), if it still is what was read.

    `base` is what was read: None where the field was absent, BLIND where nothing was.
    """

    field: bytes
    value: bytes | None
    base: bytes | Basis | None


@dataclass(frozen=True, slots=True)
class Add:
    """Add to a counter, an absent one counting as 0; refused where a bound would be passed."""

    field: bytes
    delta: int
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Take:
    """Remove and return all fields that begin with `prefix`; names that begin with NUL stay.

    Where `into` is given, they are kept under that prefix, replacing what has their name there. It
    neither begins with `prefix` nor is a beginning of it.
    """

    prefix: bytes
    into: bytes = b""


@dataclass(frozen=True, slots=True)
class Check:
    """Change nothing, but conflict unless the field still is what was read."""

    field: bytes
    base: bytes | None


@dataclass(frozen=True, slots=True)
class CheckNames:
    """Change nothing, but conflict unless exactly these fields begin with `prefix`.

    Names that begin with NUL are the store's own and do not count. The conflict is the prefix's.
    """

    prefix: bytes
    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SetLimits:
    """Give this one session its own limits, in ms; None means those of the application.

    The absolute limit counts from when the session was created or bound. Setting limits is a use of
    the session: its idle limit moves. One that was only made still lives for the unused limit. At
    most one of a write's changes.
    """

    idle: int | None
    absolute: int | None


Change: TypeAlias = Write | Add | Take | Check | CheckNames | SetLimits


@dataclass(frozen=True, slots=True)
class Bind:
    """Enter the session into a user's index, ending the oldest ones beyond `limit`.

    Attributes:
        user: where the index lives.
        stamp: the version of the credential that was checked, None where there is none.
        label: what to show for this session in the user's list.
        name: the user's name, which the session keeps, so that `Record.user` can tell it.
    """

    user: Reference
    stamp: int | None
    label: bytes
    limit: int
    name: bytes = b""


@dataclass(frozen=True, slots=True)
class Destroy:
    """End the session; `kind` is what those who come late are told. No fields are loaded."""

    kind: str = "destroyed"


@dataclass(frozen=True, slots=True)
class Move:
    """Give the session, with all its data, a new reference; the old one is ended as rotated.

    Attributes:
        to: the new reference.
        bind: bind it in the same step.
        unbind: take it from its user in the same step: the name, the label, the entry in the
            user's index and the session's own limits go, whatever `changes` set of these. The
            absolute limit is the application's from then on. Never together with `bind`. A server
            without room carries it out if no field is set beside it.
    """

    to: Reference
    bind: Bind | None = None
    unbind: bool = False


Finish: TypeAlias = Destroy | Move | Bind | None
"""What happens to the session after the changes, in the same atomic step. `Bind` binds in place."""


class Record(NamedTuple):
    """A living session as it was at one instant.

    Attributes:
        created: ms since 1970 on the store's clock.
        deadline: the absolute limit, likewise; 0 for none.
        seen: when a request last used it, to within one step; None for a session just made, or
            where the call did not learn it (a write without `load`). A read that slides tells when
            the session was seen before.
        slid: whether this very call moved the idle limit.
        fields: all of them, or None where the call did not ask for them; none where a move is
            answered a second time whose session has ended since.
        idle: the session's own idle limit in ms, None for the application's.
        user: whom it is bound to, empty for nobody, and where a release bound it that kept no
            names; None where the call did not learn it (a list, a write without `load` and
            `finish`). For a finish, whom it was bound to before.
    """

    created: int
    deadline: int
    seen: int | None
    slid: bool
    fields: dict[bytes, bytes] | None
    label: bytes = b""
    idle: int | None = None
    user: bytes | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing is there: never was, or expired."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A session was there and was ended; `kind` says how.

    One of destroyed, rotated, revoked, corrupt; adopted for one that is made once and has ended.
    """

    kind: str


@dataclass(frozen=True, slots=True)
class Written:
    """All changes were applied, now or when the same operation came first.

    Attributes:
        results: one for each Add (the new value) and Take (what was removed), in order.
        ended: references that a Bind ended because of its limit.
    """

    record: Record
    results: tuple[int | dict[bytes, bytes], ...] = ()
    ended: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflicting:
    """Nothing was applied: these fields are no longer what was read. None is an absent field."""

    current: dict[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was applied: a counter would have left its bounds."""

    field: bytes
    current: int


@dataclass(frozen=True, slots=True)
class NotACounter:
    """Nothing was applied: an Add met a field that holds no integer."""

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
    """Nothing was applied: no release of this library wrote what stands there as a whole."""


WriteOutcome: TypeAlias = (
    Written
    | Missing
    | Gone
    | Conflicting
    | Refused
    | NotACounter
    | TooLarge
    | StaleStamp
    | Unreadable
)


class Operation(NamedTuple):
    """Names one write, so that sending it again cannot apply it twice.

    Attributes:
        request: whose write it is.
        ordinal: which of that request's.
        kept: how long its result is remembered, in ms.
        ends_with_session: its result is forgotten when the session ends or gets a new reference.
            That of the end or the move itself is kept for a resend (`OPERATION_LIFETIME_MS`).
        makes_once: its result outlives the session: a session that this operation made, and that
            has ended since, is not made a second time but `Gone("adopted")`. While it lives it is
            answered as it is, and the changes and the finish are not applied again, whatever they
            are: request, ordinal and reference are the operation. Its `results` are empty, and the
            user is always told. Together with `create`, for writes, limits and `Bind` only.
    """

    request: bytes
    ordinal: int
    kept: int = OPERATION_LIFETIME_MS
    ends_with_session: bool = False
    makes_once: bool = False


@dataclass(frozen=True, slots=True)
class Caps:
    """What a session may grow to; checked before anything is written."""

    fields: int
    octets: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a user's index."""

    reference: Reference
    record: Record


class Store(Protocol):
    """Where sessions live. Every method is one atomic step and, at a server, one round trip."""

    def read(
        self, reference: Reference, lifetimes: Lifetimes, budget: Budget, *, slide: bool = True
    ) -> Record | Missing | Gone | Unreadable:
        """Return the session with its fields, sliding its idle limit if that is a step old.

        A session that was last seen longer ago than its idle limit, its own or that of
        `lifetimes`, is `Missing`, however long it was to live when it was last seen. With `slide`
        off, the idle limit stays where it is. A store that has lost its primary refuses instead
        of answering from the past.
        """

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
        """Apply all changes and `finish`, or nothing.

        Args:
            reference: the session.
            changes: at most one for each field.
            operation: applied at most once while its result is kept, however often it is sent; its
                result is no answer once the session ended, unless `finish` ended it, or it ended as
                `emptied` and may begin again. That of an end is none once it has.
            lifetimes: the limits of sessions that have none of their own, as the request sees them.
            budget: the time left.
            create: make the session if there is none, or one that ended as `emptied`, which held
                nothing. Without it, no session means `Missing`. Of
                one that is past its limits nothing comes back.
            finish: what happens to the session afterwards.
            load: return all fields as they are after the changes.
        """

    def sessions(self, user: Reference, budget: Budget) -> tuple[Listed, ...]:
        """Return the living sessions of a user, oldest first, forgetting those that ended.

        Of the idle limits, those that sessions have for themselves are looked at, and for others
        the one under which each was last used.
        """

    def end_all(
        self,
        user: Reference,
        keep: Reference | None,
        stamp: int | None,
        operation: Operation,
        lifetimes: Lifetimes,
        budget: Budget,
    ) -> tuple[Reference, ...]:
        """End all sessions of a user but `keep`; record that binding needs at least `stamp`.

        The index, and the stamp in it, lives at least as long as any session that it lists, and
        as long as one that began now may live. No call shortens its life.
        """

    def sweep(self, cursor: bytes, budget: Budget) -> tuple[bytes | None, tuple[Reference, ...]]:
        """End some of all sessions; return where to go on, None at the end, and which were ended.

        Begun with the cursor b"0" and repeated to the end, every session that lived all the while
        was ended.
        """

    def quarantine(
        self, reference: Reference, field: bytes, observed: bytes, budget: Budget
    ) -> bool:
        """Set a session aside and end it as corrupt if `field` still holds `observed`.

        Without a field (both empty): if it is unreadable as a whole.
        """

    def probe(self, budget: Budget) -> None:
        """Write and remove a key, as a real request would."""

    def close(self) -> None:
        """Give connections back."""
