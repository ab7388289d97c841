"""Values as they are stored: the listed types as they are, others as Flask would store them.

Flask's own session stores subclasses as their base (as `json.dumps` does), multi-dicts as the first
value of each key, dataclasses as dicts, and objects with `__html__` as Markup. This module does the
same. Its error has the path of the first value that cannot be stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from markupsafe import Markup

from .errors import Unserializable

MAX_DEPTH: Final = 32
"""How deeply containers may nest."""

IMMUTABLE: Final = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        str,
        bytes,
        datetime,
        date,
        time,
        timedelta,
        Decimal,
        UUID,
        Markup,
    }
)
"""Types whose values cannot change in place, so that a value that was read is not compared."""

CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})
"""The other types that are stored."""


def plain(value: object, path: str, check: Callable[[object], object], depth: int = 1) -> Any:
    """Return `value` with all that is in it converted to the listed types.

    `path` is the value's name in errors, such as `session['prefs']`. `check` encodes a leaf, or
    raises an error that says what is wrong with it.

    Raises:
        Unserializable: a type or a time zone that cannot be stored, a lone surrogate, or nesting
            deeper than MAX_DEPTH.
    """
    base = _base(value, path)
    kind = type(base)
    if kind in IMMUTABLE:
        _checked(base, path, check)
        return base
    if depth > MAX_DEPTH:
        raise Unserializable(f"{path} is nested deeper than {MAX_DEPTH} levels")
    if kind is dict:
        return {
            _hashable(key, f"{path} key {key!r}", check, depth + 1): plain(
                item, f"{path}[{key!r}]", check, depth + 1
            )
            for key, item in base.items()
        }
    inner = plain if kind in {list, tuple} else _hashable
    return kind(
        inner(item, f"{path}[{place}]", check, depth + 1) for place, item in enumerate(base)
    )


def _hashable(value: object, path: str, check: Callable[[object], object], depth: int) -> Any:
    """Refuse what has a hash now but not once it is converted, such as a frozen dataclass."""
    base = plain(value, path, check, depth)
    try:
        hash(base)
    except TypeError as error:
        raise Unserializable(
            f"{path} is a {_name(value)}, which is stored as a {type(base).__qualname__}, "
            "so it cannot be a key of a dict or an item of a set"
        ) from error
    return base


def _checked(leaf: object, path: str, check: Callable[[object], object]) -> None:
    try:
        check(leaf)
    except UnicodeEncodeError as error:
        raise Unserializable(f"{path} holds a lone surrogate, which has no UTF-8") from error
    except Unserializable as error:
        raise Unserializable(f"{path}: {error}") from error
    except ValueError as error:  # more than 4 GiB
        raise Unserializable(f"{path} cannot be stored: {error}") from error


def _base(value: object, path: str) -> Any:
    """Return the value as one of the listed types, with its items as they are."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    try:
        for ancestor, convert in _CONVERSIONS:
            if isinstance(value, ancestor):
                return convert(value)
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in fields(value)}
    except Exception as error:  # of the application's code, such as `__html__` or `items`
        raise Unserializable(
            f"{path} is a {_name(value)}, which could not be converted to be stored: {error!r}"
        ) from error
    hint = "store its .value" if isinstance(value, Enum) else "convert it to plain values first"
    raise Unserializable(f"{path} is a {_name(value)}, which cannot be stored; {hint}")


def _name(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


class _HasHtml(type):
    def __instancecheck__(cls, value: object) -> bool:
        return not isinstance(value, type) and callable(getattr(value, "__html__", None))


class _Html(metaclass=_HasHtml):
    """Objects that say how they look in HTML: Markup's subclasses, lazy translations."""


def _datetime(value: datetime) -> datetime:
    moment = datetime.combine(datetime.date(value), datetime.timetz(value))
    zone = moment.tzinfo
    if zone is None or type(zone) is timezone or _keyed(zone) is zone:
        return moment
    keyed = _keyed(zone)
    if keyed is not None:
        return moment.replace(tzinfo=keyed)
    # Flask keeps only the instant. The offset also keeps the local time.
    offset = moment.utcoffset()
    return moment if offset is None else moment.replace(tzinfo=timezone(offset), fold=0)


def _time(value: time) -> time:
    exact = datetime.combine(date.min, value).timetz()
    keyed = _keyed(exact.tzinfo)
    return exact if keyed is None else exact.replace(tzinfo=keyed)


def _keyed(zone: tzinfo | None) -> ZoneInfo | None:
    """Return the ZoneInfo with the same key, if any; pendulum's zones are a subclass of it."""
    if type(zone) is ZoneInfo and zone.key is not None:
        return zone
    if not isinstance(zone, ZoneInfo) or zone.key is None:
        return None
    try:
        return ZoneInfo(zone.key)
    except (OSError, ValueError, KeyError):  # only the subclass knows the key
        return None


# The methods of the base types, not `str(value)` and the like, which call the subclass: for an
# Enum that would be the member's name. Dicts and sequences are called, because a multi-dict
# defines `items`, and `request.values` keeps nothing in its own storage.
_CONVERSIONS: Final[tuple[tuple[type, Callable[[Any], object]], ...]] = (
    (dict, lambda value: dict(value.items())),
    (tuple, tuple),
    (list, list),
    (bytes, bytes.__bytes__),
    (_Html, lambda value: Markup(value.__html__())),  # noqa: S704 (the value's own word)
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (set, set),
    (frozenset, frozenset),
    (UUID, lambda value: UUID(int=value.int)),
    (datetime, _datetime),
    (date, lambda value: date.fromordinal(date.toordinal(value))),
    (time, _time),
    (timedelta, timedelta.__pos__),
    (Decimal, Decimal),
)
"""How to convert a subclass to its base, in the order in which Flask looks."""

_AS_THEY_ARE: Final = (IMMUTABLE | CONTAINERS) - {datetime, time}
"""Types whose values need no conversion. A datetime or a time may have an unlisted time zone."""
