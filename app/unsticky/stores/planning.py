"""What changes come to: worked out against a session's fields before anything is touched."""

from __future__ import annotations

import re
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
    Refused,
    SetLimits,
    Take,
    TooLarge,
    Write,
    WriteOutcome,
)

_INTEGER: Final = re.compile(rb"-?[0-9]+")


@dataclass(slots=True)
class Plan:
    """Everything that is to happen to a session's fields and limits.

    Attributes:
        sets: fields and their new values.
        deletes: fields that go; those also in `sets` come back.
        results: one for each Add and Take, in order.
        limits: the session's own limits from now on, None where they stay.
    """

    sets: dict[bytes, bytes] = field(default_factory=dict)
    deletes: set[bytes] = field(default_factory=set)
    results: list[int | dict[bytes, bytes]] = field(default_factory=list)
    limits: SetLimits | None = None
    conflicts: dict[bytes, bytes | None] = field(default_factory=dict)
    refusals: list[WriteOutcome] = field(default_factory=list)

    @classmethod
    def of(
        cls, fields: dict[bytes, bytes], changes: tuple[Change, ...], caps: Caps
    ) -> Plan | WriteOutcome:
        """Return the plan, or why nothing is to happen."""
        plan = cls()
        for change in changes:
            plan._include(fields, change)
        if plan.refusals:
            return plan.refusals[0]
        if plan.conflicts:
            return Conflicting(plan.conflicts)
        return plan._oversized(fields, caps) or plan

    def _include(  # noqa: C901 (one branch for each kind of change)
        self, fields: dict[bytes, bytes], change: Change
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

    def _oversized(self, fields: dict[bytes, bytes], caps: Caps) -> TooLarge | None:
        after = {
            name: value for name, value in fields.items() if name not in self.deletes
        } | self.sets
        if len(after) > len(fields) and len(after) > caps.fields:
            return TooLarge("fields", len(after), caps.fields)
        size = sum(len(name) + len(value) for name, value in after.items())
        before = sum(len(name) + len(value) for name, value in fields.items())
        if size > before and size > caps.bytes:
            return TooLarge("bytes", size, caps.bytes)
        return None


def _under(prefix: bytes, fields: dict[bytes, bytes]) -> dict[bytes, bytes]:
    # Names that begin with NUL are the library's own.
    return {
        name: value
        for name, value in fields.items()
        if name.startswith(prefix) and not name.startswith(b"\0")
    }


def _added(fields: dict[bytes, bytes], change: Add) -> int | Refused | NotACounter:
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
