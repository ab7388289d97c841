"""The index of a user's sessions: its stamp, and how long it lives."""

from __future__ import annotations

import pytest

from ...limits import Lifetimes
from ...stores.base import Bind, Gone, Missing, Move, SetLimits, StaleStamp, Write
from ..places import HOUR, LimitedStore, Place, reference
from .user_sessions import listed, login

PROMISE = "P10"


def test_a_bind_below_the_stamp_is_refused(place: Place) -> None:
    """After all was ended with a stamp, an older credential binds nothing and changes nothing."""
    store, user = place.new_store(), reference()
    store.end_all(user, None, 5)
    where, successor = reference(), reference()
    store.apply(where, (Write(b"a", b"1", None),), create=True)
    move = Move(successor, Bind(user, 4, b"", 5))
    changes = (Write(b"b", b"2", None),)
    assert store.write(where, changes, finish=move) == StaleStamp(5)
    record = store.record(where)
    assert record.fields == {b"a": b"1"}
    assert store.read(successor) == Missing()
    made = store.write(successor, (), create=True, finish=Bind(user, 4, b"", 5))
    assert made == StaleStamp(5)
    assert store.read(successor) == Missing()
    login(place, store, user, stamp=5)
    login(place, store, user, stamp=6)


def test_the_stamp_only_rises(store: LimitedStore) -> None:
    """An older stamp that comes later does not lower the minimum."""
    user = reference()
    store.end_all(user, None, 5)
    store.end_all(user, None, 3)
    where = reference()
    bind = Bind(user, 4, b"", 5)
    made = store.write(where, (), create=True, finish=bind)
    assert made == StaleStamp(5)


def test_a_stamp_of_zero_counts(place: Place) -> None:
    """Zero is a stamp: nothing lower replaces it."""
    store, user = place.new_store(), reference()
    store.end_all(user, None, 0)
    store.end_all(user, None, -1)
    bind = Bind(user, -1, b"", 5)
    made = store.write(reference(), (), create=True, finish=bind)
    assert made == StaleStamp(0)
    login(place, store, user, stamp=0)


@pytest.mark.parametrize("stamp", [2**53 + 1, 1_763_900_000_123_456_789])
def test_stamps_of_any_size_are_told_apart(place: Place, stamp: int) -> None:
    """A stamp in nanoseconds is beyond what Lua's numbers hold, and one less is still refused."""
    store, user = place.new_store(), reference()
    store.end_all(user, None, stamp)
    bind = Bind(user, stamp - 1, b"", 5)
    made = store.write(reference(), (), create=True, finish=bind)
    assert made == StaleStamp(stamp)
    login(place, store, user, stamp=stamp)


# How long the index lives.

SHORT = Lifetimes(idle=HOUR, absolute=500, unused=HOUR)
ENDLESS = Lifetimes(idle=HOUR, absolute=None, unused=HOUR)


@pytest.mark.parametrize("touch", ["bind", "stamp", "move"])
def test_a_shorter_absolute_limit_hides_no_session(place: Place, touch: str) -> None:
    """Sessions that began under a longer limit are listed and ended after the limit was lowered."""
    store, user = place.new_store(), reference()
    old = [login(place, store, user), login(place, store, user)]
    lowered = store.under(SHORT)
    if touch == "bind":
        login(place, lowered, user)
    elif touch == "stamp":
        lowered.end_all(user, old.pop(), 5)
        old = listed(store, user)
    else:
        successor = reference(user.bucket)
        lowered.write(old.pop(), (), finish=Move(successor))
        old.append(successor)
    place.let_pass(501)
    assert set(listed(store, user)) == set(old)
    assert set(lowered.end_all(user)) == set(old)
    assert all(store.read(where) == Gone("revoked") for where in old)


@pytest.mark.parametrize("when", ["before", "at", "after"])
def test_a_session_with_a_longer_own_limit_stays_listed(place: Place, when: str) -> None:
    """A limit of its own, whenever it is set, lengthens the life of the index that lists it."""
    store, user, where = place.new_store(SHORT), reference(), reference()
    limits, bind = (SetLimits(HOUR, HOUR),), Bind(user, None, b"", 5)
    store.write(where, limits if when == "before" else (), create=True)
    changes = limits if when == "at" else ()
    store.write(where, changes, finish=bind)
    if when == "after":
        store.write(where, limits)
    place.let_pass(501)
    assert listed(store, user) == [where]
    assert store.end_all(user) == (where,)


def test_a_limit_ends_what_nobody_uses_first(place: Place) -> None:
    """Of the sessions beyond the limit, those past their idle limit go before older living ones."""
    store, user = place.new_store(), reference()
    used, unused = login(place, store, user), login(place, store, user)
    place.let_pass(510)
    store.write(used, (), finish=None)
    lowered = store.under(Lifetimes(idle=500, absolute=24 * HOUR, unused=500))
    bind = Bind(user, None, b"", 2)
    store.write(used, (SetLimits(HOUR, None),))
    made = lowered.apply(reference(7), (), create=True, finish=bind)
    assert made.ended == (unused,)
