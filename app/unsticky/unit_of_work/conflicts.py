"""Merging: what becomes of changes that the store refused because another request was faster."""

from __future__ import annotations

from collections.abc import Mapping

from ..codec import decode, encode
from ..fields import describe, name_of
from ..merge import ABSENT, Merge, Unmergeable, first_wins, three_way
from ..stores.base import UNREAD, Basis, Change, CheckNames, Write
from .changes import ChangeSet


def merge_changes(
    changes: ChangeSet,
    refused: tuple[Change, ...],
    current: Mapping[bytes, bytes | None],
    merges: Mapping[str, Merge],
    *,
    repeatable: bool,
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Merge the contested fields of a refused commit with their current values.

    `changes` takes over what was merged. If the view can run again (`repeatable`), a value that
    would silently yield to an earlier one counts as a conflict, because what the view rendered
    would be wrong.

    Returns:
        What to send next, and the names of the fields that no rule settles.

    Raises:
        Corrupt: the bytes that another request wrote cannot be read.
    """
    result: list[Change] = []
    contested: list[str] = []
    for change in refused:
        if isinstance(change, CheckNames):
            place, name = change.prefix, "keys"
        else:
            place = getattr(change, "field", b"")
            name = describe(place)
        if place not in current:
            result.append(change)
        elif not isinstance(change, Write):
            contested.append(name)
        else:
            theirs = current[place]
            rule = merges.get(name_of(place), three_way)
            try:
                value = _merged(change, theirs, rule, repeatable=repeatable)
            except Unmergeable:
                contested.append(name)
                result.append(Write(place, change.value, UNREAD))
            else:
                encoded = None if value is ABSENT else encode(value, describe(place))
                changes.rebase(place, theirs, value, encoded)
                if encoded != theirs:
                    result.append(Write(place, encoded, theirs))
    return tuple(result), tuple(contested)


def _merged(change: Write, current: bytes | None, rule: Merge, *, repeatable: bool) -> object:
    base = _decoded(change.base)
    if repeatable and base is ABSENT and rule is first_wins and change.value != current:
        raise Unmergeable
    return rule(base, _decoded(change.value), _decoded(current))


def _decoded(data: bytes | Basis | None) -> object:
    """Return the value, or ABSENT; nothing that was not read is ever contested."""
    return decode(data) if isinstance(data, bytes) else ABSENT
