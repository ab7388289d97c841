"""Three-way merge of one field: its value before, and what each of two requests made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final, NoReturn, TypeAlias
from uuid import UUID

from .codec import encode
from .limits import MOST_FLASHES


class Absent(Enum):
    """The value of a field that does not exist."""

    ABSENT = auto()


ABSENT: Final = Absent.ABSENT


class Unmergeable(Exception):
    """Both requests changed the same thing, and no rule says which change to keep."""


Merge: TypeAlias = Callable[[Any, Any, Any], Any]
"""`merge(base, mine, theirs)` returns the merged value, or ABSENT to delete the field, or raises
Unmergeable. Any of the three may be ABSENT. It must not change its arguments."""

_SAME_MEANS_AGREED = (type(None), bool, str, bytes, UUID, datetime)


def three_way(base: Any, mine: Any, theirs: Any) -> Any:
    """Merge dicts leaf by leaf; a leaf that both requests changed is a conflict.

    That is so even if both made it equal (base 1, mine 2, theirs 2 is two additions), unless both
    deleted it or both set the same None, bool, str, bytes, UUID or datetime. The same holds if
    there was nothing before. Two new dicts are merged as if there had been an empty one.
    """
    if _equal(mine, base):
        return theirs
    if _equal(theirs, base):
        return mine
    if mine is ABSENT and theirs is ABSENT:
        return ABSENT
    if type(mine) is type(theirs) and isinstance(mine, _SAME_MEANS_AGREED) and _equal(mine, theirs):
        return mine
    before = {} if base is ABSENT else base
    if type(before) is dict and type(mine) is dict and type(theirs) is dict:
        result = {}
        for key in [*theirs, *(key for key in mine if key not in theirs)]:
            sides = (side.get(key, ABSENT) for side in (before, mine, theirs))
            value = three_way(*sides)
            if value is not ABSENT:
                result[key] = value
        return result
    raise Unmergeable


def last_wins(base: Any, mine: Any, theirs: Any) -> Any:  # noqa: ARG001 (the signature of a merge)
    """Take this request's value."""
    return mine


def first_wins(base: Any, mine: Any, theirs: Any) -> Any:  # noqa: ARG001 (the signature of a merge)
    """Keep the value that is stored."""
    return theirs


def strict(base: Any, mine: Any, theirs: Any) -> NoReturn:  # noqa: ARG001 (the signature of a merge)
    """Settle nothing: two requests that changed the field conflict, even if the values are equal.

    A field with this rule also counts as read by each request that writes it.
    """
    raise Unmergeable


def flashed(base: Any, mine: Any, theirs: Any) -> Any:
    """Merge flashed messages as `appended` does, and keep the newest."""
    merged = appended(base, mine, theirs)
    return merged if merged is ABSENT else merged[-MOST_FLASHES:]


def appended(base: Any, mine: Any, theirs: Any) -> Any:
    """Merge lists that are appended to and emptied, such as Flask's flashed messages.

    What this request removed is removed. What either request added stays, in the order of arrival.
    """
    before, ours, stored = ([] if side is ABSENT else list(side) for side in (base, mine, theirs))
    kept, mine_new = _difference(before, ours)
    removed = Counter(encode(item) for item in before)
    removed.subtract(encode(item) for item in kept)
    merged = []
    for item in stored:
        key = encode(item)
        if removed[key] > 0:
            removed[key] -= 1
        else:
            merged.append(item)
    merged += mine_new
    return merged or ABSENT


BUILT_IN: Final[Mapping[str, Merge]] = {
    "_flashes": flashed,
    "_fresh": last_wins,
    "_permanent": last_wins,
    "_id": last_wins,
    "_remember": last_wins,
    # Two tabs may each make the first token. The form that was rendered first must stay valid.
    "csrf_token": first_wins,
}
"""Rules for the fields that Flask, Flask-Login and Flask-WTF write themselves."""

NAMED: Final[Mapping[str, Merge]] = {
    "three-way": three_way,
    "last": last_wins,
    "first": first_wins,
    "append": appended,
    "strict": strict,
}
"""Rules by their names in `UNSTICKY_MERGE`."""


def _difference(before: list[Any], after: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return the items of `after` that were there before, and those that are new."""
    available = Counter(encode(item) for item in before)
    kept, new = [], []
    for item in after:
        key = encode(item)
        if available[key] > 0:
            available[key] -= 1
            kept.append(item)
        else:
            new.append(item)
    return kept, new


def _equal(one: Any, other: Any) -> bool:
    if one is ABSENT or other is ABSENT:
        return one is other
    # Compares bytes, so that True and 1, 1 and 1.0, or a tuple and a list are different.
    return encode(one) == encode(other)
