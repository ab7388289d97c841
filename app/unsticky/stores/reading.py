"""How a session is read with plain commands, and what a server's replies say of a session.

A read is four commands in one write, which cost the server half of what the script does. If what
they say is ordinary, that is the answer. Anything else, such as an error, a session of another
release or an idle limit that has to slide, is left to `read.lua`, which reads again.

Other clients' commands may run between the four. Their order makes the answer right all the same:

1. `HDEL key ''` changes nothing, and a server that is no longer the primary refuses it. One that
   becomes a replica after it still has what it had as the primary, or refuses the rest while it
   loads, or has newer data.
2. `TIME` comes before the fields. Only a living session changes: one that was alive then had these
   fields when it was last alive, and one that these fields say had ended by then is not revived.
3. `PTTL` says only whether the idle limit has to slide. If it is out of date, another request has
   just used the session, or has ended it, which the fields show.
4. `HGETALL` returns the fields of one moment, the moment of the read.
"""

from __future__ import annotations

from typing import Any, Final, Never

from ..cookie import Reference
from ..errors import StoreUnavailable
from ..limits import Lifetimes
from .base import ENVELOPE, Gone, Listed, Missing, Record
from .documents import Session
from .replies import ErrorReply

_TIME: Final = b"*1\r\n$4\r\nTIME\r\n"

_BIRTH_LENGTH: Final = 35
_OWN_LENGTH: Final = 26


def commands_for(key: bytes) -> tuple[bytes, ...]:
    """Return the packed commands that read the session at a key."""
    part = b"$%d\r\n%b\r\n" % (len(key), key)
    return (
        b"*3\r\n$4\r\nHDEL\r\n%b$0\r\n\r\n" % part,
        _TIME,
        b"*2\r\n$4\r\nPTTL\r\n" + part,
        b"*2\r\n$7\r\nHGETALL\r\n" + part,
    )


def found_in(
    replies: list[Any], lifetimes: Lifetimes, *, slide: bool
) -> Record | Missing | Gone | None:
    """Return what the replies say of the session, None if the script has to read it.

    See the module. `slide`: whether this read slides the idle limit.
    """
    _, time, left, flat = replies
    for reply in replies:
        if isinstance(reply, ErrorReply):
            return None
    fields = paired(flat)
    if (kind := fields.get(b"\0t")) is not None:
        return Gone(kind.decode())
    if (birth := fields.get(b"\0m")) is None:
        return Missing()
    own, seen = fields.get(b"\0i"), fields.get(b"\0s")
    if (
        len(birth) != _BIRTH_LENGTH
        or not (birth.startswith(ENVELOPE) and birth[9:].isdigit())
        or not (seen is None or seen.isdigit())
        or not (own is None or (len(own) == _OWN_LENGTH and own.isdigit()))
        or left <= 0
    ):
        return None
    now = int(time[0]) * 1000 + int(time[1]) // 1000
    session = Session(
        created=int(birth[9:22]),
        ends_at=int(birth[22:]),
        expires=now + left,
        seen=None if seen is None else int(seen),
        idle=None if own is None else int(own[:13]) or None,
    )
    if session.is_past(now, lifetimes):
        return Missing()
    if slide and session.slides(now, lifetimes):
        return None
    return record_of(0, birth, own or b"", fields)


def paired(flat: list[bytes]) -> dict[bytes, bytes]:
    """Return the fields of a reply that has each name before its value."""
    pairs = iter(flat)
    return dict(zip(pairs, pairs, strict=True))


def record_of(
    slid: int, birth: bytes, own: bytes, fields: dict[bytes, bytes] | None = None
) -> Record:
    """Return the record, and remove the store's reserved fields from `fields`."""
    if not birth.startswith(ENVELOPE):
        newer(birth[:1])
    idle = (int(own[:13]) or None) if own else None
    seen, label, user = None, b"", None
    if fields is not None:
        fields.pop(b"\0m", None)
        fields.pop(b"\0i", None)
        label = fields.pop(b"\0l", b"")
        digest, name = fields.pop(b"\0u", b""), fields.pop(b"\0n", b"")
        # An old release binds without a name, so the name may be that of an earlier user.
        user = name[len(digest) :] if digest and name.startswith(digest) else b""
        if (raw := fields.pop(b"\0s", None)) is not None:
            seen = int(raw)
    return Record(int(birth[9:22]), int(birth[22:35]), seen, bool(slid), fields, label, idle, user)


def listed_of(reference: Reference, birth: bytes, seen: bytes, own: bytes, label: bytes) -> Listed:
    """Return the entry of a list."""
    record = record_of(0, birth, own)
    return Listed(reference, record._replace(seen=int(seen) if seen else None, label=label))


def newer(version: bytes) -> Never:
    """Refuse a session of another release.

    Raises:
        StoreUnavailable: always.
    """
    message = (
        f"the session has envelope version {version!r}, this release knows {ENVELOPE!r}: "
        "a newer release wrote it, and one that knows it must answer"
    )
    raise StoreUnavailable(message)
