"""Changes of fields: what is applied, what is compared, what is refused; always all or nothing."""

import threading

import pytest
from unsticky.cookie import Reference
from unsticky.stores.base import (
    COUNTER_LIMIT,
    UNREAD,
    Add,
    Bind,
    Caps,
    Change,
    Check,
    CheckNames,
    Conflicting,
    Missing,
    NotACounter,
    Record,
    Refused,
    SetLimits,
    Take,
    TooLarge,
    Write,
    Written,
)

from tests.support.stores.places import LimitedStore, Place, deadline, operation, reference


def make(store: LimitedStore, **fields: bytes) -> Reference:
    """Make a session that holds these fields."""
    where = reference()
    changes = tuple(Write(name.encode(), value, UNREAD) for name, value in fields.items())
    assert isinstance(store.write(where, changes, operation(), deadline(), create=True), Written)
    return where


def held(store: LimitedStore, where: Reference) -> dict[bytes, bytes]:
    """Return what a session holds."""
    record = store.read(where, deadline())
    assert isinstance(record, Record)
    assert record.fields is not None
    return record.fields


def test_nothing_is_there_until_it_is_created(place: Place) -> None:
    """Reading or writing what is not there answers that, and makes nothing."""
    store, where = place.new_store(), reference()
    write = (Write(b"a", b"1", UNREAD),)
    assert store.read(where, deadline()) == Missing()
    assert store.write(where, write, operation(), deadline()) == Missing()
    assert store.read(where, deadline()) == Missing()


def test_a_session_can_be_made_empty(place: Place) -> None:
    """A session without fields exists."""
    store, where = place.new_store(), reference()
    assert isinstance(store.write(where, (), operation(), deadline(), create=True), Written)
    assert held(store, where) == {}


def test_creating_what_is_there_writes_to_it(place: Place) -> None:
    """`create` over a living session is a plain write: its fields and birth stay."""
    store = place.new_store()
    where = make(store, a=b"1")
    before = store.read(where, deadline())
    written = store.write(where, (Write(b"b", b"2", None),), operation(), deadline(), create=True)
    assert isinstance(written, Written)
    assert isinstance(before, Record)
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
    place: Place, change: Change, after: dict[bytes, bytes]
) -> None:
    """What was read still stands, so the change happens, whatever bytes it is made of."""
    store = place.new_store()
    where = make(store, a=b"1")
    written = store.write(where, (change,), operation(), deadline(), load=True)
    assert isinstance(written, Written)
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
    place: Place, change: Change, current: dict[bytes, bytes | None]
) -> None:
    """Another value stands than was read: it is returned, and no other change is applied either."""
    store = place.new_store()
    where = make(store, a=b"1", n=b"5")
    others = (Write(b"z", b"9", UNREAD), Add(b"n", 1))
    assert store.write(where, (change, *others), operation(), deadline()) == Conflicting(current)
    assert held(store, where) == {b"a": b"1", b"n": b"5"}


def test_all_conflicts_are_named_at_once(place: Place) -> None:
    """A commit that meets several conflicts learns of all, so that one merge round settles them."""
    store = place.new_store()
    where = make(store, a=b"1", b=b"2")
    changes = (Write(b"a", b"9", b"0"), Write(b"b", b"9", None), Write(b"c", b"9", b"0"))
    assert store.write(where, changes, operation(), deadline()) == Conflicting(
        {b"a": b"1", b"b": b"2", b"c": None}
    )


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
def test_adding_within_bounds(place: Place, before: bytes | None, add: Add, after: int) -> None:
    """A sum within its bounds is stored as canonical decimal and returned."""
    store = place.new_store()
    where = make(store, **({"n": before} if before else {"a": b"1"}))
    written = store.write(where, (add,), operation(), deadline())
    assert isinstance(written, Written)
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
def test_adding_beyond_bounds(place: Place, before: bytes | None, add: Add, current: int) -> None:
    """A sum beyond its bounds is refused, never clamped; nothing of the write happens."""
    store = place.new_store()
    where = make(store, **({"n": before} if before else {"a": b"1"}))
    was = held(store, where)
    changes = (Write(b"z", b"9", UNREAD), add)
    assert store.write(where, changes, operation(), deadline()) == Refused(b"n", current)
    assert held(store, where) == was


