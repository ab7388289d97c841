"""How much a session may hold, and writes of thousands of fields."""

from __future__ import annotations

import pytest

from ...stores.base import (
    UNREAD,
    Caps,
    Change,
    Check,
    CheckNames,
    Conflicting,
    Missing,
    Take,
    TooLarge,
    Write,
    Written,
)
from ..places import LimitedStore, Place, reference
from .changes import held, make

PROMISE = "P8"


def test_the_number_of_fields_is_capped(place: Place) -> None:
    """The last field that fits is taken, the next one refused whole, also when creating."""
    store = place.new_store(caps=Caps(fields=3, bytes=10_000))
    where = make(store, a=b"1", b=b"1", c=b"1")
    refused = store.write(where, (Write(b"d", b"1", None),))
    assert refused == TooLarge("fields", 4, 3)
    assert held(store, where) == {b"a": b"1", b"b": b"1", b"c": b"1"}
    swap = (Write(b"a", None, b"1"), Write(b"d", b"1", None))
    store.apply(where, swap)
    four = tuple(Write(name, b"1", None) for name in (b"a", b"b", b"c", b"d"))
    elsewhere = reference()
    made = store.write(elsewhere, four, create=True)
    assert made == TooLarge("fields", 4, 3)
    assert store.read(elsewhere) == Missing()


def test_the_size_is_capped(place: Place) -> None:
    """Names and values up to the cap fit; a byte more is refused; what shrinks always may."""
    store = place.new_store(caps=Caps(fields=10, bytes=20))
    where = make(store, a=b"x" * 19)
    longer = (Write(b"a", b"x" * 20, UNREAD),)
    assert store.write(where, longer) == TooLarge("bytes", 21, 20)
    more = (Write(b"b", b"", None),)
    assert store.write(where, more) == TooLarge("bytes", 21, 20)
    assert held(store, where) == {b"a": b"x" * 19}
    swap = (Write(b"a", None, b"x" * 19), Write(b"b", b"y" * 19, None))
    store.apply(where, swap)
    store.apply(where, (Take(b"b"),))


def test_the_caps_leave_room_for_the_librarys_own_fields(place: Place) -> None:
    """What a store keeps for itself does not count: a session that was used is capped alike."""
    store = place.new_store(caps=Caps(fields=2, bytes=4))
    where = make(store, a=b"1")
    store.read(where)
    store.apply(where, (Write(b"b", b"1", None),))
    third = (Write(b"c", b"", None),)
    assert store.write(where, third) == TooLarge("fields", 3, 2)


def test_a_huge_commit_is_refused_as_too_large(store: LimitedStore) -> None:
    """Ten thousand new fields are too many, and that is the answer, not a failure of the store."""
    where = reference()
    changes = tuple(Write(b"f%d" % number, b"1", None) for number in range(10_000))
    outcome = store.write(where, changes, create=True)
    assert isinstance(outcome, TooLarge)
    assert outcome.what == "fields"
    assert store.read(where) == Missing()


def test_a_session_full_of_fields_is_written_and_taken_whole(store: LimitedStore) -> None:
    """As many fields as a session may have are written, compared, taken in a step each."""
    where = reference()
    names = [b"f%04d" % number for number in range(1024)]
    fields = tuple(Write(name, b"1", None) for name in names)
    store.apply(where, fields, create=True)
    checks = tuple(Check(name, b"1") for name in names)
    store.apply(where, checks)
    written = store.apply(where, (Take(b"f"),))
    assert written.results == (dict.fromkeys(names, b"1"),)


@pytest.mark.parametrize("count", [1024, 1025, 8_100, 20_000])
@pytest.mark.parametrize("create", [True, False], ids=["created", "there"])
def test_a_commit_of_any_size_is_taken_or_refused_alike(
    store: LimitedStore, count: int, *, create: bool
) -> None:
    """Beyond the cap it is too large, in every store, whether the session is there or not."""
    where = reference()
    if not create:
        store.write(where, (), create=True)
    changes = tuple(Write(b"f%d" % number, b"1", None) for number in range(count))
    outcome = store.write(where, changes, create=create)
    if count <= 1024:
        assert isinstance(outcome, Written)
        assert len(held(store, where)) == count
    else:
        assert outcome == TooLarge("fields", count, 1024)
        assert store.read(where) == Missing() if create else held(store, where) == {}


@pytest.mark.parametrize("count", [1025, 8_100, 20_000])
def test_more_than_lua_hands_to_one_call_is_applied_whole(place: Place, count: int) -> None:
    """Where the cap allows it, thousands of fields are set, compared, named, taken and deleted."""
    store, where = place.new_store(caps=Caps(fields=count, bytes=2**20)), reference()
    names = [b"f%d" % number for number in range(count)]
    made = tuple(Write(name, b"1", None) for name in names)
    store.apply(where, made, create=True)
    both: tuple[Change, ...] = (
        *(Write(name, b"2", b"1") for name in names),
        CheckNames(b"", tuple(names)),
    )
    store.apply(where, both)
    taken = store.apply(where, (Take(b"f", b"g"),))
    assert taken.results == (dict.fromkeys(names, b"2"),)
    gone = tuple(Write(b"g" + name[1:], None, b"2") for name in names)
    store.apply(where, gone)
    assert held(store, where) == {}


def test_a_conflict_of_thousands_of_fields_names_them_all(store: LimitedStore) -> None:
    """However many they are, what is there instead is returned."""
    where = reference()
    store.write(where, (), create=True)
    changes = tuple(Check(b"f%d" % number, b"1") for number in range(20_000))
    outcome = store.write(where, changes)
    assert outcome == Conflicting({b"f%d" % number: None for number in range(20_000)})
