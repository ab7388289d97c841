"""A write as a pipeline, which the server carries out in one step on one document.

It does what `planning` does to one session: the same rules, on the server, by the server's clock.
The document afterwards shows what happened, and `planning` reads the outcome from it: an operation
that was applied is among `ops`, with its answer; of one that was not, the document as it was says
why. The clock is stored as `at` by each write, and counts for nothing else.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from bson import Int64

from ...limits import TOMBSTONE_LIFETIME_MS, Lifetimes
from ..base import Caps, Change, Destroy, Operation, SetLimits
from .bson_documents import UNCOUNTED, VERSION
from .expressions import FIELDS, Expression, Pipeline, PipelineEffects, cond, fits

Steps: TypeAlias = list[dict[str, Expression]]
"""Variables, each step of which may use those before."""

_ABSENT: Final = "$$REMOVE"
MOST_ANSWERS: Final = 4096
"""How many answers to operations are kept beside a session; more are refused until some expire."""

_FALSE: Final = {"$literal": False}
_NOW: Final = "$$now"


def touching(lifetimes: Lifetimes) -> Pipeline:
    """Return what slides the idle limit of a living session, if it is due."""
    steps = [
        *_found(lifetimes, b""),
        {"creating": _FALSE, "ok": _FALSE, "use": "$$alive", "new": FIELDS},
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
    effects = PipelineEffects.of(changes)
    emptied = {"$eq": ["$$dead", "emptied"]}
    free = {"$and": [{"$not": ["$$alive"]}, {"$or": ["$$blank", emptied]}]}
    creating = {"$and": [create, free, {"$not": [{"$and": ["$$first", emptied]}]}]}
    # A session that ended in this operation and lives has begun again since, and ends again.
    once = {"$not": ["$$first"]} if finish is None else True
    has_room = {"$lt": [{"$size": "$$ops"}, MOST_ANSWERS]}
    steps = [
        *_found(lifetimes, name),
        {"creating": creating},
        {"run": cond("$$alive", once, "$$creating"), "results": effects.results},
        {"new": effects.fields()},
        {"ok": cond("$$run", {"$and": [*effects.conditions, fits(caps), has_room]}, _FALSE)},
        # A resend is a use of the session, but not of one that was just created.
        {
            "use": {"$or": ["$$ok", {"$and": ["$$alive", "$$first", _is_there("$seen")]}]},
            "new": cond("$$ok", "$$new", FIELDS),
        },
        *_timed(lifetimes, effects.limits),
    ]
    answer: dict[str, Expression] = {
        "n": name,
        "e": {"$add": [_NOW, Int64(operation.kept)]},
        "r": "$$results",
    }
    if finish is None:
        slid = cond({"$or": ["$$creating", "$$keep"]}, _ABSENT, Int64(1))
        answer |= {"w": operation.ends_with_session, "s": slid}
        ops = {"$concatArrays": ["$$alive_ops", cond("$$ok", [answer], [])]}
        new = _session(ops)
    else:
        was = {"c": "$created", "e": "$ends_at", "s": "$seen", "sl": _FALSE, "i": "$idle"}
        was |= {"l": "$label", "u": {"$ifNull": ["$name", b""]}}
        answer |= {"w": _FALSE, "rec": was}
        ended = _tombstone(finish.kind, {"$concatArrays": ["$$apart_ops", [answer]]})
        new = cond("$$ok", ended, _session("$$alive_ops"))
    return [*effects.before(), {"$replaceWith": _let(steps, _stored(new))}, *effects.after()]


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
    nothing = {"$setIsSubset": [names, [*UNCOUNTED]]}
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
    answers = cond({"$isArray": "$ops"}, "$ops", [])
    kept = {"$filter": {"input": answers, "cond": {"$gt": ["$$this.e", _NOW]}}}
    apart = {"$filter": {"input": "$$ops", "cond": {"$not": ["$$this.w"]}}}
    return [
        {"now": {"$toLong": "$$NOW"}, "session": session, "tombstone": tombstone},
        # Nothing is calculated with the times of what is not a session.
        {
            "born": cond("$$session", "$created", _NOW),
            "last": cond("$$session", {"$ifNull": ["$seen", "$created"]}, _NOW),
            "end": cond("$$session", "$expires", _NOW),
        },
        {
            "alive": cond("$$session", lives, _FALSE),
            "dead": cond("$$tombstone", cond({"$gt": ["$expires", _NOW]}, "$kind", None), None),
            "ops": kept,
        },
        {
            "first": {"$in": [name, {"$map": {"input": "$$ops", "in": "$$this.n"}}]},
            "fields": cond("$$alive", "$fields", {}),
            "blank": {
                "$or": [
                    nothing,
                    {"$and": ["$$session", {"$not": ["$$alive"]}]},
                    {"$and": ["$$tombstone", {"$eq": ["$$dead", None]}]},
                ]
            },
            "known": {"$or": ["$$session", "$$tombstone", nothing]},
            # The answers that are still kept, and those that outlive the session.
            "alive_ops": cond("$$alive", "$$ops", apart),
            "apart_ops": apart,
        },
    ]


def _timed(lifetimes: Lifetimes, limits: SetLimits | None) -> Steps:
    """Work out the times of a session that is used, or created; see `documents.Session.used`."""
    idle: Expression = cond("$$creating", None, "$idle")
    absolute: Expression = cond("$$creating", None, "$absolute")
    most = lifetimes.absolute
    ends_at = {"$add": ["$$created", Int64(most)]} if most else Int64(0)
    counted = cond("$$creating", ends_at, "$ends_at")
    sets: Expression = _FALSE
    if limits is not None:
        # A resend does not set them again: other limits may have been set since.
        sets, most = "$$ok", limits.absolute or lifetimes.absolute
        own_end = {"$add": ["$$created", Int64(most)]} if most else Int64(0)
        idle = cond(sets, _optional(limits.idle), idle)
        absolute = cond(sets, _optional(limits.absolute), absolute)
        counted = cond(sets, own_end, counted)
    own, unused, apart = (
        Int64(each) for each in (lifetimes.idle, lifetimes.unused, lifetimes.apart)
    )
    since = {"$subtract": [_NOW, "$$last"]}
    uses = {"$min": [since, {"$subtract": ["$$last", "$$born"]}]}
    in_use = {"$or": [{"$gte": [uses, apart]}, {"$gte": [since, unused]}]}
    short = {"$min": ["$$most", {"$max": [unused, {"$subtract": ["$$end", _NOW]}]}]}
    limit = cond("$$creating", {"$min": [unused, "$$most"]}, cond("$$full", "$$most", short))
    step = cond("$$full", {"$floor": {"$divide": ["$$most", 20]}}, apart)
    until = {"$add": [_NOW, "$$limit"]}
    is_recent = {"$and": [_is_there("$seen"), {"$lt": [since, "$$step"]}]}
    long_enough = {"$gte": ["$$end", {"$subtract": ["$$later", "$$step"]}]}
    keep = {"$and": [{"$not": [sets]}, is_recent, long_enough]}
    return [
        {"created": cond("$$creating", _NOW, "$$born"), "idle": idle},
        {"ends_at": counted, "absolute": absolute, "most": {"$ifNull": ["$$idle", own]}},
        {"full": {"$or": [sets, {"$gte": [unused, "$$most"]}, in_use]}},
        {"limit": limit, "step": step},
        {"later": {"$min": [until, cond({"$gt": ["$$ends_at", 0]}, "$$ends_at", until)]}},
        {"keep": cond("$$creating", _FALSE, keep)},
        {
            "expires": cond("$$keep", "$expires", "$$later"),
            "seen": cond("$$keep", "$seen", _NOW),
        },
    ]


def _session(ops: Expression) -> Expression:
    """Return the session as it is stored afterwards."""

    def kept(name: str) -> Expression:
        return cond("$$creating", _ABSENT, f"${name}")

    return {
        "_id": "$_id",
        "e": VERSION,
        "created": "$$created",
        "ends_at": "$$ends_at",
        "expires": "$$expires",
        "seen": cond("$$creating", _ABSENT, "$$seen"),
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
    noted = cond("$$known", {"$mergeObjects": ["$$ROOT", clock]}, "$$ROOT")
    return cond("$$use", new, noted)


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
