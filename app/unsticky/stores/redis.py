"""Redis and Valkey, from 6.2 and 7.2: a session is one hash, a call is one script.

Keys, with the prefix and the bucket as the hash tag: `{b}:s:` session, `{b}:u:` a user's index,
`{b}:o:` an operation's result, `{b}:q:` quarantine. The same names on a single node, so that moving
to a cluster renames nothing.
"""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Any, Final, Never

from unsticky.cookie import Reference
from unsticky.errors import OutcomeUnknown, StoreUnavailable
from unsticky.policy import Lifetimes

from .connections import Caller
from .contract import (
    ENVELOPE,
    Add,
    Bind,
    Budget,
    Caps,
    Change,
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
    Unreadable,
    Write,
    WriteOutcome,
    Written,
)
from .scripts import load

_QUARANTINE_MS: Final = 7 * 24 * 3600 * 1000
_SWEEP_KEYS: Final = 1000
"""How many keys one step of a sweep looks at: about a millisecond of the server."""

_EMPTY: Final = b""


class RedisStore:
    """The contract kept by Lua scripts at a server that speaks Redis' protocol."""

    def __init__(self, caller: Caller, prefix: str, lifetimes: Lifetimes, caps: Caps) -> None:
        self._caller = caller
        self._prefix = prefix.encode()
        self._sliding = (b"%d" % lifetimes.idle, b"%d" % lifetimes.step)
        self._absolute = b"%d" % (lifetimes.absolute or 0)
        self._limits = (
            *self._sliding,
            b"%d" % lifetimes.unused,
            self._absolute,
            b"%d" % caps.fields,
            b"%d" % caps.octets,
        )
        self._read, self._write = load("read"), load("write")
        self._sessions, self._end_all = load("sessions"), load("end_all")
        self._quarantine, self._probe = load("quarantine"), load("probe")
        self._sweep = load("sweep")

    @property
    def trips(self) -> int:
        """Calls sent by this process so far."""
        return self._caller.trips

    def read(self, reference: Reference, budget: Budget) -> Record | Missing | Gone | Unreadable:
        """See `Store.read`."""
        reply = self._ask(self._read, (self._key(b"s", reference),), self._sliding, budget)
        status = reply[0]
        if status == 0:
            return _record(reply[1], reply[2])
        if status == 1:
            return Missing()
        if status == 2:  # noqa: PLR2004 (the script's codes stand in its header)
            return Gone(reply[1].decode())
        if status == 9:  # noqa: PLR2004 (likewise)
            return Unreadable()
        return _newer(reply[1])

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
        keys = [self._key(b"s", reference)]
        arguments = [
            *self._limits,
            urlsafe_b64encode(secrets.token_bytes(6)) if create else _EMPTY,
            b"1" if load else _EMPTY,
            b"%d" % operation.kept,
        ]
        self._add_finish(reference, finish, arguments)
        for change in changes:
            _add_change(change, arguments)
        # The nonce is left out: a resent creation must be the same operation.
        digest = blake2b(operation.request, digest_size=12)
        digest.update(b"%d\0%b\0" % (operation.ordinal, keys[0]))
        digest.update(b"\0".join(arguments[9:]))
        moved = (self._key(b"s", finish.to),) if isinstance(finish, Move) else ()
        # The new reference is part of it: a resend that minted another one is another operation,
        # which finds the session moved, and must not be told that its own reference lives.
        digest.update(b"\0".join(moved))
        keys.append(self._tagged(b"o", reference.bucket, urlsafe_b64encode(digest.digest())))
        keys += moved
        reply = self._caller.call(self._write, tuple(keys), tuple(arguments), budget)
        return self._outcome(reply, changes, finish, reference)

    def sessions(self, user: Reference, budget: Budget) -> tuple[Listed, ...]:
        """See `Store.sessions`."""
        reply = self._ask(
            self._sessions,
            (self._key(b"u", user),),
            (self._tagged(b"s", user.bucket, _EMPTY),),
            budget,
        )
        listed = []
        for place in range(0, len(reply), 4):
            name, birth, seen, label = reply[place : place + 4]
            fields = {b"\0m": birth, b"\0l": label} | ({b"\0s": seen} if seen else {})
            listed.append(Listed(_reference(user.bucket, name), _record_of(0, fields)))
        return tuple(sorted(listed, key=lambda entry: entry.record.created))

    def end_all(
        self,
        user: Reference,
        keep: Reference | None,
        stamp: int | None,
        operation: Operation,
        budget: Budget,
    ) -> tuple[Reference, ...]:
        """See `Store.end_all`; repeating it is harmless, so the operation needs no record."""
        del operation
        kept = _name(keep) if keep is not None and keep.bucket == user.bucket else _EMPTY
        arguments = (
            self._tagged(b"s", user.bucket, _EMPTY),
            kept,
            _EMPTY if stamp is None else b"%d" % stamp,
            self._absolute,
        )
        reply = self._caller.call(self._end_all, (self._key(b"u", user),), arguments, budget)
        return tuple(_reference(user.bucket, name) for name in reply)

    def sweep(self, cursor: bytes, budget: Budget) -> tuple[bytes | None, tuple[Reference, ...]]:
        """See `Store.sweep`."""
        literal = re.sub(rb"([*?\[\]\\])", rb"\\\1", self._prefix)
        arguments = (cursor, literal + b"{*}:s:*", b"%d" % _SWEEP_KEYS)
        following, keys = self._ask(self._sweep, (), arguments, budget)
        ended = []
        for key in keys:
            bucket, _, name = key[len(self._prefix) + 1 :].partition(b"}:s:")
            ended.append(_reference(int(bucket), name))
        return (None if following == b"0" else following), tuple(ended)

    def quarantine(
        self, reference: Reference, field: bytes, observed: bytes, budget: Budget
    ) -> bool:
        """See `Store.quarantine`."""
        keys = (self._key(b"s", reference), self._key(b"q", reference))
        return bool(
            self._ask(self._quarantine, keys, (field, observed, b"%d" % _QUARANTINE_MS), budget)
        )

    def probe(self, budget: Budget) -> None:
        """See `Store.probe`."""
        self._ask(
            self._probe,
            (self._tagged(b"o", 0, b"probe-" + secrets.token_hex(6).encode()),),
            (),
            budget,
        )

    def close(self) -> None:
        """See `Store.close`."""
        self._caller.close()

    def _ask(
        self, script: Any, keys: tuple[bytes, ...], arguments: tuple[bytes, ...], budget: Budget
    ) -> Any:
        """Call a script that may be repeated: an unknown outcome is no outcome."""
        try:
            return self._caller.call(script, keys, arguments, budget)
        except OutcomeUnknown as error:
            raise StoreUnavailable(str(error)) from error

    def _tagged(self, kind: bytes, bucket: int, name: bytes) -> bytes:
        return b"%b{%d}:%b:%b" % (self._prefix, bucket, kind, name)

    def _key(self, kind: bytes, reference: Reference) -> bytes:
        return self._tagged(kind, reference.bucket, _name(reference))

    def _add_finish(self, reference: Reference, finish: Finish, arguments: list[bytes]) -> None:
        if finish is None:
            arguments.append(_EMPTY)
            return
        own = (
            self._tagged(b"u", reference.bucket, _EMPTY),
            self._tagged(b"s", reference.bucket, _EMPTY),
        )
        if isinstance(finish, Destroy):
            arguments += (
                b"end",
                *own,
                finish.kind.encode(),
                _EMPTY,
                _EMPTY,
                _EMPTY,
                _EMPTY,
                _EMPTY,
            )
            return
        bind = finish.bind if isinstance(finish, Move) else finish
        bucket = finish.to.bucket if isinstance(finish, Move) else reference.bucket
        arguments += (
            b"move" if isinstance(finish, Move) else b"bind",
            *own,
            self._tagged(b"u", bucket, _EMPTY),
            self._tagged(b"s", bucket, _EMPTY),
            *_bind_arguments(bind),
        )

    def _outcome(  # noqa: PLR0911 (one for each of the script's codes)
        self, reply: list[Any], changes: tuple[Change, ...], finish: Finish, reference: Reference
    ) -> WriteOutcome:
        match reply[0]:
            case 0:
                bucket = finish.to.bucket if isinstance(finish, Move) else reference.bucket
                fields = _paired(reply[6]) if len(reply) > 6 else None  # noqa: PLR2004
                return Written(
                    _written_record(reply[1], reply[2], fields, permanent=reply[5] == 1),
                    _results(changes, reply[3]),
                    tuple(_reference(bucket, name) for name in reply[4]),
                )
            case 1:
                return Missing()
            case 2:
                return Gone(reply[1].decode())
            case 3:
                return Conflicting(dict(zip(reply[1::2], reply[2::2], strict=True)))
            case 4:
                return Refused(reply[1], int(reply[2]))
            case 5:
                return TooLarge(reply[1].decode(), reply[2], reply[3])
            case 7:
                return NotACounter(reply[1])
            case 8:
                return StaleStamp(int(reply[1]))
            case 9:
                return Unreadable()
            case _:
                return _newer(reply[1])


