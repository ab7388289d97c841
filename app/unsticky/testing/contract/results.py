"""Results that end with their session."""

from __future__ import annotations

import pytest

from ...cookie import Reference
from ...stores.base import Add, Bind, Destroy, Gone, Missing, Move, Operation, Take, Write, Written
from ..places import LimitedStore, Place, deadline, make, reference

PROMISE = "P9"


def named(request: bytes = b"order", ordinal: int = 1, kept: int = 86_400_000) -> Operation:
    """Return an operation whose result ends with the session."""
    return Operation(request, ordinal, kept, ends_with_session=True)


def test_a_result_that_ends_with_the_session_answers_a_resend(store: LimitedStore) -> None:
    """It is applied once, like any other; another name or session is another operation."""
    where, elsewhere = make(store), make(store)
    sent = [
        store.write(where, (Add(b"n", 1), Take(b"m")), named()),
        store.write(where, (Add(b"n", 1), Take(b"m")), named()),
        store.write(where, (Add(b"n", 1), Take(b"m")), named(ordinal=2)),
        store.write(where, (Add(b"n", 1), Take(b"m")), named(b"other")),
        store.write(elsewhere, (Add(b"n", 1), Take(b"m")), named()),
    ]
    both: dict[bytes, bytes] = {b"ma": b"1", b"mb": b"2"}
    assert [outcome.results for outcome in sent if isinstance(outcome, Written)] == [
        (2, both),
        (2, both),
        (3, {}),
        (4, {}),
        (2, both),
    ]


def test_a_result_that_ends_with_the_session_is_kept_as_long_as_asked(place: Place) -> None:
    """Each for its own time, although they are kept in one place."""
    store = place.new_store()
    where, short, long = make(store), named(b"short", kept=50), named(b"long")
    for expected in (2, 3):
        written = store.apply(where, (Add(b"n", 1),), short)
        assert written.results == (expected,)
        kept = store.apply(where, (Add(b"x", 1),), long)
        assert kept.results == (1,)
        place.let_pass(60)


@pytest.mark.parametrize("end", ["destroy", "end_all", "sweep", "quarantine", "limit", "expire"])
def test_the_results_end_with_the_session(place: Place, end: str) -> None:
    """However it ends, no result is returned any more, and none is left at a server."""
    store, user, bystander = place.new_store(), reference(), reference()
    where = reference(user.bucket)
    fields = (Write(b"ma", b"1", None),)
    bind = Bind(user, None, b"", 1)
    store.write(where, fields, create=True, finish=bind)
    assert isinstance(store.write(where, (Take(b"m"),), named()), Written)
    if end == "destroy":
        store.write(where, (), finish=Destroy())
    elif end == "end_all":
        store.end_all(user)
    elif end == "sweep":
        cursor: bytes | None = b"0"
        while cursor is not None:
            cursor, _ = store.sweep(cursor, deadline())
    elif end == "quarantine":
        place.plant(where, b"a", b"\xc1")
        store.quarantine(where, b"a", b"\xc1", deadline())
    elif end == "limit":
        store.write(bystander, (), create=True, finish=bind)
    else:
        place.expire(where)
    again = store.write(where, (Take(b"m"),), named())
    assert isinstance(again, Gone | Missing)
    if end != "expire":
        assert place.leftovers(where) == []


def test_a_move_ends_the_results(store: LimitedStore) -> None:
    """Under the new reference it is another operation."""
    successor = reference()
    where = make(store)
    store.write(where, (Add(b"n", 1),), named())
    store.write(where, (), finish=Move(successor))
    again = store.apply(successor, (Add(b"n", 1),), named())
    assert again.results == (3,)


@pytest.mark.parametrize("finish", [Destroy(), Move(Reference(7, b"s" * 16))], ids=["end", "move"])
def test_a_resent_end_or_move_gets_its_result(store: LimitedStore, finish: Destroy | Move) -> None:
    """A logout or rotation whose answer was lost is answered as done."""
    where = make(store)
    for _ in range(2):
        outcome = store.apply(where, (Add(b"n", 1),), named(), finish=finish)
        assert outcome.results == (2,)
