"""The sessions of a user: the index, its limit, its stamps, its end."""

from __future__ import annotations

import threading

import pytest

from ...cookie import Reference
from ...stores.base import Bind, Destroy, Gone, Move, Write, Written
from ..places import HOUR, LimitedStore, Place, operation, reference

PROMISE = "P10"


def login(
    place: Place,
    store: LimitedStore,
    user: Reference,
    *,
    limit: int = 100,
    stamp: int | None = None,
    label: bytes = b"",
) -> Reference:
    """Bind a new session, in a millisecond of its own."""
    where = reference(user.bucket)
    bind = Bind(user, stamp, label, limit)
    store.apply(where, (), create=True, finish=bind)
    place.let_pass(2)
    return where


def listed(store: LimitedStore, user: Reference) -> list[Reference]:
    """Return the user's living sessions."""
    return [entry.reference for entry in store.sessions(user)]


def test_a_bound_session_is_listed_with_what_is_known_of_it(place: Place) -> None:
    """The list has the time of binding, when it was last seen, and the label; oldest first."""
    store, user = place.new_store(), reference()
    before = place.now()
    first = login(place, store, user, label=b"one")
    second = login(place, store, user, label=b"two")
    store.read(first)
    entries = store.sessions(user)
    assert [(entry.reference, entry.record.label) for entry in entries] == [
        (first, b"one"),
        (second, b"two"),
    ]
    assert before <= entries[0].record.created < entries[1].record.created <= place.now()
    assert entries[0].record.seen is not None
    assert store.sessions(reference()) == ()


def test_a_login_that_is_sent_again_ends_no_later_one(place: Place) -> None:
    """It is answered as it was, and its own session stays ended."""
    store, user, where, name = place.new_store(), reference(), reference(3), operation()
    store.apply(where, (Write(b"a", b"1", None),), create=True)
    moved = place.successor(where, user)
    finish = Move(moved, Bind(user, None, b"", 1))
    former = login(place, store, user)
    first = store.write(where, (), name, finish=finish)
    assert isinstance(first, Written)
    assert first.ended == (former,)
    place.let_pass(2)
    later = login(place, store, user, limit=1)
    again = store.write(where, (), name, finish=finish)
    assert isinstance(again, Written)
    assert again.ended == (former,)
    assert listed(store, user) == [later]
    assert isinstance(store.read(moved), Gone)


def test_binding_by_a_move_restarts_the_clock_and_keeps_the_data(place: Place) -> None:
    """A bound session has its fields at the new place, and an absolute limit from now on."""
    store, user, where = place.new_store(), reference(), reference(3)
    successor = place.successor(where, user)
    store.apply(where, (Write(b"a", b"1", None),), create=True)
    place.let_pass(5)
    bound_at = place.now()
    store.apply(where, (), finish=Move(successor, Bind(user, None, b"", 5)))
    record = store.record(successor)
    assert record.fields == {b"a": b"1"}
    assert record.created >= bound_at
    assert record.ends_at == record.created + 24 * HOUR
    assert store.read(where) == Gone("rotated")
    assert listed(store, user) == [successor]


def test_moving_a_bound_session_keeps_its_place_in_the_list(place: Place) -> None:
    """After a rotation the user has one session, the new one, with its old birth and label."""
    store, user = place.new_store(), reference()
    where, successor = login(place, store, user, label=b"one"), reference()
    (before,) = store.sessions(user)
    store.write(where, (), finish=Move(successor))
    (after,) = store.sessions(user)
    assert after.reference == successor
    assert (after.record.created, after.record.label) == (before.record.created, b"one")


def test_binding_to_another_user_leaves_the_first_ones_list(place: Place) -> None:
    """A session belongs to one user: bound to another one, it is that user's only."""
    store, one, other = place.new_store(), reference(1), reference(2)
    where = login(place, store, one)
    successor = place.successor(where, other)
    store.apply(where, (), finish=Move(successor, Bind(other, None, b"", 5)))
    assert listed(store, one) == []
    assert listed(store, other) == [successor]


def test_beyond_the_limit_the_oldest_end(place: Place) -> None:
    """With a limit of three the fourth login ends the first session, and says so."""
    store, user = place.new_store(), reference()
    four = [login(place, store, user, limit=3) for _ in range(3)]
    where = reference(user.bucket)
    bind = Bind(user, None, b"", 3)
    written = store.apply(where, (), create=True, finish=bind)
    assert written.ended == (four[0],)
    assert store.read(four[0]) == Gone("revoked")
    assert listed(store, user) == [four[1], four[2], where]


def test_a_lowered_limit_ends_as_many_as_it_takes(place: Place) -> None:
    """The limit holds after each login, also where more sessions were there."""
    store, user = place.new_store(), reference()
    for _ in range(4):
        login(place, store, user)
    last = login(place, store, user, limit=1)
    assert listed(store, user) == [last]


def test_moving_does_not_count_against_the_limit(place: Place) -> None:
    """A session that is bound again at the limit replaces itself and ends no other."""
    store, user = place.new_store(), reference()
    one, two = login(place, store, user, limit=2), login(place, store, user, limit=2)
    successor = reference()
    move = Move(successor, Bind(user, None, b"", 2))
    written = store.apply(two, (), finish=move)
    assert written.ended == ()
    assert listed(store, user) == [one, successor]


def test_parallel_logins_leave_exactly_the_limit(place: Place) -> None:
    """Of twenty logins at once with a limit of three, three sessions live."""
    store, user = place.new_store(), reference()
    assert listed(store, user) == []
    threads = [
        threading.Thread(target=login, args=(place, store, user), kwargs={"limit": 3})
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(listed(store, user)) == 3


@pytest.mark.parametrize("end", ["destroy", "expire"])
def test_the_index_holds_no_ghosts(place: Place, end: str) -> None:
    """A session that ended or expired is not listed, and does not count against the limit."""
    store, user = place.new_store(), reference()
    ghost, other = login(place, store, user, limit=2), login(place, store, user, limit=2)
    if end == "destroy":
        store.write(ghost, (), finish=Destroy())
    else:
        place.expire(ghost)
    new = login(place, store, user, limit=2)
    assert listed(store, user) == [other, new]


def test_ending_all_but_one(place: Place) -> None:
    """All sessions of the user end as revoked except the one kept; another user's live."""
    store, user, other = place.new_store(), reference(), reference()
    one, kept, two = (login(place, store, user) for _ in range(3))
    foreign = login(place, store, other)
    ended = store.end_all(user, kept, None)
    assert set(ended) == {one, two}
    assert store.read(one) == store.read(two) == Gone("revoked")
    assert listed(store, user) == [kept]
    assert listed(store, other) == [foreign]
    assert store.end_all(user) == (kept,)
    assert store.end_all(user) == ()


def test_forgotten_user_leaves_nothing(place: Place) -> None:
    """The sessions end, the stamp is gone with the index, and the user may begin again."""
    store, user, other = place.new_store(), reference(), reference()
    foreign = login(place, store, other)
    store.end_all(user, None, 5)
    one, two = (login(place, store, user, stamp=5) for _ in range(2))
    assert set(store.end_all(user, forget=True)) == {one, two}
    assert store.read(one) == store.read(two) == Gone("revoked")
    assert listed(store, other) == [foreign]
    assert store.end_all(user, forget=True) == ()
    again = login(place, store, user, stamp=1)
    assert listed(store, user) == [again]
