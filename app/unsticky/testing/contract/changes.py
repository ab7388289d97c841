"""Changes of fields: what is applied, what is compared, what is refused; always all or nothing."""

from __future__ import annotations

import threading

import pytest

from ...cookie import Reference
from ...stores.base import (
    COUNTER_LIMIT,
    UNREAD,
    Add,
    Bind,
    Change,
    Check,
    CheckNames,
    Conflicting,
    Missing,
    NotACounter,
    Refused,
    SetLimits,
    Take,
    Write,
)
from ..places import LimitedStore, Place, reference

PROMISE = "P1"


def make(store: LimitedStore, **fields: bytes) -> Reference:
    """Make a session that holds these fields."""
    where = reference()
    changes = tuple(Write(name.encode(), value, UNREAD) for name, value in fields.items())
    store.apply(where, changes, create=True)
    return where


def held(store: LimitedStore, where: Reference) -> dict[bytes, bytes]:
    """Return what a session holds."""
    record = store.record(where)
    assert record.fields is not None
    return record.fields


def test_nothing_is_there_until_it_is_created(store: LimitedStore) -> None:
    """Reading or writing what is not there answers that, and makes nothing."""
    where = reference()
    write = (Write(b"a", b"1", UNREAD),)
    assert store.read(where) == Missing()
    assert store.write(where, write) == Missing()
    assert store.read(where) == Missing()


def test_a_session_can_be_made_empty(store: LimitedStore) -> None:
    """A session without fields exists."""
    where = reference()
    store.apply(where, (), create=True)
    assert held(store, where) == {}


def test_creating_what_is_there_writes_to_it(store: LimitedStore) -> None:
    """`create` over a living session is a plain write: its fields and birth stay."""
    where = make(store, a=b"1")
    before = store.record(where)
    written = store.apply(where, (Write(b"b", b"2", None),), create=True)
    assert written.record.created == before.created
    assert held(store, where) == {b"a": b"1", b"b": b"2"}


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (Write(b"a", b"2", UNREAD), {b"a": b"2"}),
        (Write(b"a", b"2", b"1"), {b"a": b"2"}),
        (Write(b"b", b"2", UNREAD), {b"a": b"1", b"b": b"2"}),
        (Write(b"b", b"2", None), {b"a": b"1", b"b": b"2"}),
        (Write(b"a", None, b"1"), {}),
        (Write(b"a", None, UNREAD), {}),
        (Write(b"b", None, UNREAD), {b"a": b"1"}),
        (Write(b"b", None, None), {b"a": b"1"}),
        (Write(b"a", b"", b"1"), {b"a": b""}),
        (Check(b"a", b"1"), {b"a": b"1"}),
        (Check(b"b", None), {b"a": b"1"}),
        (CheckNames(b"a", (b"a",)), {b"a": b"1"}),
        (CheckNames(b"", (b"a",)), {b"a": b"1"}),
        (CheckNames(b"a", (b"a", b"a")), {b"a": b"1"}),
        (CheckNames(b"b", ()), {b"a": b"1"}),
        (
            Write(b"\x00\xff{}\r\n", b"\x00\xff\r\n", None),
            {b"a": b"1", b"\0\xff{}\r\n": b"\0\xff\r\n"},
        ),
    ],
    ids=str,
)
def test_a_change_whose_base_still_stands_is_applied(
    store: LimitedStore, change: Change, after: dict[bytes, bytes]
) -> None:
    """What was read still stands, so the change happens, whatever bytes it is made of."""
    where = make(store, a=b"1")
    written = store.apply(where, (change,), load=True)
    assert written.record.fields == after
    assert held(store, where) == after


@pytest.mark.parametrize(
    ("change", "current"),
    [
        (Write(b"a", b"2", b"0"), {b"a": b"1"}),
        (Write(b"a", b"2", None), {b"a": b"1"}),
        (Write(b"a", b"1", b"0"), {b"a": b"1"}),
        (Write(b"a", None, b"0"), {b"a": b"1"}),
        (Write(b"b", b"2", b"0"), {b"b": None}),
        (Write(b"b", None, b"0"), {b"b": None}),
        (Check(b"a", b"0"), {b"a": b"1"}),
        (Check(b"a", None), {b"a": b"1"}),
        (Check(b"b", b"0"), {b"b": None}),
        (CheckNames(b"a", (b"a", b"ab")), {b"a": None}),
        (CheckNames(b"b", (b"b",)), {b"b": None}),
        (CheckNames(b"a", ()), {b"a": None}),
        (CheckNames(b"a", (b"b",)), {b"a": None}),
        (CheckNames(b"", (b"a",)), {b"": None}),
        (CheckNames(b"", (b"a", b"o")), {b"": None}),
        (CheckNames(b"", (b"a", b"n", b"z")), {b"": None}),
        (Write(b"a", None, None), {b"a": b"1"}),
    ],
    ids=str,
)
def test_a_change_whose_base_is_gone_conflicts(
    store: LimitedStore, change: Change, current: dict[bytes, bytes | None]
) -> None:
    """Another value stands than was read: it is returned, and no other change is applied either."""
    where = make(store, a=b"1", n=b"5")
    others = (Write(b"z", b"9", UNREAD), Add(b"n", 1))
    assert store.write(where, (change, *others)) == Conflicting(current)
    assert held(store, where) == {b"a": b"1", b"n": b"5"}


