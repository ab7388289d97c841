"""The serializer: it accepts a closed list of types, and equal values have equal bytes.

Integers that fit 64 bits are stored as decimal text, so that a plain value and a counter are the
same. Everything else is MessagePack, whose first byte is then always 0x80 or above, with extension
types for the types that MessagePack lacks. Decoding builds only the types listed here; it cannot
call code that the bytes name.

Special cases: subclasses come back as their base (see `plain`), strings with lone surrogates are
refused because they have no UTF-8, NaN is kept, and equal sets encode equally.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
from markupsafe import Markup

from .errors import Corrupt, Unserializable
from .plain import CONTAINERS, IMMUTABLE, MAX_DEPTH, plain

__all__ = ["IMMUTABLE", "INT64_MAX", "INT64_MIN", "MAX_DEPTH", "decode", "encode"]

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

_SECONDS_AND_MICROSECONDS = struct.Struct(">qi")

_FIRST_TAG = 0x80
_SMALL = {b"%d" % number: number for number in range(1024)}
"""Most stored integers are quantities. Looking one up costs a fifth of the time to parse it."""


def encode(value: object, path: str = "value") -> bytes:
    """Return the canonical bytes of `value`.

    Args:
        value: any nesting of None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset,
            datetime, date, time, timedelta, Decimal, UUID and Markup, and what Flask stores as one
            of these: subclasses, dataclasses and objects with `__html__`.
        path: the value's name in errors, such as `session['prefs']`.

    Raises:
        Unserializable: another type, a lone surrogate, or nesting deeper than MAX_DEPTH.
    """
    if type(value) is int and INT64_MIN <= value <= INT64_MAX:
        return b"%d" % value
    try:
        if type(value) not in IMMUTABLE:
            _bound(value, 1)
        return _pack(value)
    except (Unserializable, ValueError):
        # Rare. Only this slow way converts values, and finds the path of a wrong one.
        base = plain(value, path, _pack)
    if type(base) is int:
        return encode(base, path)
    try:
        return _pack(base)
    except ValueError as error:  # a container with 2**32 items or more
        raise Unserializable(f"{path} cannot be stored: {error}") from error


def decode(data: bytes) -> Any:
    """Return the value that `encode` made these bytes of.

    Raises:
        Corrupt: `encode` cannot have made them.
    """
    try:
        small = _SMALL.get(data)
        if small is not None:
            return small
        if data[0] < _FIRST_TAG:
            return _decimal(data)
        value = _unpack(data, 0)
        if type(value) not in IMMUTABLE:
            _bound(value, 1)
    except (
        OSError,  # a time zone's name that is a folder of the database
        ValueError,
        TypeError,
        IndexError,
        RecursionError,
        OverflowError,
        InvalidOperation,
        KeyError,
    ) as error:
        raise Corrupt(f"unreadable bytes ({type(error).__name__})") from error
    return value


def _decimal(data: bytes) -> int:
    value = int(data)
    if data != b"%d" % value:
        raise ValueError(data)
    return value


def _bound(value: Any, depth: int) -> None:
    """Refuse types that are not listed, and nesting that is too deep.

    MessagePack would accept a bytearray, a memoryview and extension types of any code.
    """
    if type(value) not in CONTAINERS:
        raise ValueError(f"{type(value).__qualname__} is not one of the listed types")
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    for item in value:
        if type(item) not in IMMUTABLE:
            _bound(item, depth + 1)
    if type(value) is dict:
        for item in value.values():
            if type(item) not in IMMUTABLE:
                _bound(item, depth + 1)


def _pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value, default=_extend, strict_types=True, use_bin_type=True)
    return packed


def _extend(value: Any) -> msgpack.ExtType:
    code, body = _EXTENSIONS[type(value)]
    return msgpack.ExtType(code, body(value))


def _sorted_items(items: set[object] | frozenset[object]) -> bytes:
    encoded = sorted(_pack(item) for item in items)
    return _pack(encoded)


def _moment(value: datetime | time) -> bytes:
    return _pack([value.replace(tzinfo=None).isoformat(), value.fold, _zone_name(value.tzinfo)])


def _zone_name(zone: tzinfo | None) -> str | list[Any] | None:
    """Return None for naive, the key of a ZoneInfo, [seconds, microseconds, name] of an offset."""
    if zone is None:
        return None
    if type(zone) is ZoneInfo and zone.key is not None:
        return str.__str__(zone.key)  # a key, and a name below, may be members of a StrEnum
    if type(zone) is timezone:
        offset = zone.utcoffset(None)
        parts: list[Any] = [offset.days * 86_400 + offset.seconds, offset.microseconds]
        name = zone.tzname(None)
        return parts if name == timezone(offset).tzname(None) else [*parts, str.__str__(name)]
    raise Unserializable(
        f"the time zone {zone!r} cannot be stored; use datetime.timezone or zoneinfo.ZoneInfo"
    )


def _zone(name: str | list[Any] | None) -> tzinfo | None:
    if name is None:
        return None
    if isinstance(name, str):
        return ZoneInfo(name)
    seconds, microseconds, *given = name
    return timezone(timedelta(seconds=seconds, microseconds=microseconds), *given)


def _unpack(data: bytes, depth: int) -> Any:
    # Each level of extension types puts another MessagePack decoder on the C stack, with 40 KiB.
    # 200 planted levels killed the process. `_HOOKS` has one hook for each allowed level.
    return msgpack.unpackb(
        data, raw=False, strict_map_key=False, ext_hook=_HOOKS[depth], timestamp=3
    )


def _restored_moment(kind: Any, body: bytes, depth: int) -> Any:
    text, fold, zone = _unpack(body, depth)
    return kind.fromisoformat(text).replace(fold=fold, tzinfo=_zone(zone))


def _duration(value: timedelta) -> bytes:
    return _SECONDS_AND_MICROSECONDS.pack(value.days * 86_400 + value.seconds, value.microseconds)


def _restored_duration(body: bytes, _: int) -> timedelta:
    seconds, microseconds = _SECONDS_AND_MICROSECONDS.unpack(body)
    return timedelta(seconds=seconds, microseconds=microseconds)


def _restored_items(body: bytes, depth: int) -> list[Any]:
    return [_unpack(item, depth) for item in _unpack(body, depth)]


_KINDS: Final[tuple[tuple[type, Callable[[Any], bytes], Callable[[bytes, int], Any]], ...]] = (
    (int, lambda value: b"%x" % value, lambda body, _: int(body, 16)),
    (tuple, lambda value: _pack(list(value)), lambda body, depth: tuple(_unpack(body, depth))),
    (set, _sorted_items, lambda body, depth: set(_restored_items(body, depth))),
    (frozenset, _sorted_items, lambda body, depth: frozenset(_restored_items(body, depth))),
    (datetime, _moment, partial(_restored_moment, datetime)),
    (date, lambda value: value.isoformat().encode(), lambda b, _: date.fromisoformat(b.decode())),
    (time, _moment, partial(_restored_moment, time)),
    (timedelta, _duration, _restored_duration),
    (Decimal, lambda value: str(value).encode(), lambda body, _: Decimal(body.decode())),
    (UUID, lambda value: value.bytes, lambda body, _: UUID(bytes=body)),
    (Markup, lambda value: value.encode(), lambda body, _: Markup(body.decode())),  # noqa: S704 (it was Markup when the application stored it)
)
"""Types that MessagePack lacks, each with what makes and reads its bytes, in the order of their
codes. The codes are stored, so a new type comes last."""

_EXTENSIONS: Final = {kind: (code, body) for code, (kind, body, _) in enumerate(_KINDS, 1)}
_RESTORERS: Final = {code: restore for code, (_, _, restore) in enumerate(_KINDS, 1)}


def _restore(depth: int, code: int, body: bytes) -> Any:
    restore = _RESTORERS.get(code)
    if restore is None:
        raise ValueError(f"unknown extension type {code}")
    try:
        return restore(body, depth)
    except (struct.error, AttributeError) as error:
        raise ValueError(str(error)) from error


_HOOKS: Final = tuple(partial(_restore, depth) for depth in range(1, MAX_DEPTH + 2))
"""The hooks that restore extension types, by depth. There is none for a depth that is refused."""
