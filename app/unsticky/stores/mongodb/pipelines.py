"""A write as a pipeline, which the server carries out in one step on one document.

It does what `planning` does to one session: the same rules, on the server, by the server's clock.
The document afterwards shows what happened, and `planning` reads the outcome from it: an operation
that was applied is among `ops`, with its answer; of one that was not, the document as it was says
why. The clock is stored as `at` by each write, and counts for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from bson import Int64

from ...limits import TOMBSTONE_LIFETIME_MS, Lifetimes
from ..base import (
    COUNTER_LIMIT,
    UNREAD,
    Add,
    Caps,
    Change,
    Check,
    CheckNames,
    Destroy,
    Operation,
    SetLimits,
    Take,
    Write,
)
from .bson_documents import UNCOUNTED, VERSION, hexed, to_bson

Expression: TypeAlias = Any
"""An expression of MongoDB's aggregation language."""
Pipeline: TypeAlias = list[dict[str, Any]]
Steps: TypeAlias = list[dict[str, Expression]]
"""Variables, each step of which may use those before."""

_ABSENT: Final = "$$REMOVE"
_FALSE: Final = {"$literal": False}
_NOW: Final = "$$now"
_FIELDS: Final = "$$fields"
"""The session's fields before the write; none if there is no session."""


def touching(lifetimes: Lifetimes) -> Pipeline:
    """Return what slides the idle limit of a living session, if it is due."""
    steps = [
        *_found(lifetimes, b""),
        {"creating": _FALSE, "use": "$$alive", "new": _FIELDS},
        *_timed(lifetimes, None),
    ]
    return [{"$replaceWith": _let(steps, _stored(_session("$$alive_ops")))}]


def writing(
    name: bytes,
    changes: tuple[Change, ...],
    operation: Operation,
    lifetimes: Lifetimes,
    caps: Caps,
    *,
    create: bool,
    finish: Destroy | None,
) -> Pipeline:
    """Return what carries out a write that ends at most the session itself.

    `name` is that of the operation (`planning.operation_name`). The rest is as in `Store.write`.
    """
    effects = _Effects.of(changes)
    emptied = {"$eq": ["$$dead", "emptied"]}
    free = {"$and": [{"$not": ["$$alive"]}, {"$or": ["$$blank", emptied]}]}
    creating = {"$and": [create, free, {"$not": [{"$and": ["$$first", emptied]}]}]}
    # A session that ended in this operation and lives has begun again since, and ends again.
    once = {"$not": ["$$first"]} if finish is None else True
    steps = [
        *_found(lifetimes, name),
        {"creating": creating},
        {"run": _cond("$$alive", once, "$$creating"), "results": effects.results},
        {"new": effects.fields()},
        {"ok": _cond("$$run", {"$and": [*effects.conditions, _fits(caps)]}, _FALSE)},
        # A resend is a use of the session, but not of one that was just created.
        {
            "use": {"$or": ["$$ok", {"$and": ["$$alive", "$$first", _is_there("$seen")]}]},
            "new": _cond("$$ok", "$$new", _FIELDS),
        },
        *_timed(lifetimes, effects.limits),
    ]
    answer: dict[str, Expression] = {
        "n": name,
        "e": {"$add": [_NOW, Int64(operation.kept)]},
        "r": "$$results",
    }
    if finish is None:
        slid = _cond({"$or": ["$$creating", "$$keep"]}, _ABSENT, Int64(1))
        answer |= {"w": operation.ends_with_session, "s": slid}
        ops = {"$concatArrays": ["$$alive_ops", _cond("$$ok", [answer], [])]}
        new = _session(ops)
    else:
        was = {"c": "$created", "e": "$ends_at", "s": "$seen", "sl": _FALSE, "i": "$idle"}
        was |= {"l": "$label", "u": {"$ifNull": ["$name", b""]}}
        answer |= {"w": _FALSE, "rec": was}
        ended = _tombstone(finish.kind, {"$concatArrays": ["$$apart_ops", [answer]]})
        new = _cond("$$ok", ended, _session("$$alive_ops"))
    return [*effects.before(), {"$replaceWith": _let(steps, _stored(new))}, *effects.after()]


@dataclass(slots=True)
class _Effects:
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
    def of(cls, changes: tuple[Change, ...]) -> _Effects:
        effects = cls()
        for change in changes:
            effects._include(change)
        return effects

    def before(self) -> Pipeline:
        """Return what makes `t` of the fields without those that are removed by name.

        An expression would compare each field with each of these names.
        """
        return [{"$set": {"t": "$fields"}}, {"$unset": self.deleted}] if self.deleted else []

    def after(self) -> Pipeline:
        """Return what removes `t`."""
        return [{"$unset": "t"}] if self.deleted else []

    def fields(self) -> Expression:
        """Return the fields afterwards."""
        kept: Expression = _cond("$$alive", "$t", {}) if self.deleted else _FIELDS
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
                    self.deleted.append(f"t.{hexed(name)}")
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
        value = {"$ifNull": [f"{_FIELDS}.{hexed(name)}", None]}
        is_as_read = {"$eq": [value, None if base is None else to_bson(base)]}
        self.conditions.append(is_as_read)

    def _add(self, change: Add) -> None:
        now = {"$ifNull": [f"{_FIELDS}.{hexed(change.field)}", Int64(0)]}
        is_number = {"$isNumber": now}
        result = _cond(is_number, {"$add": [now, Int64(change.delta)]}, Int64(0))
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
    return {"$filter": {"input": {"$objectToArray": _FIELDS}, "cond": _is_under(prefix)}}


