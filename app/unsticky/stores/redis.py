"""Redis and Valkey, from 6.2 and 7.2: a session is one hash, a change is one script.

After the prefix a key has the bucket as its hash tag: `{b}:s:` session, `{b}:r:` the results that
end with it, `{b}:u:` a user's index, `{b}:o:` an operation's result, `{b}:q:` quarantine. A single
node has the same names, so that a move to a cluster renames nothing.
"""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import b2a_base64
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgpack

from ..cookie import Reference
from ..errors import OutcomeUnknown, StoreUnavailable, repeatable
from ..limits import OPERATION_LIFETIME_MS, Lifetimes
from .base import (
    QUARANTINE_LIFETIME_MS,
    Add,
    Bind,
    Caps,
    Change,
    CheckNames,
    Conflicting,
    Deadline,
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
    SetLimits,
    StaleStamp,
    Take,
    TooLarge,
    Unreadable,
    Wait,
    Write,
    WriteOutcome,
    Written,
)
from .client import Client, Script
from .reading import commands_for, found_in, listed_of, newer, paired, record_of

SWEEP_KEYS: Final = 1000
"""How many keys one step of a sweep looks at: about a millisecond of the server."""

_EMPTY: Final = b""


class RedisStore:
    """The contract kept by Lua scripts, and for an ordinary read by plain commands.

    With `wait`, a change is answered once so many replicas have it, or raises `OutcomeUnknown`.

    Attributes:
        client: the client of the server. Applications may call it for their own keys.
    """

    keeps_buckets = False

    def __init__(self, client: Client, prefix: str, caps: Caps, wait: Wait | None = None) -> None:
        self.client = client
        self._wait = wait
        self._prefix = prefix.encode()
        self._caps = (b"%d" % caps.fields, b"%d" % caps.bytes)
        self._read, self._change, self._write = (
            script_of("read"),
            script_of("change"),
            script_of("write"),
        )
        self._sessions, self._end_all = script_of("sessions"), script_of("end_all")
        self._quarantine, self._probe = script_of("quarantine"), script_of("probe")
        self._sweep = script_of("sweep")
        self._last: tuple[Lifetimes | None, tuple[bytes, bytes, bytes]] = (None, (_EMPTY,) * 3)

    @property
    def description(self) -> str:
        """See `Store.description`."""
        return self.client.address

    @property
    def round_trips(self) -> int:
        """How many calls this process has sent."""
        return self.client.round_trips

    def read(
        self, reference: Reference, lifetimes: Lifetimes, deadline: Deadline, *, slide: bool = True
    ) -> Record | Missing | Gone | Unreadable:
        """See `Store.read`."""
        key = self._key(b"s", reference)
        replies = self._replies(commands_for(key), key, deadline)
        found = found_in(replies, lifetimes, slide=slide)
        if found is not None:
            return found
        idle, unused, _ = self._limits(lifetimes)
        reply = self._ask(self._read, (key,), (idle, unused, b"1" if slide else _EMPTY), deadline)
        if reply[0] != 0:
            return _absent(reply)
        fields = paired(reply[2])
        return record_of(reply[1], fields[b"\0m"], fields.get(b"\0i", _EMPTY), fields)

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
        """See `Store.write`."""
        session = self._key(b"s", reference)
        what: list[bytes] = []
        for change in changes:
            _add_change(change, what)
        moved = (self._key(b"s", finish.to),) if isinstance(finish, Move) else ()
        bucket = finish.to.bucket if isinstance(finish, Move) else reference.bucket
        finishing = _finish_arguments(finish, bucket)
        kept, entry, result = self._result(
            reference, operation, finish, (session, *moved), (*finishing, *what)
        )
        idle, unused, absolute = self._limits(lifetimes)
        script = self._change
        loads, lasts = b"1" if load else _EMPTY, b"%d" % kept
        arguments: tuple[bytes, ...] = (idle, *self._caps, loads, lasts, unused)
        # "L" is the mark of a limit, or a value; with a value the longer script does the same.
        if create or finish is not None or entry or b"L" in what:
            script = self._write
            # Not part of the operation's name: a creation that is resent is the same operation.
            nonce = urlsafe_b64encode(secrets.token_bytes(6)) if create else _EMPTY
            arguments += (absolute, nonce, entry, *finishing)
        keys, arguments = (session, result, *moved), (*arguments, *what)
        if script is self._change:
            reply = self._changed(script, keys, arguments, deadline)
        else:
            reply = self._written(reference, keys, arguments, finish, operation, deadline)
        if reply[0] != 0:
            return _refused(reply)
        _, slid, birth, results, ended, own, user, *loaded = reply
        record = record_of(slid, birth, own, paired(loaded[0]) if loaded else None)
        if finish is not None or operation.makes_once:
            record = record._replace(user=user)
        return Written(
            record,
            _results(() if operation.makes_once else changes, results),
            tuple(named_reference(bucket, name) for name in ended),
        )

    def sessions(self, user: Reference, deadline: Deadline) -> tuple[Listed, ...]:
        """See `Store.sessions`."""
        prefix = self._tagged(b"s", user.bucket, _EMPTY)
        reply = self._ask(self._sessions, (self._key(b"u", user),), (prefix,), deadline)
        listed = []
        for place in range(0, len(reply), 5):
            name, *held = reply[place : place + 5]
            listed.append(listed_of(named_reference(user.bucket, name), *held))
        return tuple(sorted(listed, key=lambda entry: entry.record.created))

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
        """See `Store.end_all`; a second time it changes nothing, so no result is kept."""
        del operation
        kept = name_of(keep) if keep is not None and keep.bucket == user.bucket else _EMPTY
        arguments = (
            self._tagged(b"s", user.bucket, _EMPTY),
            kept,
            _EMPTY if stamp is None else b"%d" % stamp,
            self._limits(lifetimes)[2],
            b"1" if forget else _EMPTY,
        )
        keys = (self._key(b"u", user), *self._own_write(user.bucket))
        reply = self._changed(self._end_all, keys, arguments, deadline)
        return tuple(named_reference(user.bucket, name) for name in reply)

    def sweep(
        self, cursor: bytes, deadline: Deadline
    ) -> tuple[bytes | None, tuple[Reference, ...]]:
        """See `Store.sweep`."""
        arguments = (cursor, self._all_sessions(), b"%d" % SWEEP_KEYS)
        with repeatable():
            following, keys = self._changed(self._sweep, self._own_write(0), arguments, deadline)
        return (None if following == b"0" else following), tuple(map(self._session_at, keys))

    def quarantine(
        self, reference: Reference, field: bytes, observed: bytes, deadline: Deadline
    ) -> bool:
        """See `Store.quarantine`."""
        keys = (self._key(b"s", reference), self._key(b"q", reference))
        return bool(
            self._ask(
                self._quarantine, keys, (field, observed, b"%d" % QUARANTINE_LIFETIME_MS), deadline
            )
        )

    def probe(self, deadline: Deadline) -> None:
        """See `Store.probe`."""
        key = self._tagged(b"o", 0, b"probe-" + secrets.token_hex(6).encode())
        with repeatable():
            self._changed(self._probe, (key,), (), deadline)

    def close(self) -> None:
        """See `Store.close`."""
        self.client.close()

    def _written(
        self,
        reference: Reference,
        keys: tuple[bytes, ...],
        arguments: tuple[bytes, ...],
        finish: Finish,
        operation: Operation,
        deadline: Deadline,
    ) -> Any:
        """Run `write.lua` and return its reply."""
        del reference, operation
        ends = isinstance(finish, Destroy)
        return self._changed(self._write, keys, arguments, deadline, ends=ends)

    def _replies(self, commands: Sequence[bytes], key: bytes, deadline: Deadline) -> list[Any]:
        """Send the commands of a read, which have the same effect if they run twice."""
        try:
            return self.client.replies(commands, key, deadline, "read")
        except OutcomeUnknown as error:
            raise StoreUnavailable(str(error)) from error

    def _ask(
        self, script: Any, keys: tuple[bytes, ...], arguments: tuple[bytes, ...], deadline: Deadline
    ) -> Any:
        """Call a script that has the same effect if it runs twice: nothing is ever unknown."""
        try:
            return self.client.call(script, keys, arguments, deadline)
        except OutcomeUnknown as error:
            raise StoreUnavailable(str(error)) from error

    def _changed(
        self,
        script: Any,
        keys: tuple[bytes, ...],
        arguments: tuple[bytes, ...],
        deadline: Deadline,
        *,
        ends: bool = False,
    ) -> Any:
        """Call a script; if it made a change, or had made it before, wait for the replicas.

        Such a script writes something each time; see `Client.call_and_wait`. If it `ends` a session
        that another call has ended, replicas must have that.
        """
        if self._wait is None:
            return self.client.call(script, keys, arguments, deadline)
        reply, replicas = self.client.call_and_wait(script, keys, arguments, deadline, self._wait)
        answers = (0, 2) if ends else (0,)  # 2: it has ended
        refused = (script is self._change or script is self._write) and reply[0] not in answers
        if replicas < self._wait.replicas and not refused:
            raise OutcomeUnknown(f"{replicas} of {self._wait.replicas} replicas have the change")
        return reply

    def _own_write(self, bucket: int) -> tuple[bytes, ...]:
        """Return the key that a script writes if it changes nothing and the caller waits."""
        return () if self._wait is None else (self._tagged(b"o", bucket, b"wait"),)

    def _limits(self, lifetimes: Lifetimes) -> tuple[bytes, bytes, bytes]:
        known, packed = self._last
        if lifetimes is not known:  # most applications have one
            absolute = lifetimes.absolute or 0
            packed = (b"%d" % lifetimes.idle, b"%d" % lifetimes.unused, b"%d" % absolute)
            self._last = (lifetimes, packed)
        return packed

    def _tagged(self, kind: bytes, bucket: int, name: bytes) -> bytes:
        return b"%b{%d}:%b:%b" % (self._prefix, bucket, kind, name)

    def _key(self, kind: bytes, reference: Reference) -> bytes:
        return self._tagged(kind, reference.bucket, name_of(reference))

    def _all_sessions(self) -> bytes:
        """Return the pattern of the keys of sessions."""
        return re.sub(rb"([*?\[\]\\])", rb"\\\1", self._prefix) + b"{*}:s:*"

    def _session_at(self, key: bytes) -> Reference:
        """Return what `_key` named as a session."""
        bucket, _, name = key[len(self._prefix) + 1 :].partition(b"}:s:")
        return named_reference(int(bucket), name)

    def _result(
        self,
        reference: Reference,
        operation: Operation,
        finish: Finish,
        keys: tuple[bytes, ...],
        what: tuple[bytes, ...],
    ) -> tuple[int, bytes, bytes]:
        """Return for how long, how (see `write.lua`) and where the operation's result is kept."""
        named = (operation.request, b"%d" % operation.ordinal)
        if operation.makes_once:
            name = digest_of(b"make", *named, keys[0])
            return operation.kept, b"make", self._tagged(b"o", reference.bucket, name)
        # The new reference is part of the name. A resend with another new reference is another
        # operation: it finds the session moved, and must not get an answer for its reference.
        name = digest_of(b"write", *named, b"%d" % len(keys), *keys, *what)
        if not operation.ends_with_session:
            return operation.kept, _EMPTY, self._tagged(b"o", reference.bucket, name)
        if isinstance(finish, (Destroy, Move)):
            # Earlier results end with this session: only a resend gets how it ended.
            kept = min(operation.kept, OPERATION_LIFETIME_MS)
            return kept, _EMPTY, self._tagged(b"o", reference.bucket, name)
        return operation.kept, name, self._key(b"r", reference)


