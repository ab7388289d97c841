"""The store answers every sequence of calls as the one in memory does."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from ...cookie import Reference
from ...stores.base import (
    UNREAD,
    Add,
    Bind,
    Caps,
    Change,
    Check,
    CheckNames,
    Destroy,
    Finish,
    Move,
    Operation,
    Record,
    SetLimits,
    Take,
    Write,
    Written,
)
from ...stores.memory import MemoryStore
from ..places import HOUR, LIFETIMES, LimitedStore, Place, reference

PROMISE = "P11"

_CAPS = Caps(fields=4, bytes=14)
_NAMES = (b"a", b"b", b"c1", b"c2", b"d1")
_VALUES = (b"", b"1", b"2", b"-7", b"long value")


def change(draw: random.Random) -> Change:
    """Return some change."""
    name, value = draw.choice(_NAMES), draw.choice((None, *_VALUES))
    return draw.choice(
        (
            Write(name, value, draw.choice((None, UNREAD, *_VALUES))),
            Add(name, draw.choice((1, -3)), draw.choice((None, 0))),
            Check(name, value),
            Take(b"c", draw.choice((b"", b"d"))),
            CheckNames(b"c", tuple(draw.sample(_NAMES, 1))),
            SetLimits(draw.choice((None, 3 * HOUR)), draw.choice((None, 5 * HOUR))),
        )
    )


def changes(draw: random.Random) -> tuple[Change, ...]:
    """Return some changes, at most one for each field."""
    found: dict[object, Change] = {}
    for each in (change(draw) for _ in range(draw.randrange(4))):
        kind = "limits" if isinstance(each, SetLimits) else "prefix"
        found.setdefault(getattr(each, "field", kind), each)
    return tuple(found.values())


def finish(draw: random.Random, to: Reference, user: Reference | None) -> Finish:
    """Return some finish, more often none."""
    bind = Bind(user, draw.choice((None, 1, 2)), b"label", 2, b"ann") if user else None
    some: list[Finish] = [None, None, None, Destroy(), Destroy("emptied"), Move(to)]
    some += [Move(to, unbind=True)]
    if bind is not None:
        some += [Move(to, bind), bind]
    return draw.choice(some)


def told(outcome: Any) -> Any:
    """Return what two stores must answer alike: everything except times."""
    if isinstance(outcome, Written):
        return replace(outcome, record=told(outcome.record))
    if isinstance(outcome, Record):
        return outcome._replace(created=0, ends_at=0, seen=None, slid=False)
    return outcome


@pytest.mark.parametrize("seed", range(20))
def test_a_store_answers_as_memory_does(place: Place, seed: int) -> None:
    """Sixty calls about five sessions of one user, some of them sent twice, have equal answers."""
    draw = random.Random(seed)
    memory = MemoryStore(_CAPS)
    stores = (place.new_store(caps=_CAPS), LimitedStore(memory, LIFETIMES))
    user = reference()
    bound = None if "users" in getattr(stores[0].store, "lacks", ()) else user
    places = [reference() for _ in range(5)]
    sent: list[tuple[Any, Any]] = []
    for number in range(60):
        at, to = draw.randrange(5), reference()
        write: Any = (places[at], changes(draw), Operation(b"%d-%d" % (seed, number), 1))
        options: Any = {"create": draw.random() < 0.5, "load": draw.random() < 0.5}
        options["finish"] = finish(draw, to, bound)
        if sent and draw.random() < 0.2:
            write, options = draw.choice(sent)
        sent.append((write, options))
        answers = [told(store.write(*write, **options)) for store in stores]
        assert answers[0] == answers[1], (number, write, options)
        moved = options["finish"]
        if isinstance(moved, Move) and isinstance(answers[0], Written):
            places = [moved.to if where == write[0] else where for where in places]
        for where in places:
            assert told(stores[0].read(where)) == told(stores[1].read(where)), (number, where)
        if bound is not None:
            lists = [{each.reference for each in store.sessions(user)} for store in stores]
            assert lists[0] == lists[1], number
