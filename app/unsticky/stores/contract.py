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

from unsticky.cookie import Reference
from unsticky.policy import OPERATION_LIFETIME_MS

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
    """Remove and return all fields that begin with `prefix`.

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
class CheckCount:
    """Change nothing, but conflict unless this many fields begin with `prefix`."""

    prefix: bytes
    count: int


Change: TypeAlias = Write | Add | Take | Check | CheckCount


@dataclass(frozen=True, slots=True)
class Bind:
    """Enter the session into a user's index, ending the oldest ones beyond `limit`.

    Attributes:
        user: where the index lives.
        stamp: the version of the credential that was checked, None where there is none.
        label: what to show for this session in the user's list.
    """

    user: Reference
    stamp: int | None
    label: bytes
    limit: int


@dataclass(frozen=True, slots=True)
class Destroy:
    """End the session; `kind` is what those who come late are told."""

    kind: str = "destroyed"


@dataclass(frozen=True, slots=True)
class Move:
    """Give the session, with all its data, a new reference; the old one is ended as rotated."""

    to: Reference
    bind: Bind | None = None


Finish: TypeAlias = Destroy | Move | Bind | None
"""What happens to the session after the changes, in the same atomic step. `Bind` binds in place."""


class Record(NamedTuple):
    """A living session as it was at one instant.

    Attributes:
        created: ms since 1970 on the store's clock.
        deadline: the absolute limit, likewise; 0 for none.
        seen: when a request last used it, to within one step; None for a session just made.
        slid: whether this very call moved the idle limit.
        fields: all of them, or None where the call did not ask for them.
        permanent: the session's own `_permanent`, in a write that slid or moved the session.
    """

    created: int
    deadline: int
    seen: int | None
    slid: bool
    fields: dict[bytes, bytes] | None
    label: bytes = b""
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing is there: never was, or expired."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A session was there and was ended; `kind` says how (destroyed, rotated, revoked, corrupt)."""

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
    """

    request: bytes
    ordinal: int
    kept: int = OPERATION_LIFETIME_MS


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

    def read(self, reference: Reference, budget: Budget) -> Record | Missing | Gone | Unreadable:
        """Return the session with its fields, sliding its idle limit if that is a step old.

        A store that has lost its primary refuses instead of answering from the past.
        """

    def write(  # noqa: PLR0913 (one atomic step has this many parts)
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
        """Apply all changes and `finish`, or nothing.

        Args:
            reference: the session.
            changes: at most one for each field.
            operation: applied at most once while its result is kept, however often it is sent; its
                result is no answer once the session ended, unless `finish` ended it.
            budget: the time left.
            create: make the session if there is none. Without it, no session means `Missing`.
            finish: what happens to the session afterwards.
            load: return all fields as they are after the changes.
        """

    def sessions(self, user: Reference, budget: Budget) -> tuple[Listed, ...]:
        """Return the living sessions of a user, oldest first, forgetting those that ended."""

    def end_all(
        self,
        user: Reference,
        keep: Reference | None,
        stamp: int | None,
        operation: Operation,
        budget: Budget,
    ) -> tuple[Reference, ...]:
        """End all sessions of a user but `keep`; record that binding needs at least `stamp`."""

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
