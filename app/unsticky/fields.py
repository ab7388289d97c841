"""Names of merge units: how a plain key or a map's entry is called inside a session's hash.

A field is a kind byte, the length of the name in one byte, the name, and for a map's entry its
encoded key. Names that begin with NUL are the library's own. The layout is part of what is stored:
it cannot change once data exists.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from .codec import decode, encode
from .errors import Corrupt, Unserializable

PLAIN: Final = b"v"
MAP: Final = b"m"

_MAX_NAME = 255
_KEY_TYPES = frozenset({str, int, bytes, UUID})


@lru_cache(maxsize=1024)
def plain_field(name: str) -> bytes:
    """Return the field of the plain key `name`.

    Raises:
        Unserializable: not a str, or longer than 255 bytes in UTF-8.
    """
    return PLAIN + _prefixed(name)


@lru_cache(maxsize=1024)
def map_prefix(name: str) -> bytes:
    """Return what the fields of all entries of the map `name` begin with."""
    return MAP + _prefixed(name)


def entry_field(prefix: bytes, key: object) -> bytes:
    """Return the field of one entry; keys keep their type.

    Raises:
        Unserializable: not a str, int, bytes or UUID.
    """
    if type(key) not in _KEY_TYPES:
        message = f"a map's keys are str, int, bytes or UUID, not {type(key).__qualname__}: {key!r}"
        raise Unserializable(message)
    return _entry_field(prefix, key)


@lru_cache(maxsize=4096, typed=True)
def _entry_field(prefix: bytes, key: object) -> bytes:
    return prefix + encode(key, "a map's key")


@lru_cache(maxsize=4096)
def entry_key(prefix: bytes, field: bytes) -> Any:
    """Return the key of the entry whose field begins with `prefix`."""
    return decode(field[len(prefix) :])


def describe(field: bytes) -> str:
    """Return the name of a field for messages: `theme`, or `cart['tea']`."""
    try:
        name = field[2 : 2 + field[1]].decode()
        if field[:1] == PLAIN or len(field) == 2 + field[1]:
            return name
        return f"{name}[{decode(field[2 + field[1] :])!r}]"
    except (IndexError, UnicodeDecodeError, Corrupt):
        return repr(field)


def name_of(field: bytes) -> str:
    """Return the plain key, or the map's name, that a field belongs to.

    Raises:
        Corrupt: no field that this library makes.
    """
    try:
        end = 2 + field[1]
        if len(field) == end or (len(field) > end and field[:1] == MAP):
            return field[2:end].decode()
        cause: Exception | None = None
    except (IndexError, UnicodeDecodeError) as error:
        cause = error
    message = f"unreadable field name {field!r}"
    raise Corrupt(message) from cause


def _prefixed(name: str) -> bytes:
    if type(name) is not str:
        message = f"session keys are str, not {type(name).__qualname__}: {name!r}"
        raise Unserializable(message)
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        message = f"the session key {name!r} holds a lone surrogate, which has no UTF-8"
        raise Unserializable(message) from error
    if len(encoded) > _MAX_NAME:
        message = (
            f"the session key {name[:40]!r}… has {len(encoded)} bytes; the limit is {_MAX_NAME}"
        )
        raise Unserializable(message)
    return bytes((len(encoded),)) + encoded


PERMANENT: Final = plain_field("_permanent")
"""The plain key in which Flask says that the cookie outlives the browser."""
