"""What a store without scripts keeps: one document under each key, replaced as a whole.

The rules of a session's limits are here once; `reading` judges by them, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, TypeAlias

import msgpack

from ..cookie import Reference
from ..errors import StoreUnavailable
from ..limits import TOMBSTONE_LIFETIME_MS, Lifetimes
from .base import ENVELOPE, Gone, Missing, Record, Unreadable, Written


@dataclass(frozen=True, slots=True)
class Result:
    """What an operation was answered, kept for a resend until `expires`."""

    expires: int
    written: Written


@dataclass(frozen=True, slots=True)
class Session:
    """A session. All times are ms since 1970, all limits ms.

    Attributes:
        created: when it was created or bound.
        ends_at: its absolute limit, 0 for none.
        expires: when the document may be deleted.
        seen: when a request last used it, None if none did since it was created.
        idle, absolute: its own limits, None for the application's.
        user, name, label: see `Bind`.
        results: of the operations whose results end with the session, by name.
    """

    created: int
    ends_at: int = 0
    expires: int = 0
    seen: int | None = None
    idle: int | None = None
    absolute: int | None = None
    user: Reference | None = None
    name: bytes = b""
    label: bytes = b""
    fields: Mapping[bytes, bytes] = field(default_factory=dict)
    results: Mapping[str, Result] = field(default_factory=dict)

    def is_past(self, now: int, lifetimes: Lifetimes | None) -> bool:
        """Tell whether a limit has passed; without `lifetimes`, only its own idle limit counts."""
        idle = self.idle or (lifetimes.idle if lifetimes is not None else None)
        last = self.created if self.seen is None else self.seen
        return (
            self.expires <= now
            or 0 < self.ends_at <= now
            or (idle is not None and now - last >= idle)
        )

    def counted_from(self, created: int, lifetimes: Lifetimes) -> Session:
        """Return it with its absolute limit counted from `created`."""
        absolute = self.absolute or lifetimes.absolute
        return replace(self, created=created, ends_at=created + absolute if absolute else 0)

    def expiring_in(self, limit: int, now: int) -> Session:
        """Return it with `limit` left to live, or less if its absolute limit comes first."""
        return replace(self, expires=self._expiry(limit, now))

    def used(self, now: int, lifetimes: Lifetimes, *, always: bool = False) -> tuple[Session, bool]:
        """Return it after a use, and whether its idle limit slid.

        It slides if it was last seen a step ago (a 20th of the limit), or was set under a limit
        that was shorter by a step. See `Lifetimes.unused` for a session that may not be in use.
        """
        expires, step = self._after_use(now, lifetimes, always=always)
        if not always and not self._is_due(expires, step, now):
            return self, False
        return replace(self, expires=expires, seen=now), True

    def slides(self, now: int, lifetimes: Lifetimes) -> bool:
        """Tell whether its idle limit would slide by a use."""
        return self._is_due(*self._after_use(now, lifetimes), now)

    def _after_use(
        self, now: int, lifetimes: Lifetimes, *, always: bool = False
    ) -> tuple[int, int]:
        """Return when it would expire after a use, and the step of its limit."""
        limit = self.idle or lifetimes.idle
        step = limit // 20
        if not (always or lifetimes.unused >= limit or self._is_in_use(now, lifetimes)):
            limit, step = min(limit, max(lifetimes.unused, self.expires - now)), lifetimes.apart
        return self._expiry(limit, now), step

    def _is_due(self, expires: int, step: int, now: int) -> bool:
        return self.seen is None or now - self.seen >= step or self.expires < expires - step

    def _expiry(self, limit: int, now: int) -> int:
        return min(now + limit, self.ends_at or now + limit)

    def _is_in_use(self, now: int, lifetimes: Lifetimes) -> bool:
        """Tell whether this use, the one before and its creation are apart.

        If it was not seen for longer than the unused limit, it has had a longer limit.
        """
        last = self.created if self.seen is None else self.seen
        apart = min(now - last, last - self.created) >= lifetimes.apart
        return apart or now - last >= lifetimes.unused

    def begun_again(self, now: int, lifetimes: Lifetimes) -> Session:
        """Return it with all its limits counted from now."""
        return self.counted_from(now, lifetimes).used(now, lifetimes, always=True)[0]

    def record(self, *, slid: bool, load: bool) -> Record:
        """Return its record; with all fields and the user's name if `load` is set."""
        return Record(
            self.created,
            self.ends_at,
            self.seen,
            slid,
            dict(self.fields) if load else None,
            self.label,
            self.idle,
            self.name if load else None,
        )


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A session was here and ended; `kind` says how, until `expires`."""

    kind: str
    expires: int


@dataclass(frozen=True, slots=True)
class Index:
    """The sessions of a user, each with its time of creation; it never expires.

    Attributes:
        entries: the sessions.
        stamp: the oldest credential version that may bind a session, None if any may.
    """

    entries: Mapping[Reference, int] = field(default_factory=dict)
    stamp: int | None = None
    expires: None = None


@dataclass(frozen=True, slots=True)
class Damaged:
    """What is stored there is not a document of this library; `data` is what it is."""

    data: bytes
    expires: int | None = None


Document: TypeAlias = Session | Tombstone | Index | Result | Damaged


class Documents:
    """The documents of one call: those that it loads, and those that it replaces, by key.

    `load` returns the document under a key, None if there is none; `now` is the store's clock, in
    ms since 1970.
    """

    def __init__(self, load: Callable[[str], Document | None], now: int) -> None:
        self._load = load
        self._loaded: dict[str, Document | None] = {}
        self.now = now
        self.replaced: dict[str, Document] = {}

    def get(self, key: str) -> Document | None:
        """Return the document under a key, as this call leaves it so far.

        It is loaded once: a second load could see what another request has just stored, and the
        store would then not find that the first one is out of date.
        """
        if key in self.replaced:
            return self.replaced[key]
        if key not in self._loaded:
            self._loaded[key] = self._load(key)
        return self._loaded[key]

    def find(
        self, reference: Reference, lifetimes: Lifetimes | None = None
    ) -> Session | Missing | Gone | Unreadable:
        """Return the living session there, or how it is missing."""
        found = self.get(key_of("session", reference))
        if isinstance(found, Damaged):
            return Unreadable()
        if isinstance(found, Tombstone) and found.expires > self.now:
            return Gone(found.kind)
        if isinstance(found, Session) and not found.is_past(self.now, lifetimes):
            return found
        return Missing()

    def index(self, user: Reference) -> Index:
        """Return a user's index."""
        found = self.get(key_of("index", user))
        return found if isinstance(found, Index) else Index()

    def living_of(self, user: Reference) -> list[tuple[Reference, Session]]:
        """Return a user's sessions; forget those that ended."""
        index, living = self.index(user), []
        for reference in index.entries:
            found = self.find(reference)
            # Another session may have begun under the name of an expired one of this user.
            if isinstance(found, Session) and found.user == user:
                living.append((reference, found))
        if len(living) < len(index.entries):
            entries = {reference: index.entries[reference] for reference, _ in living}
            self.replaced[key_of("index", user)] = replace(index, entries=entries)
        return living

    def put(self, reference: Reference, session: Session | Tombstone) -> None:
        """Replace a session."""
        self.replaced[key_of("session", reference)] = session

    def use(
        self, reference: Reference, session: Session, lifetimes: Lifetimes
    ) -> tuple[Session, bool]:
        """Return the session after a use, and whether its idle limit slid."""
        session, slid = session.used(self.now, lifetimes)
        if slid:
            self.put(reference, session)
        return session, slid

    def bury(self, reference: Reference, kind: str) -> None:
        """End a session."""
        self.leave(reference)
        self.put(reference, Tombstone(kind, self.now + TOMBSTONE_LIFETIME_MS))

    def leave(self, reference: Reference) -> None:
        """Remove the session that is or was there from its user's index."""
        found = self.get(key_of("session", reference))
        if isinstance(found, Session) and found.user is not None:
            index = self.index(found.user)
            if reference in index.entries:
                entries = {name: at for name, at in index.entries.items() if name != reference}
                self.replaced[key_of("index", found.user)] = replace(index, entries=entries)

    def enter(self, reference: Reference, user: Reference, created: int) -> None:
        """Add a session to its user's index."""
        index = self.index(user)
        entries = {**index.entries, reference: created}
        self.replaced[key_of("index", user)] = replace(index, entries=entries)

    def end_oldest(
        self, user: Reference, limit: int, lifetimes: Lifetimes
    ) -> tuple[Reference, ...]:
        """Make room for one more session: end those that are past first, then the oldest."""
        others = sorted(
            self.living_of(user),
            key=lambda item: (not item[1].is_past(self.now, lifetimes), item[1].created),
        )
        ended = tuple(other for other, _ in others[: max(0, len(others) - limit + 1)])
        for other in ended:
            self.bury(other, "revoked")
        return ended


