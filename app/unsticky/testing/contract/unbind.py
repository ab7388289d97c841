"""Taking a session from its user: one step with a new reference, or nothing."""

from __future__ import annotations

import pytest

from ...cookie import Reference
from ...limits import Lifetimes
from ...stores.base import (
    UNREAD,
    Bind,
    Check,
    Conflicting,
    Gone,
    Missing,
    Move,
    Operation,
    SetLimits,
    Write,
    Written,
)
from ..places import HOUR, LimitedStore, Place, operation, reference

PROMISE = "P7"

DAY = 24 * HOUR


def login(store: LimitedStore, user: Reference) -> Reference:
    """Make a session with two fields and own limits, and bind it."""
    where = reference(user.bucket)
    changes = (
        Write(b"user_id", b"7", None),
        Write(b"lang", b"de", None),
        SetLimits(2 * HOUR, 3 * DAY),
    )
    bind = Bind(user, None, b"label", 5, name=b"ann")
    store.apply(where, changes, create=True, finish=bind)
    return where


def test_a_bound_session_tells_its_user(store: LimitedStore) -> None:
    """The name comes with a read and a load, and with a finish whom it was bound to before it."""
    user = reference()
    where, other, successor = login(store, user), reference(), reference()
    assert store.record(where).user == b"ann"
    plain = store.apply(where, ())
    loaded = store.apply(where, (), load=True)
    assert (plain.record.user, loaded.record.user) == (None, b"ann")
    again = Move(successor, Bind(other, None, b"", 5, name=b"bob"))
    moved = store.apply(where, (), finish=again, load=True)
    assert moved.record.user == b"ann"
    record = store.record(successor)
    assert record.user == b"bob"
    assert record.fields == moved.record.fields == {b"user_id": b"7", b"lang": b"de"}


def test_a_session_of_nobody_says_so(store: LimitedStore) -> None:
    """Unbound, the name is empty where it is learnt."""
    where = reference()
    made = store.apply(where, (), create=True, load=True)
    assert made.record.user == store.record(where).user == b""
    moved = store.apply(where, (), finish=Move(reference()))
    assert moved.record.user == b""


def test_unbinding_leaves_the_session_and_takes_the_user(store: LimitedStore) -> None:
    """One step: named fields, user, label, own limits and list entry go, all else moves."""
    user = reference()
    where, successor = login(store, user), reference(user.bucket)
    before = store.record(where)
    changes = (Write(b"user_id", None, UNREAD), Write(b"flash", b"bye", UNREAD))
    done = store.apply(where, changes, finish=Move(successor, unbind=True), load=True)
    assert (done.record.user, done.record.idle, done.record.label) == (b"ann", None, b"")
    after = store.record(successor)
    assert after.fields == done.record.fields == {b"lang": b"de", b"flash": b"bye"}
    assert (after.user, after.idle, after.label) == (b"", None, b"")
    assert after.created >= before.created  # the absolute limit counts from now on
    assert after.ends_at == after.created + DAY
    assert done.record.ends_at == after.ends_at
    assert store.read(where) == Gone("rotated")
    assert store.sessions(user) == ()
    assert store.end_all(user) == ()
    assert store.record(successor).fields == after.fields


def test_an_unbind_that_conflicts_changes_nothing(store: LimitedStore) -> None:
    """The session stays where it was, the user's, with its limits."""
    user = reference()
    where, successor = login(store, user), reference(user.bucket)
    changes = (Write(b"user_id", None, UNREAD), Check(b"lang", b"fr"))
    refused = store.write(where, changes, finish=Move(successor, unbind=True))
    assert refused == Conflicting({b"lang": b"de"})
    record = store.record(where)
    assert record.fields == {b"user_id": b"7", b"lang": b"de"}
    assert (record.user, record.idle, record.label) == (b"ann", 2 * HOUR, b"label")
    assert [entry.reference for entry in store.sessions(user)] == [where]
    assert store.read(successor) == Missing()


def test_unbinding_what_is_bound_to_nobody_moves_it(store: LimitedStore) -> None:
    """A session without a user gets a new reference and the application's limits."""
    where, successor = reference(), reference()
    changes = (Write(b"a", b"1", None), SetLimits(2 * HOUR, 3 * DAY))
    store.write(where, changes, create=True)
    store.apply(where, (), finish=Move(successor, unbind=True))
    record = store.record(successor)
    assert (record.fields, record.user, record.idle) == ({b"a": b"1"}, b"", None)
    assert record.ends_at == record.created + DAY


def test_a_resent_unbind_is_answered_as_done(store: LimitedStore) -> None:
    """Both answers say who it was, and the session is where the first one put it."""
    user = reference()
    where, successor, name = login(store, user), reference(user.bucket), operation()
    move = Move(successor, unbind=True)
    first, second = (store.write(where, (), name, finish=move, load=True) for _ in range(2))
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert first.record.user == second.record.user == b"ann"
    assert first.record.fields == second.record.fields
    assert first.record.ends_at == second.record.ends_at


def test_a_resent_move_whose_session_ended_since_is_answered_without_fields(
    store: LimitedStore,
) -> None:
    """The move happened; what it moved is no more, and nothing is told of it."""
    user = reference()
    where, successor, name = login(store, user), reference(user.bucket), operation()
    for _ in range(2):
        done = store.write(where, (), name, finish=Move(successor), load=True)
        store.end_all(user)
    assert isinstance(done, Written)
    assert (done.record.fields, done.record.user) == ({}, b"ann")


def test_binding_to_another_user_takes_over_the_name(store: LimitedStore) -> None:
    """Of the user before, neither name nor label stays, also where the new name is empty."""
    one, two = reference(), reference()
    where, successor = login(store, one), reference()
    bind = Bind(two, None, b"", 5)
    store.apply(where, (), finish=Move(successor, bind))
    record = store.record(successor)
    assert (record.user, record.label) == (b"", b"")
    assert store.sessions(one) == ()


def test_the_application_s_limit_counts_from_the_logout(place: Place) -> None:
    """What lived on by its own absolute limit alone does not end with it: nobody's cart stays."""
    store = place.new_store(Lifetimes(idle=HOUR, absolute=500, unused=HOUR))
    user, successor = reference(), reference()
    where = login(store, user)
    place.let_pass(501)
    store.record(where)
    done = store.apply(where, (), finish=Move(successor, unbind=True))
    assert done.record.ends_at == done.record.created + 500
    store.record(successor)
    assert store.read(where) == Gone("rotated")
    place.let_pass(501)
    assert store.read(successor) == Missing()


@pytest.mark.parametrize("kept", [10_000, DAY])
def test_unbinding_ends_the_results_of_named_operations(store: LimitedStore, kept: int) -> None:
    """What was recorded to end with the session is nowhere once it is unbound."""
    user = reference()
    where, successor = login(store, user), reference(user.bucket)
    name = Operation(b"order", 1, kept, ends_with_session=True)
    store.write(where, (Write(b"paid", b"1", UNREAD),), name)
    store.write(where, (), finish=Move(successor, unbind=True))
    store.write(successor, (Write(b"paid", None, UNREAD),))
    store.write(successor, (Write(b"paid", b"1", UNREAD),), name)
    assert (store.record(successor).fields or {}).get(b"paid") == b"1"
