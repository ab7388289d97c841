"""What changes do to a session's fields, as `effects.Effects` does it, in MongoDB's language."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from bson import Int64

from ..base import (
    COUNTER_LIMIT,
    UNREAD,
    Add,
    Caps,
    Change,
    Check,
    CheckNames,
    SetLimits,
    Take,
    Write,
)
from .bson_documents import hexed, to_bson

Expression: TypeAlias = Any
"""An expression of MongoDB's aggregation language."""
Pipeline: TypeAlias = list[dict[str, Any]]

_LEFT: Final = "~"
"""A name that no document of any release has."""
FIELDS: Final = "$$fields"
"""The session's fields before the write; none if there is no session."""


@dataclass(slots=True)
class PipelineEffects:
    """What the changes do, as `effects.Effects` does it, in expressions.

    Attributes:
        conditions: all of them hold, or nothing is applied.
        results: one for each Add and Take, in order.
        removed: which fields are removed, of `$$this.k`.
        deleted: paths of the fields that are removed by name.
        sets: objects of fields that are set after that, in order.
    """

    conditions: list[Expression] = field(default_factory=list)
    results: list[Expression] = field(default_factory=list)
    removed: list[Expression] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    sets: list[Expression] = field(default_factory=list)
    limits: SetLimits | None = None

    @classmethod
    def of(cls, changes: tuple[Change, ...]) -> PipelineEffects:
        """Return the effects of all changes together."""
        effects = cls()
        for change in changes:
            effects._include(change)
        return effects

    def before(self) -> Pipeline:
        """Return what makes `~` of the fields without those that are removed by name.

        An expression would compare each field with each of these names.
        """
        return [{"$set": {_LEFT: "$fields"}}, {"$unset": self.deleted}] if self.deleted else []

    def after(self) -> Pipeline:
        """Return what removes `~`."""
        return [{"$unset": _LEFT}] if self.deleted else []

    def fields(self) -> Expression:
        """Return the fields afterwards."""
        kept: Expression = cond("$$alive", f"${_LEFT}", {}) if self.deleted else FIELDS
        if self.removed:
            is_kept = {"$not": [{"$or": self.removed}]}
            kept = {"$filter": {"input": {"$objectToArray": kept}, "cond": is_kept}}
            kept = {"$arrayToObject": kept}
        return {"$mergeObjects": [kept, *self.sets]} if self.sets else kept

    def _include(self, change: Change) -> None:
        match change:
            case Write(name, value, base):
                if base is not UNREAD:
                    self._compare(name, base)
                if value is None:
                    self.deleted.append(f"{_LEFT}.{hexed(name)}")
                else:
                    self._set(name, to_bson(value))
            case Add():
                self._add(change)
            case Take(prefix, into):
                taken = _under(prefix)
                self.results.append(taken)
                self.removed.append(_is_under(prefix))
                if into:
                    self.sets.append(_renamed(taken, prefix, into))
            case Check(name, base):
                self._compare(name, base)
            case CheckNames(prefix, names):
                found = {"$map": {"input": _under(prefix), "in": "$$this.k"}}
                self.conditions.append({"$setEquals": [found, [hexed(name) for name in names]]})
            case SetLimits():
                self.limits = change

    def _compare(self, name: bytes, base: bytes | None) -> None:
        value = {"$ifNull": [f"{FIELDS}.{hexed(name)}", None]}
        is_as_read = {"$eq": [value, None if base is None else to_bson(base)]}
        self.conditions.append(is_as_read)

    def _add(self, change: Add) -> None:
        now = {"$ifNull": [f"{FIELDS}.{hexed(change.field)}", Int64(0)]}
        is_number = {"$isNumber": now}
        result = cond(is_number, {"$add": [now, Int64(change.delta)]}, Int64(0))
        low = -COUNTER_LIMIT if change.minimum is None else max(change.minimum, -COUNTER_LIMIT)
        high = COUNTER_LIMIT if change.maximum is None else min(change.maximum, COUNTER_LIMIT)
        bounds = {"$gte": [result, Int64(low)]}, {"$lte": [result, Int64(high)]}
        self.conditions += [is_number, *bounds]
        self._set(change.field, result)
        self.results.append(result)

    def _set(self, name: bytes, value: Expression) -> None:
        last = self.sets[-1] if self.sets else {"$": None}
        if any(key.startswith("$") for key in last):
            self.sets.append(last := {})
        last[hexed(name)] = value


def _is_under(prefix: bytes) -> Expression:
    """Tell whether `$$this.k` is an application's field under a prefix; see `effects._under`."""
    start = hexed(prefix)
    begins = {"$eq": [{"$substrBytes": ["$$this.k", 0, len(start)]}, start]}
    is_reserved = {"$eq": [{"$substrBytes": ["$$this.k", 0, 3]}, hexed(b"\0")]}
    return {"$and": [begins, {"$not": [is_reserved]}]}


def _under(prefix: bytes) -> Expression:
    return {"$filter": {"input": {"$objectToArray": FIELDS}, "cond": _is_under(prefix)}}


def _renamed(pairs: Expression, prefix: bytes, into: bytes) -> Expression:
    rest = {"$substrBytes": ["$$this.k", len(hexed(prefix)), -1]}
    renamed = {"k": {"$concat": [hexed(into), rest]}, "v": "$$this.v"}
    return {"$arrayToObject": {"$map": {"input": pairs, "in": renamed}}}


def fits(caps: Caps) -> Expression:
    """Tell whether the session passes no cap; one that shrinks may stay above it."""
    count, size = _count("$$new"), _size("$$new")
    return {
        "$and": [
            {"$or": [{"$lte": [count, caps.fields]}, {"$lte": [count, _count(FIELDS)]}]},
            {"$or": [{"$lte": [size, caps.bytes]}, {"$lte": [size, _size(FIELDS)]}]},
        ]
    }


def _count(fields: Expression) -> Expression:
    return {"$size": {"$objectToArray": fields}}


def _size(fields: Expression) -> Expression:
    digits = {"$strLenBytes": {"$toString": "$$this.v"}}
    is_binary = {"$eq": [{"$type": "$$this.v"}, "binData"]}
    value = cond({"$isNumber": "$$this.v"}, digits, cond(is_binary, {"$binarySize": "$$this.v"}, 0))
    name = {"$divide": [{"$subtract": [{"$strLenBytes": "$$this.k"}, 1]}, 2]}
    pairs = {"$objectToArray": fields}
    return {"$sum": {"$map": {"input": pairs, "in": {"$add": [name, value]}}}}


def cond(test: Expression, yes: Expression, no: Expression) -> Expression:
    """Return one of two expressions; the other one is not evaluated."""
    return {"$cond": [test, yes, no]}
