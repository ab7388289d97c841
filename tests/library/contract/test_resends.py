"""The same operation sent again: applied once, answered twice."""

from typing import Any

import pytest
from unsticky.cookie import Reference
from unsticky.stores.base import (
    UNREAD,
    Add,
    Bind,
    Change,
    Destroy,
    Gone,
    Move,
    Operation,
    Record,
    Take,
    Write,
    Written,
)

from tests.support.stores.places import (
    AtServer,
    LimitedStore,
    Place,
    deadline,
    make,
    operation,
    reference,
)


def twice(
    store: LimitedStore, where: Reference, *changes: Add | Take | Write, **options: Any
) -> tuple[Written, Written]:
    """Send the same operation two times, and return both outcomes."""
    name = operation()
    first = store.write(where, changes, name, deadline(), **options)
    second = store.write(where, changes, name, deadline(), **options)
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    return first, second


@pytest.mark.parametrize("create", [False, True])  # each has its own script
def test_a_resent_add_counts_once(place: Place, *, create: bool) -> None:
    """Both answers are the sum, and it was added once."""
    store = place.new_store()
    where = make(store)
    first, second = twice(store, where, Add(b"n", 5), create=create)
    assert first.results == second.results == (6,)
    record = store.read(where, deadline())
    assert isinstance(record, Record)
    assert record.fields is not None
    assert record.fields[b"n"] == b"6"


def test_a_resent_take_returns_what_the_first_took(place: Place) -> None:
    """Both answers hold the removed fields, although the second write found none."""
    store = place.new_store()
    first, second = twice(store, make(store), Take(b"m"))
    assert first.results == second.results == ({b"ma": b"1", b"mb": b"2"},)


def test_a_resend_loads_the_fields_as_they_are_now(place: Place) -> None:
    """A resend that loads the fields returns later changes too."""
    store = place.new_store()
    where, name = make(store), operation()
    store.write(where, (Add(b"n", 1),), name, deadline(), load=True)
    store.write(where, (Write(b"x", b"9", UNREAD),), operation(), deadline())
    again = store.write(where, (Add(b"n", 1),), name, deadline(), load=True)
    assert isinstance(again, Written)
    assert again.record.fields == {b"n": b"2", b"ma": b"1", b"mb": b"2", b"x": b"9"}


def test_a_resent_creation_makes_one_session(place: Place) -> None:
    """The session keeps its time of creation, and its first write is not applied again."""
    store, where = place.new_store(), reference()
    first, second = twice(store, where, Add(b"n", 1), create=True)
    assert first.record.created == second.record.created
    assert first.results == second.results == (1,)
    record = store.read(where, deadline())
    assert isinstance(record, Record)
    assert record.fields == {b"n": b"1"}


def test_a_resent_move_arrives(place: Place) -> None:
    """A rotation whose answer was lost is answered as done, not as gone."""
    store = place.new_store()
    where, successor = make(store), reference()
    first, second = twice(store, where, finish=Move(successor), load=True)
    assert first.record.fields == second.record.fields == {b"n": b"1", b"ma": b"1", b"mb": b"2"}
    assert store.read(where, deadline()) == Gone("rotated")


def test_a_resent_bind_binds_once(place: Place) -> None:
    """Both answers name the session that the limit ended, and the user has one session."""
    store, user = place.new_store(), reference()
    bind = Bind(user, None, b"", 1)
    old = make(store)
    store.write(old, (), operation(), deadline(), finish=bind)
    where, successor = make(store), reference()
    first, second = twice(store, where, finish=Move(successor, bind))
    assert first.ended == second.ended == (old,)
    assert [entry.reference for entry in store.sessions(user, deadline())] == [successor]


def test_a_resent_end_is_answered_as_done(place: Place) -> None:
    """A logout whose answer was lost is answered as done."""
    store = place.new_store()
    twice(store, make(store), finish=Destroy())


def test_different_operations_of_one_request_are_all_applied(place: Place) -> None:
    """Another ordinal, other changes or another session make another operation."""
    store = place.new_store()
    where, elsewhere = make(store), make(store)
    name = Operation(b"request", 1)
    sent = [
        store.write(where, (Add(b"n", 1),), name, deadline()),
        store.write(where, (Add(b"n", 1),), Operation(b"request", 2), deadline()),
        store.write(where, (Add(b"n", 2),), name, deadline()),
        store.write(where, (Add(b"x", 1),), name, deadline()),
        store.write(elsewhere, (Add(b"n", 1),), name, deadline()),
        store.write(where, (Add(b"n", 1),), Operation(b"another", 1), deadline()),
    ]
    assert [outcome.results for outcome in sent if isinstance(outcome, Written)] == [
        (2,),
        (3,),
        (5,),
        (1,),
        (2,),
        (6,),
    ]


def test_a_refused_operation_may_succeed_later(place: Place) -> None:
    """A refused write changed nothing, so the same operation may succeed later."""
    store = place.new_store()
    where, name = make(store), operation()
    change = (Write(b"n", b"7", b"9"),)
    assert not isinstance(store.write(where, change, name, deadline()), Written)
    store.write(where, (Write(b"n", b"9", UNREAD),), operation(), deadline())
    assert isinstance(store.write(where, change, name, deadline()), Written)


def test_results_are_kept_for_ten_seconds_beside_their_session(server_place: AtServer) -> None:
    """A result is in the slot of its session, and is kept only while a resend may come."""
    store = server_place.new_store()
    where = make(store)
    raw = server_place.server.raw
    (key,) = raw.scan_iter(f"{server_place.prefix}{{{where.bucket}}}:o:*", count=10_000)
    assert 5_000 < raw.pttl(key) <= 10_000


def test_operations_that_read_the_same_in_a_row_are_told_apart(place: Place) -> None:
    """Names and numbers, or fields and values, that give the same bytes in a row."""
    store = place.new_store()
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
            before = store.read(where, deadline())
            written = store.write(where, (change, Add(b"count", 1)), name, deadline())
            assert isinstance(before, Record)
            assert isinstance(written, Written)
            assert written.results[-1] == int((before.fields or {}).get(b"count", b"0")) + 1


def test_a_resent_bind_finds_that_its_session_ended(place: Place) -> None:
    """The bind did not end the session, so a resend after a logout gets `Gone`."""
    store, where, name = place.new_store(), reference(), operation()
    bind = Bind(reference(), None, b"", 5)
    assert isinstance(store.write(where, (), name, deadline(), create=True, finish=bind), Written)
    store.write(where, (), operation(), deadline(), finish=Destroy())
    again = store.write(where, (), name, deadline(), create=True, finish=bind)
    assert again == Gone("destroyed")
