"""Adopt the sessions of the library used before, so that the switch logs nobody out.

A visitor who comes with an old cookie gets a session with the same content under a new id, once.
The new id follows from the old cookie, so that two requests at once make one session. The store
remembers that it was made, so that a copied old cookie opens nothing after a logout.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from ..codec import encode
from ..config import MAX_FIELDS, Lifetimes
from ..cookie import BUCKETS, KeyRing, Reference, Token
from ..errors import OutcomeUnknown, StoreUnavailable, Unserializable
from ..fields import PERMANENT, plain_field
from ..stores.base import (
    Bind,
    Deadline,
    Gone,
    Operation,
    Record,
    StaleStamp,
    Store,
    Write,
    Written,
)
from .predecessors import Claimed, Old, Predecessor

if TYPE_CHECKING:
    from ..state import Backend

_log = logging.getLogger("unsticky")

ADOPTED_STAMP: Final = -(10**15)
"""The credential stamp that an adopted session is bound with: an old cookie tells nothing of the
credential, so that any stamp that `revoke_all` recorded refuses it."""

UNADOPTED: Final = ADOPTED_STAMP + 1
"""The stamp that `revoke_all` records where it is given none, for old sessions not adopted yet."""

_MAX_COOKIE: Final = 16_384
_MAX_CANDIDATES: Final = 4
_CLOCK_TOLERANCE_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class Adopted:
    """The session that an old cookie now stands for.

    Attributes:
        token: what the new cookie holds.
        record: the session, with its fields.
        user: whom it is bound to, None for nobody.
        ended: references that ended because the user has too many sessions.
    """

    token: Token
    record: Record
    user: str | None
    ended: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The old cookie's session was adopted before, and has ended since.

    Attributes:
        token: what its cookie held.
        kind: how it ended, as `Gone.kind` tells it; "adopted" where that is forgotten.
    """

    token: Token
    kind: str