def _renamed(pairs: Expression, prefix: bytes, into: bytes) -> Expression:
    rest = {"$substrBytes": ["$$this.k", len(hexed(prefix)), -1]}
    renamed = {"k": {"$concat": [hexed(into), rest]}, "v": "$$this.v"}
    return {"$arrayToObject": {"$map": {"input": pairs, "in": renamed}}}


def _fits(caps: Caps) -> Expression:
    """Tell whether the session passes no cap; one that shrinks may stay above it."""
    count, size = _count("$$new"), _size("$$new")
    return {
        "$and": [
            {"$or": [{"$lte": [count, caps.fields]}, {"$lte": [count, _count(_FIELDS)]}]},
            {"$or": [{"$lte": [size, caps.bytes]}, {"$lte": [size, _size(_FIELDS)]}]},
        ]
    }


def _count(fields: Expression) -> Expression:
    return {"$size": {"$objectToArray": fields}}


def _size(fields: Expression) -> Expression:
    digits = {"$strLenBytes": {"$toString": "$$this.v"}}
    is_binary = {"$eq": [{"$type": "$$this.v"}, "binData"]}
    value = _cond({"$isNumber": "$$this.v"}, digits, _cond(is_binary, _binary_size(), 0))
    name = {"$divide": [{"$subtract": [{"$strLenBytes": "$$this.k"}, 1]}, 2]}
    pairs = {"$objectToArray": fields}
    return {"$sum": {"$map": {"input": pairs, "in": {"$add": [name, value]}}}}


def _binary_size() -> Expression:
    return {"$binarySize": "$$this.v"}


def _found(lifetimes: Lifetimes, name: bytes) -> Steps:
    """Look at what is there: `alive`, `dead` (how it ended), or `blank`; else it stays as it is.

    `first` tells whether the operation `name` was applied before.
    """
    ours = {"$eq": ["$e", VERSION]}
    numbers = [{"$isNumber": name} for name in ("$created", "$ends_at", "$expires")]
    optional = [
        {"$or": [{"$isNumber": name}, {"$eq": [{"$type": name}, "missing"]}]}
        for name in ("$seen", "$idle", "$absolute")
    ]
    session = {"$and": [ours, *numbers, *optional, {"$eq": [{"$type": "$fields"}, "object"]}]}
    tombstone = {"$and": [ours, {"$eq": [{"$type": "$kind"}, "string"]}, numbers[2]]}
    names = {"$map": {"input": {"$objectToArray": "$$ROOT"}, "in": "$$this.k"}}
    nothing = {"$setIsSubset": [names, [*UNCOUNTED, "t"]]}
    lives = {
        "$and": [
            {"$gt": ["$expires", _NOW]},
            {"$or": [{"$eq": ["$ends_at", 0]}, {"$gt": ["$ends_at", _NOW]}]},
            {
                "$lt": [
                    {"$subtract": [_NOW, "$$last"]},
                    {"$ifNull": ["$idle", Int64(lifetimes.idle)]},
                ]
            },
        ]
    }
    kept = {"$filter": {"input": {"$ifNull": ["$ops", []]}, "cond": {"$gt": ["$$this.e", _NOW]}}}
    apart = {"$filter": {"input": "$$ops", "cond": {"$not": ["$$this.w"]}}}
    return [
        {"now": {"$toLong": "$$NOW"}, "session": session, "tombstone": tombstone},
        # Nothing is calculated with the times of what is not a session.
        {
            "born": _cond("$$session", "$created", _NOW),
            "last": _cond("$$session", {"$ifNull": ["$seen", "$created"]}, _NOW),
            "end": _cond("$$session", "$expires", _NOW),
        },
        {
            "alive": _cond("$$session", lives, _FALSE),
            "dead": _cond("$$tombstone", _cond({"$gt": ["$expires", _NOW]}, "$kind", None), None),
            "ops": kept,
        },
        {
            "first": {"$in": [name, {"$map": {"input": "$$ops", "in": "$$this.n"}}]},
            "fields": _cond("$$alive", "$fields", {}),
            "blank": {
                "$or": [
                    nothing,
                    {"$and": ["$$session", {"$not": ["$$alive"]}]},
                    {"$and": ["$$tombstone", {"$eq": ["$$dead", None]}]},
                ]
            },
            "known": {"$or": ["$$session", "$$tombstone", nothing]},
            # The answers that are still kept, and those that outlive the session.
            "alive_ops": _cond("$$alive", "$$ops", apart),
            "apart_ops": apart,
        },
    ]


