"""A session that is made once, such as one that is adopted from another library."""

from __future__ import annotations

import pytest

from ...stores.base import (
    UNREAD,
    Bind,
    Check,
    Destroy,
    Gone,
    Missing,
    Move,
    Operation,
    Write,
    Written,
)
from ..places import LimitedStore, Place, reference

PROMISE = "P9"


def making(request: bytes = b"foreign", kept: int = 86_400_000) -> Operation:
    """Return an operation that makes a session once."""
    return Operation(request, 1, kept, makes_once=True)


def test_a_session_is_made_once_even_with_other_changes(store: LimitedStore) -> None:
    """The second write returns the session as it is now, and changes nothing."""
    where = reference()
    first = store.apply(where, (Write(b"a", b"1", None),), making(), create=True)
    store.write(where, (Write(b"a", b"2", UNREAD),))
    changes = (Write(b"a", b"3", UNREAD), Write(b"b", b"3", UNREAD))
    second = store.apply(where, changes, making(), create=True, load=True)
    assert second.record.created == first.record.created
    assert second.record.fields == {b"a": b"2"}


@pytest.mark.parametrize("end", ["destroy", "move", "expire"])
def test_a_session_made_once_is_not_made_again(place: Place, end: str) -> None:
    """If it ended, was rotated or expired, the second write gets `Gone`."""
    store, where = place.new_store(), reference()
    changes = (Write(b"a", b"1", None),)
    store.apply(where, changes, making(), create=True)
    if end == "destroy":
        store.write(where, (), finish=Destroy())
    elif end == "move":
        store.write(where, (), finish=Move(reference()))
    else:
        place.expire(where)
    for _ in range(2):
        assert store.write(where, changes, making(), create=True) == Gone("adopted")
    assert isinstance(store.read(where), Gone | Missing)
    other = store.write(where, changes, making(b"other"), create=True)
    assert isinstance(other, Gone if end != "expire" else Written)


def test_a_session_made_once_may_be_bound_at_once(store: LimitedStore) -> None:
    """The first outcome has the user before, the second the user now; both have what ended."""
    user, where = reference(), reference()
    bind = Bind(user, None, b"label", 1, name=b"ann")
    old = reference(user.bucket)
    store.write(old, (), create=True, finish=bind)
    first, second = (store.write(where, (), making(), create=True, finish=bind) for _ in range(2))
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert (first.record.user, second.record.user) == (b"", b"ann")
    assert first.ended == second.ended == (old,)
    assert first.record.ends_at == second.record.ends_at
    assert [entry.reference for entry in store.sessions(user)] == [where]


def test_a_living_session_is_not_made_again_after_its_result_expired(place: Place) -> None:
    """It is returned as it is, and its result is kept once more."""
    store, where, brief = place.new_store(), reference(), making(kept=20)
    store.write(where, (Write(b"a", b"1", None),), brief, create=True)
    place.let_pass(2000 if place.moves_clock else 25)
    changes = (Write(b"a", b"3", UNREAD),)
    again = store.apply(where, changes, making(), create=True, load=True)
    assert again.record.fields == {b"a": b"1"}
    store.write(where, (), finish=Destroy())
    assert store.write(where, changes, making(), create=True) == Gone("adopted")


def test_a_refused_creation_may_succeed_later(store: LimitedStore) -> None:
    """A refused write made nothing."""
    where = reference()
    refused = store.write(where, (Check(b"a", b"1"),), making(), create=True)
    assert not isinstance(refused, Written)
    store.apply(where, (), making(), create=True)