def _name(reference: Reference) -> bytes:
    return urlsafe_b64encode(reference.digest)[:22]


def _reference(bucket: int, name: bytes) -> Reference:
    return Reference(bucket, urlsafe_b64decode(name + b"=="))


def _bind_arguments(bind: Bind | None) -> tuple[bytes, bytes, bytes, bytes]:
    if bind is None:
        return (_EMPTY, _EMPTY, _EMPTY, b"0")
    stamp = _EMPTY if bind.stamp is None else b"%d" % bind.stamp
    return (_name(bind.user), stamp, bind.label, b"%d" % bind.limit)


def _optional(value: int | None) -> bytes:
    return _EMPTY if value is None else b"%d" % value


def _add_change(change: Change, arguments: list[bytes]) -> None:
    if isinstance(change, Write):
        _add_write(change, arguments)
    elif isinstance(change, Add):
        delta = b"%d" % change.delta
        arguments += (
            b"A",
            change.field,
            delta,
            _optional(change.minimum),
            _optional(change.maximum),
        )
    elif isinstance(change, Take):
        arguments += (b"T", change.prefix, change.into)
    elif isinstance(change, CheckCount):
        arguments += (b"N", change.prefix, b"%d" % change.count)
    elif change.base is None:
        arguments += (b"X", change.field)
    else:
        arguments += (b"C", change.field, change.base)