def key_of(kind: str, reference: Reference) -> str:
    """Return the key of a document."""
    return f"{kind}:{reference.handle}"


_TYPES: Final[tuple[Any, ...]] = (
    Session,
    Tombstone,
    Index,
    Result,
    Written,
    Record,
    Reference,
    Damaged,
)
_UNREADABLE: Final = (ValueError, TypeError, LookupError, RecursionError)
"""What msgpack and the types raise for bytes of something else."""
_DOCUMENTS: Final = (Session, Tombstone, Index, Result, Damaged)


def packed(document: Document) -> bytes:
    """Return a document as bytes."""
    return ENVELOPE + _packed(document)


def unpacked(data: bytes) -> Document:
    """Return the document that `packed` made bytes of, `Damaged` if it made them of none.

    Raises:
        StoreUnavailable: a newer release packed it.
    """
    version, rest = data[: len(ENVELOPE)], data[len(ENVELOPE) :]
    if version.isdigit() and version != ENVELOPE:
        raise StoreUnavailable("a newer release wrote this session, and one must answer")
    try:
        document = _unpacked(rest) if version == ENVELOPE else None
    except (*_UNREADABLE, msgpack.UnpackException):
        document = None
    return document if isinstance(document, _DOCUMENTS) else Damaged(data)


def _packed(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, default=_parts, strict_types=True)
    return packed


def _parts(value: Any) -> Any:
    if type(value) is tuple:
        return list(value)
    if isinstance(value, tuple):
        parts = list(value)
    else:
        parts = [getattr(value, each.name) for each in fields(value)]
    return msgpack.ExtType(_TYPES.index(type(value)), _packed(parts))


def _unpacked(data: bytes) -> Any:
    return msgpack.unpackb(
        data,
        ext_hook=lambda code, parts: _TYPES[code](*_unpacked(parts)),
        use_list=False,
        strict_map_key=False,
    )