def _refused(reply: list[Any]) -> WriteOutcome:
    """Return the outcome of a write that changed nothing."""
    match reply[0]:
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
        case _:
            return _absent(reply)


def _absent(reply: list[Any]) -> Missing | Gone | Unreadable:
    match reply[0]:
        case 1:
            return Missing()
        case 2:
            return Gone(reply[1].decode(), done=len(reply) > 2)
        case 9:
            return Unreadable()
        case _:
            return newer(reply[1])


def script_of(name: str) -> Script:
    """Return a script of the folder `lua`."""
    return Script.from_file(Path(__file__).parent / "lua" / f"{name}.lua")


def _urlsafe(data: bytes) -> bytes:
    """Return URL-safe base64 in half the time of `urlsafe_b64encode`: every call does this."""
    return b2a_base64(data, newline=False).translate(_URLSAFE)


_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")


def name_of(reference: Reference) -> bytes:
    """Return 22 characters that name a session or a user."""
    return _urlsafe(reference.digest)[:22]


def entry_of(reference: Reference, bucket: int) -> bytes:
    """Return the name of a session or a user where what is named is in `bucket` if not said."""
    return name_of(reference) + (b"" if reference.bucket == bucket else b"%d" % reference.bucket)


def named_reference(bucket: int, name: bytes) -> Reference:
    """Return what `entry_of` named."""
    return Reference(int(name[22:] or bucket), urlsafe_b64decode(name[:22] + b"=="))