def _add_write(write: Write, arguments: list[bytes]) -> None:
    field, value, base = write.field, write.value, write.base
    if value is None:
        if isinstance(base, bytes):
            arguments += (b"d", field, base)
        else:
            arguments += (b"D", field)
    elif isinstance(base, bytes):
        arguments += (b"s", field, value, base)
    elif base is None:
        arguments += (b"n", field, value)
    else:
        arguments += (b"S", field, value)


def _paired(flat: list[bytes]) -> dict[bytes, bytes]:
    pairs = iter(flat)
    return dict(zip(pairs, pairs, strict=True))


def _record(slid: int, flat: list[bytes]) -> Record:
    return _record_of(slid, _paired(flat))


def _record_of(slid: int, fields: dict[bytes, bytes]) -> Record:
    return _written_record(slid, fields[b"\0m"], fields)


def _written_record(
    slid: int, birth: bytes, fields: dict[bytes, bytes] | None, *, permanent: bool = False
) -> Record:
    if birth[:1] != ENVELOPE:
        _newer(birth[:1])
    seen, label = None, _EMPTY
    if fields is not None:
        fields.pop(b"\0m", None)
        fields.pop(b"\0u", None)
        label = fields.pop(b"\0l", _EMPTY)
        if (raw := fields.pop(b"\0s", None)) is not None:
            seen = int(raw)
    return Record(int(birth[9:22]), int(birth[22:35]), seen, bool(slid), fields, label, permanent)


def _results(changes: tuple[Change, ...], raw: list[Any]) -> tuple[int | dict[bytes, bytes], ...]:
    answering = (change for change in changes if isinstance(change, (Add, Take)))
    return tuple(
        int(result) if isinstance(change, Add) else _paired(result)
        for change, result in zip(answering, raw, strict=True)
    )


def _newer(version: bytes) -> Never:
    message = (
        f"the session has envelope version {version!r}, this release knows {ENVELOPE!r}: "
        "a newer release wrote it, and one that knows it must answer"
    )
    raise StoreUnavailable(message)
