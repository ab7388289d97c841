"""Names of fields: how a plain key or a map's entry is named in a stored session.

A field's name is a kind byte, the length of the key or map name in one byte, that name, and for a
map's entry its encoded key. Names that begin with NUL belong to the library. The layout is part of
what is stored, so it cannot change once data exists.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from .codec import decode, encode
from .errors import Corrupt, Unserializable

PLAIN: Final = b"v"
MAP: Final = b"m"

_MAX_NAME = 255
_KEY_BASES: Final[tuple[tuple[type, Callable[[Any], object]], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (bytes, bytes.__bytes__),
    (UUID, lambda key: UUID(int=key.int)),
)
_KEY_TYPES = frozenset(base for base, _ in _KEY_BASES)


def plain_field(name: object) -> bytes:
    """Return the field of the plain key `name`. A subclass of str counts as its text.

    Raises:
        Unserializable: not a str, longer than 255 bytes in UTF-8, or with a lone surrogate.
    """
    return _plain_field(name if type(name) is str else _text(name))


def map_prefix(name: object) -> bytes:
    """Return the prefix of the fields of all entries of the map `name`; see `plain_field`."""
    return _map_prefix(name if type(name) is str else _text(name))


def is_name(name: object) -> bool:
    """Return whether `name` can name a plain key or a map. If not, nothing is stored under it."""
    try:
        plain_field(name)
    except Unserializable:
        return False
    return True


def entry_field(prefix: bytes, key: object) -> bytes:
    """Return the field of one entry. Keys keep their type; subclasses count as their base.

    Raises:
        Unserializable: not a str, int, bytes or UUID, or a str with a lone surrogate.
    """
    return _entry_field(prefix, key if type(key) in _KEY_TYPES else _key(key))


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
        Corrupt: this library made no such field.
    """
    try:
        end = 2 + field[1]
        if len(field) == end or (len(field) > end and field[:1] == MAP):
            return field[2:end].decode()
        cause: Exception | None = None
    except (IndexError, UnicodeDecodeError) as error:
        cause = error
    raise Corrupt(f"unreadable field name {field!r}") from cause


@lru_cache(maxsize=4096)
def order(field: bytes) -> tuple[bytes, bool, str | bytes, str, Any]:
    """Return the sort key of a field: its name, then for a map's entry its key.

    Text is sorted by code point, numbers by size, and keys of different types by the types' names.
    A field that this library did not make comes after the others of its kind, sorted by its bytes.
    """
    kind = field[:1]
    try:
        name = name_of(field)
        if kind == PLAIN:
            return kind, False, name, "", ""
        key = decode(field[2 + field[1] :])
    except Corrupt:
        return kind, True, field, "", ""
    if type(key) not in _KEY_TYPES:
        return kind, True, field, "", ""
    return kind, False, name, type(key).__name__, key


# These come before the caches, which would mistake an object that equals a str for that str.


def _text(name: object) -> str:
    if not issubclass(type(name), str):
        raise Unserializable(f"session keys are str, not {type(name).__qualname__}: {name!r}")
    return str.__str__(name)


def _key(key: object) -> Any:
    kind = type(key)
    for base, convert in _KEY_BASES:
        if issubclass(kind, base) and kind is not bool:
            return convert(key)
    raise Unserializable(
        f"a map's keys are str, int, bytes or UUID, not {kind.__qualname__}: {key!r}"
    )


@lru_cache(maxsize=1024)
def _plain_field(name: str) -> bytes:
    return PLAIN + _prefixed(name)


@lru_cache(maxsize=1024)
def _map_prefix(name: str) -> bytes:
    return MAP + _prefixed(name)


@lru_cache(maxsize=4096, typed=True)
def _entry_field(prefix: bytes, key: object) -> bytes:
    return prefix + encode(key, "a map's key")


def _prefixed(name: str) -> bytes:
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise Unserializable(
            f"the session key {name!r} holds a lone surrogate, which has no UTF-8"
        ) from error
    if len(encoded) > _MAX_NAME:
        raise Unserializable(
            f"the session key {name[:40]!r}… has {len(encoded)} bytes; the limit is {_MAX_NAME}"
        )
    return bytes((len(encoded),)) + encoded


PERMANENT: Final = plain_field("_permanent")
"""The plain key by which Flask marks a session whose cookie outlives the browser."""

FLASHES: Final = plain_field("_flashes")
"""The plain key in which Flask keeps messages until they are shown."""
