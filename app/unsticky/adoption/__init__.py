"""Adopt the sessions of the library used before, so that the switch logs nobody out.

A visitor with an old cookie gets a session with the same content under a new id, once. The new id
is derived from the old cookie, so that two requests at the same time create one session. The store
remembers that it was created, so that a copied old cookie opens nothing after a logout.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from typing import Any, Final, NamedTuple

from ..codec import encode
from ..config import Config
from ..cookie import BUCKETS, KeyRing, Reference, Token
from ..errors import OutcomeUnknown, StoreUnavailable, Unserializable, repeatable
from ..fields import PERMANENT, plain_field
from ..limits import MAX_FIELDS, Lifetimes
from ..stores.base import Bind, Deadline, Gone, Operation, Record, StaleStamp, Store, Write, Written
from .predecessors import Claimed, Old, Predecessor

_log = logging.getLogger("unsticky")

ADOPTED_STAMP: Final = -(10**15)
"""The credential version that an adopted session is bound with. An old cookie does not say which
credential was checked, so every version that `revoke_all` recorded refuses it."""

UNADOPTED: Final = ADOPTED_STAMP + 1
"""The version that `revoke_all` records if it gets none, to refuse sessions not adopted yet."""

_MAX_COOKIE: Final = 16_384
_MAX_CANDIDATES: Final = 4
_CLOCK_TOLERANCE_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class Adopted:
    """The session that replaces the one of an old cookie, with its fields.

    `user` is whom it is bound to, None for nobody; `ended` are the user's sessions that were too
    many.
    """

    token: Token
    record: Record
    user: str | None
    ended: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The old cookie's session was adopted before, and has ended since.

    `kind` is that of `Gone`; "adopted" if it is forgotten how the session ended.
    """

    token: Token
    kind: str


class Destination(NamedTuple):
    """Where adopted sessions are created; `label` is what the user's list shows for them."""

    store: Store
    ring: KeyRing
    lifetimes: Lifetimes
    deadline: Deadline
    label: str