class Adoption:
    """Takes over sessions; see the module.

    Args:
        predecessor: reads the old sessions.
        cookie: the name of the cookie that holds them, empty for the session's own.
        until: after this nothing is adopted.
        user_field: the field that holds the user of a session.
        binds: bind adopted sessions to that user.
    """

    def __init__(
        self,
        predecessor: Predecessor,
        *,
        cookie: str,
        until: datetime,
        user_field: str,
        binds: bool,
    ) -> None:
        self.cookie = cookie
        self._predecessor = predecessor
        self._until = until
        self._user_field = user_field
        self._binds = binds
        self._over = False

    def is_over(self) -> bool:
        """Tell whether nothing is adopted any more, and say so once."""
        if not self._over and datetime.now(UTC) >= self._until:
            self._over = True
            _log.warning(
                "UNSTICKY_ADOPT_UNTIL (%s) is over: nothing is adopted any more, and the settings "
                "that begin with UNSTICKY_ADOPT can go",
                self._until.isoformat(),
            )
        return self._over

    def take_over(
        self,
        values: Iterable[str],
        backend: Backend,
        deadline: Deadline,
        *,
        label: str = "",
    ) -> Adopted | Ended | None:
        """Adopt the old session that one of these cookies names.

        Args:
            values: of all cookies of the name `cookie`, as the browser sent them.
            backend: where the new session is made.
            deadline: the time left.
            label: what the user's list shows for the session.

        Returns:
            The session, or how it ended; None where there is nothing to adopt.

        Raises:
            StoreUnavailable: nothing was changed, or repeating it is harmless.
        """
        if self.is_over():
            return None
        lifetimes = backend.lifetimes
        outcome: Ended | None = None
        for value in islice((v for v in values if 0 < len(v) <= _MAX_COOKIE), _MAX_CANDIDATES):
            found = self._predecessor.find(value, lifetimes, deadline)
            if found is None:
                continue
            try:
                result: Adopted | Ended | None
                if isinstance(found, Claimed):
                    token = backend.ring.token(_identifier(found.identity), found.bucket)
                    result = _read(backend.store, token, lifetimes, deadline)
                else:
                    result = self._adopted(found, backend, lifetimes, deadline, label)
            except OutcomeUnknown as error:
                # What is made once may be asked for again.
                raise StoreUnavailable(str(error)) from error
            if isinstance(result, Adopted):
                return result
            outcome = outcome or result
        return outcome

    def close(self) -> None:
        """Give connections back."""
        self._predecessor.close()

    def _adopted(
        self, old: Old, backend: Backend, lifetimes: Lifetimes, deadline: Deadline, label: str
    ) -> Adopted | Ended | None:
        fields = _storable(old.fields, backend.policy.max_bytes)
        if not fields.keys() - {PERMANENT}:
            return None
        user = self._user(old.fields, fields)
        token = self._token(old, user, backend.ring)
        once = user is not None or old.unique
        kept = max(old.left, lifetimes.idle) + _CLOCK_TOLERANCE_MS
        operation = Operation(b"\0adopt\0" + token.reference.digest, 0)
        if once:  # it was in use before, and there is one for each old session
            operation = operation._replace(kept=kept, makes_once=True)
            lifetimes = replace(lifetimes, unused=lifetimes.idle)
        outcome = backend.store.write(
            token.reference,
            tuple(Write(field, value, None) for field, value in sorted(fields.items())),
            operation,
            lifetimes,
            deadline,
            create=True,
            finish=self._bind(user, label, backend),
            load=True,
        )
        result: Adopted | Ended | None = None
        if isinstance(outcome, Written):
            bound = user if self._binds else None
            result = _adopted(token, outcome.record, bound, outcome.ended)
        elif isinstance(outcome, Gone):
            result = _read(backend.store, token, lifetimes, deadline)  # how it ended, if just now
        elif isinstance(outcome, StaleStamp):
            result = Ended(token, "revoked")
        else:
            _log.error("an old session was not adopted: %s", type(outcome).__name__)
        if result is not None:
            self._end(old, token, kept, deadline)
        return result

    def _user(self, values: Mapping[str, Any], fields: Mapping[bytes, bytes]) -> str | None:
        """Return the user's name, None for nobody, or where it could not be stored."""
        value = values.get(self._user_field)
        known = type(value) in {str, int} and plain_field(self._user_field) in fields
        return str(value) if known and value != "" else None

    def _token(self, old: Old, user: str | None, ring: KeyRing) -> Token:
        """Return a token that follows from the old cookie, or a new one.

        Cookies that two visitors may share must not lead both into one session. Each of their
        requests with such a cookie gets its own, as it would have without a cookie.

        All cookies that a login had, one after the other, lead to one session, so that a logout
        ends them all. The user is part of it: the holder of a cookie from before the login gets
        nothing of the login (CWE-384).
        """
        bucket = ring.subject(user).bucket if user is not None and self._binds else None
        if not old.unique and user is None:
            return ring.mint(bucket)
        identity = old.identity
        if user is not None and old.lineage:
            identity = encode((old.lineage, user))
        identifier = _identifier(identity)
        if bucket is None:
            bucket = int.from_bytes(sha256(identifier).digest()[:2], "big") % BUCKETS
        return ring.token(identifier, bucket)

    def _bind(self, user: str | None, label: str, backend: Backend) -> Bind | None:
        if user is None or not self._binds:
            return None
        limit = backend.policy.max_sessions_per_user
        subject = backend.ring.subject(user)
        shown = label.encode("utf-8", "replace")[:200]
        return Bind(subject, ADOPTED_STAMP, shown, limit, user.encode())

    def _end(self, old: Old, token: Token, kept: int, deadline: Deadline) -> None:
        try:
            self._predecessor.end(old.identity, token.reference.bucket, kept, deadline)
        except (StoreUnavailable, OutcomeUnknown) as error:
            # The new session is there. The old entry opens nothing else, and expires.
            _log.warning("an adopted session's old entry was not ended: %s", error)


def _adopted(
    token: Token, record: Record, user: str | None, ended: tuple[Reference, ...] = ()
) -> Adopted:
    permanent = (record.fields or {}).get(PERMANENT) == encode(True)  # noqa: FBT003 (a value)
    return Adopted(token._replace(permanent=permanent), record, user, ended)


def _identifier(identity: bytes) -> bytes:
    # Without a secret, so that it stays the same when the secrets rotate. The identity cannot be
    # guessed, and a cookie needs a signature besides.
    return sha256(b"unsticky adopted id\0" + identity).digest()


def _read(store: Store, token: Token, lifetimes: Lifetimes, deadline: Deadline) -> Adopted | Ended:
    found = store.read(token.reference, lifetimes, deadline)
    if isinstance(found, Record):
        return _adopted(token, found, (found.user or b"").decode() or None)
    return Ended(token, found.kind if isinstance(found, Gone) else "adopted")


def _storable(values: Mapping[str, Any], most: int) -> dict[bytes, bytes]:
    """Return the fields as they are stored, without those that cannot be; the smallest first."""
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