@pytest.mark.parametrize(
    "before", [b"\xa1x", b"\xc3", b"\xc0", b"\x90", b"\xcb\x3f\xf0\0\0\0\0\0\0"]
)
def test_adding_to_what_is_no_integer(place: Place, before: bytes) -> None:
    """Text, True, None, a list and 1.0 are no counters: nothing of the write happens."""
    store = place.new_store()
    where = make(store, n=before)
    changes = (Write(b"z", b"9", UNREAD), Add(b"n", 1))
    assert store.write(where, changes, operation(), deadline()) == NotACounter(b"n")
    assert held(store, where) == {b"n": before}


@pytest.mark.parametrize("planted", [b"", b"abc", b"1.5", b"0x1", b" 1", b"1 ", b"+1"])
def test_adding_to_planted_bytes(place: Place, planted: bytes) -> None:
    """Bytes that nothing here ever writes are no counter either, and stay as they are."""
    store = place.new_store()
    where = make(store, n=b"1")
    place.plant(where, b"n", planted)
    assert store.write(where, (Add(b"n", 1),), operation(), deadline()) == NotACounter(b"n")
    assert held(store, where) == {b"n": planted}


def test_taking_removes_what_it_returns(place: Place) -> None:
    """Take returns and removes all under its prefix, nothing else; writes beside it land."""
    store = place.new_store()
    where = make(store, ma=b"1", mb=b"\xa1x", x=b"3")
    changes = (Take(b"m"), Write(b"out", b"4", UNREAD), Add(b"n", 2))
    written = store.write(where, changes, operation(), deadline(), load=True)
    assert isinstance(written, Written)
    assert written.results == ({b"ma": b"1", b"mb": b"\xa1x"}, 2)
    assert held(store, where) == {b"x": b"3", b"out": b"4", b"n": b"2"}
    again = store.write(where, (Take(b"m"),), operation(), deadline())
    assert isinstance(again, Written)
    assert again.results == ({},)


def test_the_number_of_fields_is_capped(place: Place) -> None:
    """The last field that fits is taken, the next one refused whole, also when creating."""
    store = place.new_store(caps=Caps(fields=3, bytes=10_000))
    where = make(store, a=b"1", b=b"1", c=b"1")
    refused = store.write(where, (Write(b"d", b"1", None),), operation(), deadline())
    assert refused == TooLarge("fields", 4, 3)
    assert held(store, where) == {b"a": b"1", b"b": b"1", b"c": b"1"}
    swap = (Write(b"a", None, b"1"), Write(b"d", b"1", None))
    assert isinstance(store.write(where, swap, operation(), deadline()), Written)
    four = tuple(Write(name, b"1", None) for name in (b"a", b"b", b"c", b"d"))
    elsewhere = reference()
    made = store.write(elsewhere, four, operation(), deadline(), create=True)
    assert made == TooLarge("fields", 4, 3)
    assert store.read(elsewhere, deadline()) == Missing()


def test_the_size_is_capped(place: Place) -> None:
    """Names and values up to the cap fit; a byte more is refused; what shrinks always may."""
    store = place.new_store(caps=Caps(fields=10, bytes=20))
    where = make(store, a=b"x" * 19)
    longer = (Write(b"a", b"x" * 20, UNREAD),)
    assert store.write(where, longer, operation(), deadline()) == TooLarge("bytes", 21, 20)
    more = (Write(b"b", b"", None),)
    assert store.write(where, more, operation(), deadline()) == TooLarge("bytes", 21, 20)
    assert held(store, where) == {b"a": b"x" * 19}
    swap = (Write(b"a", None, b"x" * 19), Write(b"b", b"y" * 19, None))
    assert isinstance(store.write(where, swap, operation(), deadline()), Written)
    assert isinstance(store.write(where, (Take(b"b"),), operation(), deadline()), Written)


def test_the_caps_leave_room_for_the_librarys_own_fields(place: Place) -> None:
    """What a store keeps for itself does not count: a session that was used is capped alike."""
    store = place.new_store(caps=Caps(fields=2, bytes=4))
    where = make(store, a=b"1")
    store.read(where, deadline())
    assert isinstance(
        store.write(where, (Write(b"b", b"1", None),), operation(), deadline()), Written
    )
    third = (Write(b"c", b"", None),)
    assert store.write(where, third, operation(), deadline()) == TooLarge("fields", 3, 2)


def test_a_huge_commit_is_refused_as_too_large(place: Place) -> None:
    """Ten thousand new fields are too many, and that is the answer, not a failure of the store."""
    store, where = place.new_store(), reference()
    changes = tuple(Write(b"f%d" % number, b"1", None) for number in range(10_000))
    outcome = store.write(where, changes, operation(), deadline(), create=True)
    assert isinstance(outcome, TooLarge)
    assert outcome.what == "fields"
    assert store.read(where, deadline()) == Missing()