def test_all_conflicts_are_named_at_once(store: LimitedStore) -> None:
    """A commit that meets several conflicts learns of all, so that one merge round settles them."""
    where = make(store, a=b"1", b=b"2")
    changes = (Write(b"a", b"9", b"0"), Write(b"b", b"9", None), Write(b"c", b"9", b"0"))
    assert store.write(where, changes) == Conflicting({b"a": b"1", b"b": b"2", b"c": None})


@pytest.mark.parametrize(
    ("before", "add", "after"),
    [
        (None, Add(b"n", 3), 3),
        (None, Add(b"n", -3), -3),
        (b"5", Add(b"n", -7), -2),
        (b"5", Add(b"n", 0), 5),
        (b"-2", Add(b"n", 2), 0),
        (b"1", Add(b"n", 1, maximum=2), 2),
        (b"1", Add(b"n", -1, minimum=0), 0),
        (None, Add(b"n", COUNTER_LIMIT), COUNTER_LIMIT),
        (None, Add(b"n", -COUNTER_LIMIT), -COUNTER_LIMIT),
        (b"%d" % (COUNTER_LIMIT - 1), Add(b"n", 1), COUNTER_LIMIT),
    ],
    ids=str,
)
def test_adding_within_bounds(
    store: LimitedStore, before: bytes | None, add: Add, after: int
) -> None:
    """A sum within its bounds is stored as canonical decimal and returned."""
    where = make(store, **({"n": before} if before else {"a": b"1"}))
    written = store.apply(where, (add,))
    assert written.results == (after,)
    assert held(store, where)[b"n"] == b"%d" % after


@pytest.mark.parametrize(
    ("before", "add", "current"),
    [
        (b"2", Add(b"n", 1, maximum=2), 2),
        (b"0", Add(b"n", -1, minimum=0), 0),
        (None, Add(b"n", 3, maximum=2), 0),
        (None, Add(b"n", 1, minimum=2), 0),
        (b"%d" % COUNTER_LIMIT, Add(b"n", 1), COUNTER_LIMIT),
        (b"%d" % -COUNTER_LIMIT, Add(b"n", -1), -COUNTER_LIMIT),
        (b"9223372036854775807", Add(b"n", -1), 2**63 - 1),
        (b"-9223372036854775808", Add(b"n", 1), -(2**63)),
    ],
    ids=str,
)
def test_adding_beyond_bounds(
    store: LimitedStore, before: bytes | None, add: Add, current: int
) -> None:
    """A sum beyond its bounds is refused, never clamped; nothing of the write happens."""
    where = make(store, **({"n": before} if before else {"a": b"1"}))
    was = held(store, where)
    changes = (Write(b"z", b"9", UNREAD), add)
    assert store.write(where, changes) == Refused(b"n", current)
    assert held(store, where) == was


@pytest.mark.parametrize(
    "before", [b"\xa1x", b"\xc3", b"\xc0", b"\x90", b"\xcb\x3f\xf0\0\0\0\0\0\0"]
)
def test_adding_to_what_is_no_integer(store: LimitedStore, before: bytes) -> None:
    """Text, True, None, a list and 1.0 are no counters: nothing of the write happens."""
    where = make(store, n=before)
    changes = (Write(b"z", b"9", UNREAD), Add(b"n", 1))
    assert store.write(where, changes) == NotACounter(b"n")
    assert held(store, where) == {b"n": before}


@pytest.mark.parametrize("planted", [b"", b"abc", b"1.5", b"0x1", b" 1", b"1 ", b"+1"])
def test_adding_to_planted_bytes(place: Place, planted: bytes) -> None:
    """Bytes that nothing here ever writes are no counter either, and stay as they are."""
    store = place.new_store()
    where = make(store, n=b"1")
    place.plant(where, b"n", planted)
    assert store.write(where, (Add(b"n", 1),)) == NotACounter(b"n")
    assert held(store, where) == {b"n": planted}


def test_taking_removes_what_it_returns(store: LimitedStore) -> None:
    """Take returns and removes all under its prefix, nothing else; writes beside it land."""
    where = make(store, ma=b"1", mb=b"\xa1x", x=b"3")
    changes = (Take(b"m"), Write(b"out", b"4", UNREAD), Add(b"n", 2))
    written = store.apply(where, changes, load=True)
    assert written.results == ({b"ma": b"1", b"mb": b"\xa1x"}, 2)
    assert held(store, where) == {b"x": b"3", b"out": b"4", b"n": b"2"}
    again = store.apply(where, (Take(b"m"),))
    assert again.results == ({},)


def test_the_librarys_own_fields_are_under_no_prefix(store: LimitedStore) -> None:
    """Names and takes under the empty prefix see the application's fields alone."""
    where = reference()
    bind = Bind(reference(), None, b"label", 5, name=b"ann")
    changes = (Write(b"a", b"1", None), SetLimits(7_200_000, None))
    store.write(where, changes, create=True, finish=bind)
    store.read(where)
    names = (CheckNames(b"", (b"a",)),)
    store.apply(where, names)
    taken = store.apply(where, (Take(b""),))
    assert taken.results == ({b"a": b"1"},)
    record = store.record(where)
    assert (record.fields, record.user, record.idle) == ({}, b"ann", 7_200_000)


def test_parallel_adds_all_count(store: LimitedStore) -> None:
    """Two hundred additions from eight threads add up."""
    where = make(store, a=b"1")

    def add() -> None:
        for _ in range(25):
            store.write(where, (Add(b"n", 1),))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(store, where)[b"n"] == b"200"
