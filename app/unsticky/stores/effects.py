"""What changes do to the fields of a session, worked out before anything is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .base import (
    COUNTER_LIMIT,
    UNREAD,
    Add,
    Caps,
    Change,
    Check,
    CheckNames,
    Conflicting,
    NotACounter,
    NotApplied,
    Refused,
    SetLimits,
    Take,
    TooLarge,
    Write,
)

_INTEGER: Final = re.compile(rb"-?[0-9]+")


@dataclass(slots=True)
class Effects:
    """The effects of all changes together.

    Attributes:
        sets: fields and their new values.
        deletes: fields to remove; those that are also in `sets` are set afterwards.
        results: one for each Add and Take, in order.
        limits: the session's own limits from now on, None if they stay.
        conflicts: fields that are not what was read, and what they are.
        refusals: other reasons to apply nothing.
    """

    sets: dict[bytes, bytes] = field(default_factory=dict)
    deletes: set[bytes] = field(default_factory=set)
    results: list[int | dict[bytes, bytes]] = field(default_factory=list)
    limits: SetLimits | None = None
    conflicts: dict[bytes, bytes | None] = field(default_factory=dict)
    refusals: list[NotApplied] = field(default_factory=list)

    @classmethod
    def of(
        cls, fields: Mapping[bytes, bytes], changes: tuple[Change, ...], caps: Caps
    ) -> Effects | NotApplied:
        """Return the effects, or the outcome if nothing may be applied."""
        effects = cls()
        for change in changes:
            effects._include(fields, change)
        if effects.refusals:
            return effects.refusals[0]
        if effects.conflicts:
            return Conflicting(effects.conflicts)
        return _oversized(fields, effects.on(fields), caps) or effects

    def on(self, fields: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return the fields as they are afterwards."""
        return {n: value for n, value in fields.items() if n not in self.deletes} | self.sets

    def _include(  # noqa: C901 (one branch for each kind of change)
        self, fields: Mapping[bytes, bytes], change: Change
    ) -> None:
        match change:
            case Write(name, value, base):
                if base is not UNREAD and fields.get(name) != base:
                    self.conflicts[name] = fields.get(name)
                if value is None:
                    self.deletes.add(name)
                else:
                    self.sets[name] = value
            case Add():
                outcome = _added(fields, change)
                if isinstance(outcome, int):
                    self.results.append(outcome)
                    self.sets[change.field] = b"%d" % outcome
                else:
                    self.refusals.append(outcome)
            case Take(prefix, into):
                self._take(_under(prefix, fields), prefix, into)
            case Check(name, base):
                if fields.get(name) != base:
                    self.conflicts[name] = fields.get(name)
            case CheckNames(prefix, names):
                if _under(prefix, fields).keys() != set(names):
                    self.conflicts[prefix] = None
            case SetLimits():
                self.limits = change

    def _take(self, taken: dict[bytes, bytes], prefix: bytes, into: bytes) -> None:
        self.results.append(taken)
        self.deletes.update(taken)
        if into:
            self.sets |= {into + name[len(prefix) :]: value for name, value in taken.items()}


def _oversized(
    before: Mapping[bytes, bytes], after: Mapping[bytes, bytes], caps: Caps
) -> TooLarge | None:
    """Return the cap that the session would pass. One that shrinks may stay above a cap."""
    if len(after) > len(before) and len(after) > caps.fields:
        return TooLarge("fields", len(after), caps.fields)
    size, was = (sum(len(n) + len(value) for n, value in f.items()) for f in (after, before))
    return TooLarge("bytes", size, caps.bytes) if size > was and size > caps.bytes else None


def _under(prefix: bytes, fields: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the application's fields under a prefix; names that begin with NUL are reserved."""
    return {
        name: value
        for name, value in fields.items()
        if name.startswith(prefix) and not name.startswith(b"\0")
    }


def _added(fields: Mapping[bytes, bytes], change: Add) -> int | Refused | NotACounter:
    raw = fields.get(change.field, b"0")
    if not _INTEGER.fullmatch(raw):
        return NotACounter(change.field)
    current = int(raw)
    result = current + change.delta
    low = -COUNTER_LIMIT if change.minimum is None else change.minimum
    high = COUNTER_LIMIT if change.maximum is None else change.maximum
    if not low <= result <= high or abs(result) > COUNTER_LIMIT or abs(current) > COUNTER_LIMIT:
        return Refused(change.field, current)
    return result