def test_a_session_full_of_fields_is_written_and_taken_whole(place: Place) -> None:
    """As many fields as a session may have are written, compared, taken in a step each."""
    store, where = place.new_store(), reference()
    names = [b"f%04d" % number for number in range(1024)]
    fields = tuple(Write(name, b"1", None) for name in names)
    assert isinstance(store.write(where, fields, operation(), deadline(), create=True), Written)
    checks = tuple(Check(name, b"1") for name in names)
    assert isinstance(store.write(where, checks, operation(), deadline()), Written)
    written = store.write(where, (Take(b"f"),), operation(), deadline())
    assert isinstance(written, Written)
    assert written.results == (dict.fromkeys(names, b"1"),)


@pytest.mark.parametrize("count", [1024, 1025, 8_100, 20_000])
@pytest.mark.parametrize("create", [True, False], ids=["created", "there"])
def test_a_commit_of_any_size_is_taken_or_refused_alike(
    place: Place, count: int, *, create: bool
) -> None:
    """Beyond the cap it is too large, in every store, whether the session is there or not."""
    store, where = place.new_store(), reference()
    if not create:
        store.write(where, (), operation(), deadline(), create=True)
    changes = tuple(Write(b"f%d" % number, b"1", None) for number in range(count))
    outcome = store.write(where, changes, operation(), deadline(), create=create)
    if count <= 1024:
        assert isinstance(outcome, Written)
        assert len(held(store, where)) == count
    else:
        assert outcome == TooLarge("fields", count, 1024)
        assert store.read(where, deadline()) == Missing() if create else held(store, where) == {}


@pytest.mark.parametrize("count", [1025, 8_100, 20_000])
def test_more_than_lua_hands_to_one_call_is_applied_whole(place: Place, count: int) -> None:
    """Where the cap allows it, thousands of fields are set, compared, named, taken and deleted."""
    store, where = place.new_store(caps=Caps(fields=count, bytes=2**20)), reference()
    names = [b"f%d" % number for number in range(count)]
    made = tuple(Write(name, b"1", None) for name in names)
    assert isinstance(store.write(where, made, operation(), deadline(), create=True), Written)
    both: tuple[Change, ...] = (
        *(Write(name, b"2", b"1") for name in names),
        CheckNames(b"", tuple(names)),
    )
    assert isinstance(store.write(where, both, operation(), deadline()), Written)
    taken = store.write(where, (Take(b"f", b"g"),), operation(), deadline())
    assert isinstance(taken, Written)
    assert taken.results == (dict.fromkeys(names, b"2"),)
    gone = tuple(Write(b"g" + name[1:], None, b"2") for name in names)
    assert isinstance(store.write(where, gone, operation(), deadline()), Written)
    assert held(store, where) == {}


def test_a_conflict_of_thousands_of_fields_names_them_all(place: Place) -> None:
    """However many they are, what is there instead is returned."""
    store, where = place.new_store(), reference()
    store.write(where, (), operation(), deadline(), create=True)
    changes = tuple(Check(b"f%d" % number, b"1") for number in range(20_000))
    outcome = store.write(where, changes, operation(), deadline())
    assert outcome == Conflicting({b"f%d" % number: None for number in range(20_000)})


def test_the_librarys_own_fields_are_under_no_prefix(place: Place) -> None:
    """Names and takes under the empty prefix see the application's fields alone."""
    store, where = place.new_store(), reference()
    bind = Bind(reference(), None, b"label", 5, name=b"ann")
    changes = (Write(b"a", b"1", None), SetLimits(7_200_000, None))
    store.write(where, changes, operation(), deadline(), create=True, finish=bind)
    store.read(where, deadline())
    names = (CheckNames(b"", (b"a",)),)
    assert isinstance(store.write(where, names, operation(), deadline()), Written)
    taken = store.write(where, (Take(b""),), operation(), deadline())
    assert isinstance(taken, Written)
    assert taken.results == ({b"a": b"1"},)
    record = store.read(where, deadline())
    assert isinstance(record, Record)
    assert (record.fields, record.user, record.idle) == ({}, b"ann", 7_200_000)


def test_parallel_adds_all_count(place: Place) -> None:
    """Two hundred additions from eight threads add up."""
    store = place.new_store()
    where = make(store, a=b"1")

    def add() -> None:
        for _ in range(25):
            store.write(where, (Add(b"n", 1),), operation(), deadline())

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(store, where)[b"n"] == b"200"
