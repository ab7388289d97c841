"""The same operation sent again: applied once, answered twice."""

from __future__ import annotations

from typing import Any

import pytest

from ...cookie import Reference
from ...stores.base import (
    UNREAD,
    Add,
    Bind,
    Change,
    Destroy,
    Gone,
    Move,
    Operation,
    Take,
    Write,
    Written,
)
from ..places import LimitedStore, make, operation, reference

PROMISE = "P9"


def twice(
    store: LimitedStore, where: Reference, *changes: Add | Take | Write, **options: Any
) -> tuple[Written, Written]:
    """Send the same operation two times, and return both outcomes."""
    name = operation()
    first = store.apply(where, changes, name, **options)
    second = store.apply(where, changes, name, **options)
    return first, second


@pytest.mark.parametrize("create", [False, True])  # each has its own script
def test_a_resent_add_counts_once(store: LimitedStore, *, create: bool) -> None:
    """Both answers are the sum, and it was added once."""
    where = make(store)
    first, second = twice(store, where, Add(b"n", 5), create=create)
    assert first.results == second.results == (6,)
    record = store.record(where)
    assert record.fields is not None
    assert record.fields[b"n"] == b"6"


def test_a_resent_take_returns_what_the_first_took(store: LimitedStore) -> None:
    """Both answers hold the removed fields, although the second write found none."""
    first, second = twice(store, make(store), Take(b"m"))
    assert first.results == second.results == ({b"ma": b"1", b"mb": b"2"},)


def test_a_resend_loads_the_fields_as_they_are_now(store: LimitedStore) -> None:
    """A resend that loads the fields returns later changes too."""
    where, name = make(store), operation()
    store.write(where, (Add(b"n", 1),), name, load=True)
    store.write(where, (Write(b"x", b"9", UNREAD),))
    again = store.apply(where, (Add(b"n", 1),), name, load=True)
    assert again.record.fields == {b"n": b"2", b"ma": b"1", b"mb": b"2", b"x": b"9"}


def test_a_resent_creation_makes_one_session(store: LimitedStore) -> None:
    """The session keeps its time of creation, and its first write is not applied again."""
    where = reference()
    first, second = twice(store, where, Add(b"n", 1), create=True)
    assert first.record.created == second.record.created
    assert first.results == second.results == (1,)
    record = store.record(where)
    assert record.fields == {b"n": b"1"}


def test_a_resent_move_arrives(store: LimitedStore) -> None:
    """A rotation whose answer was lost is answered as done, not as gone."""
    where, successor = make(store), reference()
    first, second = twice(store, where, finish=Move(successor), load=True)
    assert first.record.fields == second.record.fields == {b"n": b"1", b"ma": b"1", b"mb": b"2"}
    assert store.read(where) == Gone("rotated")


def test_a_resent_bind_binds_once(store: LimitedStore) -> None:
    """Both answers name the session that the limit ended, and the user has one session."""
    user = reference()
    bind = Bind(user, None, b"", 1)
    old = make(store)
    store.write(old, (), finish=bind)
    where, successor = make(store), reference()
    first, second = twice(store, where, finish=Move(successor, bind))
    assert first.ended == second.ended == (old,)
    assert [entry.reference for entry in store.sessions(user)] == [successor]


def test_a_resent_end_is_answered_as_done(store: LimitedStore) -> None:
    """A logout whose answer was lost is answered as done."""
    twice(store, make(store), finish=Destroy())


def test_different_operations_of_one_request_are_all_applied(store: LimitedStore) -> None:
    """Another ordinal, other changes or another session make another operation."""
    where, elsewhere = make(store), make(store)
    name = Operation(b"request", 1)
    sent = [
        store.write(where, (Add(b"n", 1),), name),
        store.write(where, (Add(b"n", 1),), Operation(b"request", 2)),
        store.write(where, (Add(b"n", 2),), name),
        store.write(where, (Add(b"x", 1),), name),
        store.write(elsewhere, (Add(b"n", 1),), name),
        store.write(where, (Add(b"n", 1),), Operation(b"another", 1)),
    ]
    assert [outcome.results for outcome in sent if isinstance(outcome, Written)] == [
        (2,),
        (3,),
        (5,),
        (1,),
        (2,),
        (6,),
    ]


def test_a_refused_operation_may_succeed_later(store: LimitedStore) -> None:
    """A refused write changed nothing, so the same operation may succeed later."""
    where, name = make(store), operation()
    change = (Write(b"n", b"7", b"9"),)
    assert not isinstance(store.write(where, change, name), Written)
    store.write(where, (Write(b"n", b"9", UNREAD),))
    store.apply(where, change, name)


def test_operations_that_read_the_same_in_a_row_are_told_apart(store: LimitedStore) -> None:
    """Names and numbers, or fields and values, that give the same bytes in a row."""
    where = make(store)
    pairs: list[tuple[tuple[Operation, Change], tuple[Operation, Change]]] = [
        (
            (Operation(b"order-1", 11), Add(b"n", 1)),
            (Operation(b"order-11", 1), Add(b"n", 1)),
        ),
        (
            (Operation(b"nul", 1), Write(b"x", b"1\x00S\x00y\x002", UNREAD)),
            (Operation(b"nul", 1), Write(b"x\x001", b"S\x00y\x002", UNREAD)),
        ),
        (
            (Operation(b"take", 1), Take(b"a\x00", b"b")),
            (Operation(b"take", 1), Take(b"a", b"\x00b")),
        ),
    ]
    for one, other in pairs:
        for name, change in (one, other):
            before = store.record(where)
            written = store.apply(where, (change, Add(b"count", 1)), name)
            assert written.results[-1] == int((before.fields or {}).get(b"count", b"0")) + 1


def test_a_resent_bind_finds_that_its_session_ended(store: LimitedStore) -> None:
    """The bind did not end the session, so a resend after a logout gets `Gone`."""
    where, name = reference(), operation()
    bind = Bind(reference(), None, b"", 5)
    store.apply(where, (), name, create=True, finish=bind)
    store.write(where, (), finish=Destroy())
    again = store.write(where, (), name, create=True, finish=bind)
    assert again == Gone("destroyed")


@pytest.mark.parametrize("create", [False, True])  # each has its own script
@pytest.mark.parametrize("end", ["destroyed", "rotated"])
def test_a_resend_after_the_end_says_that_it_was_applied(
    store: LimitedStore, end: str, *, create: bool
) -> None:
    """`Gone` alone would mean that nothing was written, and another session could begin."""
    where, name = make(store), operation()
    store.apply(where, (Add(b"n", 5),), name, create=create)
    store.write(where, (), finish=Destroy() if end == "destroyed" else Move(reference()))
    assert store.write(where, (Add(b"n", 5),), name, create=create) == Gone(end, done=True)
    assert store.write(where, (Add(b"n", 5),), operation(), create=create) == Gone(end)