def digest_of(*parts: bytes) -> bytes:
    """Return 16 characters that name these parts; MessagePack keeps the parts apart."""
    return _urlsafe(blake2b(msgpack.packb(parts), digest_size=12).digest())


def _finish_arguments(finish: Finish, bucket: int) -> tuple[bytes, ...]:
    if finish is None:
        return (_EMPTY,)
    if isinstance(finish, Destroy):
        return (b"end", finish.kind.encode())
    bind = finish.bind if isinstance(finish, Move) else finish
    if not isinstance(bind, Bind):
        return (b"unbind" if isinstance(finish, Move) and finish.unbind else b"move",)
    stamp, limit = _optional(bind.stamp), b"%d" % bind.limit
    return (b"bind", entry_of(bind.user, bucket), stamp, bind.label, limit, bind.name)


def _optional(value: int | None) -> bytes:
    return _EMPTY if value is None else b"%d" % value


def _add_change(change: Change, arguments: list[bytes]) -> None:
    """Append a change as `parsed.lua` reads it."""
    if isinstance(change, Write):
        _add_write(change, arguments)
    elif isinstance(change, Add):
        bounds = _optional(change.minimum), _optional(change.maximum)
        arguments += (b"A", change.field, b"%d" % change.delta, *bounds)
    elif isinstance(change, Take):
        arguments += (b"T", change.prefix, change.into)
    elif isinstance(change, CheckNames):
        arguments += (b"N", change.prefix, b"%d" % len(change.names), *change.names)
    elif isinstance(change, SetLimits):
        arguments += (b"L", b"%d" % (change.idle or 0), b"%d" % (change.absolute or 0))
    elif change.base is None:
        arguments += (b"X", change.field)
    else:
        arguments += (b"C", change.field, change.base)


def _add_write(write: Write, arguments: list[bytes]) -> None:
    field, value, base = write.field, write.value, write.base
    if isinstance(base, bytes):
        arguments += (b"d", field, base) if value is None else (b"s", field, value, base)
    elif base is None:
        arguments += (b"X", field) if value is None else (b"n", field, value)
    else:
        arguments += (b"D", field) if value is None else (b"S", field, value)


def _results(changes: tuple[Change, ...], raw: list[Any]) -> tuple[int | dict[bytes, bytes], ...]:
    answering = [change for change in changes if isinstance(change, (Add, Take))]
    return tuple(
        int(result) if isinstance(change, Add) else paired(result)
        for change, result in zip(answering, raw, strict=bool(answering))
    )