@dataclass(slots=True)
class Adoption:
    """Adopts sessions; see the module.

    Attributes:
        predecessor: reads the old sessions.
        config: the settings of the new sessions.
        cookie: the name of the cookie that holds them; empty for the session cookie's.
        until: after this nothing is adopted.
        user_field: the field that holds the user of a session.
        binds: bind adopted sessions to that user.
    """

    predecessor: Predecessor
    config: Config
    cookie: str
    until: datetime
    user_field: str
    binds: bool
    _over: bool = False

    def is_over(self) -> bool:
        """Return whether nothing is adopted any more, and log that once."""
        if not self._over and datetime.now(UTC) >= self.until:
            self._over = True
            _log.warning(
                "UNSTICKY_ADOPT_UNTIL (%s) has passed: nothing is adopted any more; remove the "
                "settings that begin with UNSTICKY_ADOPT",
                self.until.isoformat(),
            )
        return self._over

    def take_over(self, values: Iterable[str], to: Destination) -> Adopted | Ended | None:
        """Adopt the old session that one of these cookies names.

        Returns:
            The session, or how it ended; None if there is nothing to adopt.

        Raises:
            StoreUnavailable: nothing was changed, or repeating it does no harm.
        """
        if self.is_over():
            return None
        outcome: Ended | None = None
        for value in islice((v for v in values if 0 < len(v) <= _MAX_COOKIE), _MAX_CANDIDATES):
            found = self.predecessor.find(value, to.lifetimes, to.deadline)
            if found is None:
                continue
            with repeatable():  # the session is created only once
                result: Adopted | Ended | None
                if isinstance(found, Claimed):
                    result = _read(to.ring.token(_identifier(found.identity), found.bucket), to)
                else:
                    result = self._adopted(found, to)
            if isinstance(result, Adopted):
                return result
            outcome = outcome or result
        return outcome

    def close(self) -> None:
        """Give connections back."""
        self.predecessor.close()

    def _adopted(self, old: Old, to: Destination) -> Adopted | Ended | None:
        lifetimes = to.lifetimes
        fields = _storable(old.fields, self.config.max_bytes)
        if not fields.keys() - {PERMANENT}:
            return None
        user = self._user(old.fields, fields)
        token = self._token(old, user, to.ring)
        once = user is not None or old.unique
        kept = max(old.left, lifetimes.idle) + _CLOCK_TOLERANCE_MS
        operation = Operation(b"\0adopt\0" + token.reference.digest, 0)
        if once:  # it was in use before, and each old session has one successor
            operation = operation._replace(kept=kept, makes_once=True)
            lifetimes = replace(lifetimes, unused=lifetimes.idle)
        outcome = to.store.write(
            token.reference,
            tuple(Write(field, value, None) for field, value in sorted(fields.items())),
            operation,
            lifetimes,
            to.deadline,
            create=True,
            finish=self._bind(user, to),
            load=True,
        )
        result: Adopted | Ended | None = None
        if isinstance(outcome, Written):
            bound = user if self.binds else None
            result = _adopted(token, outcome.record, bound, outcome.ended)
        elif isinstance(outcome, Gone):
            result = _read(token, to)  # how it ended, if just now
        elif isinstance(outcome, StaleStamp):
            result = Ended(token, "revoked")
        else:
            _log.error("an old session was not adopted: %s", type(outcome).__name__)
        if result is not None:
            self._end(old, token, kept, to.deadline)
        return result

    def _user(self, values: Mapping[str, Any], fields: Mapping[bytes, bytes]) -> str | None:
        """Return the user's name; None for nobody, or if it could not be stored."""
        value = values.get(self.user_field)
        known = type(value) in {str, int} and plain_field(self.user_field) in fields
        return str(value) if known and value != "" else None

    def _token(self, old: Old, user: str | None, ring: KeyRing) -> Token:
        """Return a token derived from the old cookie, or a new one.

        A cookie that two visitors may share must not lead both to one session. Each request with
        such a cookie gets a session alone, as it would without a cookie.

        All cookies that a login had, one after the other, lead to one session, so that a logout
        ends them all. The user is part of the id: the holder of a cookie from before the login
        does not get into the login (CWE-384).
        """
        bucket = ring.subject(user).bucket if user is not None and self.binds else None
        if not old.unique and user is None:
            return ring.mint(bucket)
        identity = old.identity
        if user is not None and old.lineage:
            identity = encode((old.lineage, user))
        identifier = _identifier(identity)
        if bucket is None:
            bucket = int.from_bytes(sha256(identifier).digest()[:2], "big") % BUCKETS
        return ring.token(identifier, bucket)

    def _bind(self, user: str | None, to: Destination) -> Bind | None:
        if user is None or not self.binds:
            return None
        subject = to.ring.subject(user)
        shown = to.label.encode("utf-8", "replace")[:200]
        limit = self.config.max_sessions_per_user
        return Bind(subject, ADOPTED_STAMP, shown, limit, user.encode())

    def _end(self, old: Old, token: Token, kept: int, deadline: Deadline) -> None:
        try:
            self.predecessor.end(old.identity, token.reference.bucket, kept, deadline)
        except (StoreUnavailable, OutcomeUnknown) as error:
            # The new session exists. The old entry opens nothing else, and expires.
            _log.warning("an adopted session's old entry was not ended: %s", error)


def _adopted(
    token: Token, record: Record, user: str | None, ended: tuple[Reference, ...] = ()
) -> Adopted:
    permanent = (record.fields or {}).get(PERMANENT) == encode(True)  # noqa: FBT003 (a value)
    return Adopted(token._replace(permanent=permanent), record, user, ended)


def _identifier(identity: bytes) -> bytes:
    # Without a secret, so that it stays the same when the secrets rotate. The identity cannot be
    # guessed, and a cookie also needs a signature.
    return sha256(b"unsticky adopted id\0" + identity).digest()


def _read(token: Token, to: Destination) -> Adopted | Ended:
    found = to.store.read(token.reference, to.lifetimes, to.deadline)
    if isinstance(found, Record):
        return _adopted(token, found, (found.user or b"").decode() or None)
    return Ended(token, found.kind if isinstance(found, Gone) else "adopted")


def _storable(values: Mapping[str, Any], most: int) -> dict[bytes, bytes]:
    """Return the fields as bytes, the smallest first, without those that cannot be stored."""
    encoded: dict[bytes, bytes] = {}
    for name, value in values.items():
        try:
            encoded[plain_field(name)] = encode(value)
        except (Unserializable, TypeError, AttributeError, UnicodeEncodeError) as error:
            _dropped(name, str(error))
    size = 0
    fields: dict[bytes, bytes] = {}
    for field, data in sorted(encoded.items(), key=lambda item: len(item[0]) + len(item[1])):
        size += len(field) + len(data)
        if size > most or len(fields) == MAX_FIELDS:
            _dropped(
                field[2:].decode(),
                f"the session would have more than {most} bytes or {MAX_FIELDS} fields",
            )
        else:
            fields[field] = data
    return fields


def _dropped(name: object, reason: str) -> None:
    _log.warning("a field was not adopted: %.60s: %.200s", ascii(name), ascii(reason))