def _timed(lifetimes: Lifetimes, limits: SetLimits | None) -> Steps:
    """Work out the times of a session that is used, or created; see `documents.Session.used`."""
    idle = _optional(limits.idle) if limits else _cond("$$creating", None, "$idle")
    absolute = _optional(limits.absolute) if limits else _cond("$$creating", None, "$absolute")
    most = (limits and limits.absolute) or lifetimes.absolute
    ends_at = {"$add": ["$$created", Int64(most)]} if most else Int64(0)
    counted = ends_at if limits else _cond("$$creating", ends_at, "$ends_at")
    own, unused, apart = (
        Int64(each) for each in (lifetimes.idle, lifetimes.unused, lifetimes.apart)
    )
    since = {"$subtract": [_NOW, "$$last"]}
    uses = {"$min": [since, {"$subtract": ["$$last", "$$born"]}]}
    in_use = {"$or": [{"$gte": [uses, apart]}, {"$gte": [since, unused]}]}
    short = {"$min": ["$$most", {"$max": [unused, {"$subtract": ["$$end", _NOW]}]}]}
    limit = _cond("$$creating", {"$min": [unused, "$$most"]}, _cond("$$full", "$$most", short))
    step = _cond("$$full", {"$floor": {"$divide": ["$$most", 20]}}, apart)
    until = {"$add": [_NOW, "$$limit"]}
    is_recent = {"$and": [_is_there("$seen"), {"$lt": [since, "$$step"]}]}
    long_enough = {"$gte": ["$$end", {"$subtract": ["$$later", "$$step"]}]}
    keep = {"$and": [is_recent, long_enough]} if limits is None else False
    return [
        {"created": _cond("$$creating", _NOW, "$$born"), "idle": idle},
        {"ends_at": counted, "absolute": absolute, "most": {"$ifNull": ["$$idle", own]}},
        {"full": {"$or": [limits is not None, {"$gte": [unused, "$$most"]}, in_use]}},
        {"limit": limit, "step": step},
        {"later": {"$min": [until, _cond({"$gt": ["$$ends_at", 0]}, "$$ends_at", until)]}},
        {"keep": _cond("$$creating", _FALSE, keep)},
        {
            "expires": _cond("$$keep", "$expires", "$$later"),
            "seen": _cond("$$keep", "$seen", _NOW),
        },
    ]


def _session(ops: Expression) -> Expression:
    """Return the session as it is stored afterwards."""

    def kept(name: str) -> Expression:
        return _cond("$$creating", _ABSENT, f"${name}")

    return {
        "_id": "$_id",
        "e": VERSION,
        "created": "$$created",
        "ends_at": "$$ends_at",
        "expires": "$$expires",
        "seen": _cond("$$creating", _ABSENT, "$$seen"),
        "idle": {"$ifNull": ["$$idle", _ABSENT]},
        "absolute": {"$ifNull": ["$$absolute", _ABSENT]},
        "user": kept("user"),
        "name": kept("name"),
        "label": kept("label"),
        "fields": "$$new",
        "ops": ops,
        "at": _NOW,
        "ttl": {"$toDate": "$$expires"},
    }


def _tombstone(kind: str, ops: Expression) -> Expression:
    expires = {"$add": [_NOW, Int64(TOMBSTONE_LIFETIME_MS)]}
    return {
        "_id": "$_id",
        "e": VERSION,
        "kind": {"$literal": kind},
        "created": "$created",
        "ends_at": "$ends_at",
        "expires": expires,
        # Whose index it was in: that is cleaned afterwards.
        "user": "$user",
        "ops": ops,
        "at": _NOW,
        "ttl": {"$toDate": expires},
    }


def _stored(new: Expression) -> Expression:
    """Store `new` if the session is used; else only the clock, and nothing in a foreign one."""
    clock = {"at": _NOW, "ttl": {"$ifNull": ["$ttl", "$$NOW"]}}
    noted = _cond("$$known", {"$mergeObjects": ["$$ROOT", clock]}, "$$ROOT")
    return _cond("$$use", new, noted)


def _let(steps: Steps, body: Expression) -> Expression:
    """Return `body`, which may use the variables of all steps.

    One expression, because a pipeline of many stages copies the document in each.
    """
    for step in reversed(steps):
        body = {"$let": {"vars": step, "in": body}}
    return body


def _optional(value: int | None) -> Int64 | None:
    return None if value is None else Int64(value)


def _is_there(value: str) -> Expression:
    return {"$ne": [{"$type": value}, "missing"]}


def _cond(test: Expression, yes: Expression, no: Expression) -> Expression:
    return {"$cond": [test, yes, no]}
