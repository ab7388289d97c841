"""Limits that come with each call, and limits that a session has for itself."""

from __future__ import annotations

import pytest

from ...cookie import Reference
from ...limits import Lifetimes
from ...stores.base import (
    UNREAD,
    Add,
    Bind,
    Caps,
    Change,
    Check,
    Conflicting,
    Destroy,
    Finish,
    Missing,
    Move,
    Record,
    SetLimits,
    TooLarge,
    Write,
)
from ..places import HOUR, LIFETIMES, LimitedStore, Place, reference

PROMISE = "P5"

DAY = 24 * HOUR
# Short enough to wait for, long against what a call takes here (ms).
BRIEF = Lifetimes(idle=600, absolute=None, unused=600)


def make(store: LimitedStore, *changes: Change, finish: Finish = None) -> Reference:
    """Make a session with one field."""
    where = reference()
    changes = (Write(b"a", b"1", None), *changes)
    store.apply(where, changes, create=True, finish=finish)
    return where


def write(store: LimitedStore, where: Reference, *changes: Change, finish: Finish = None) -> Record:
    """Write to a session that must be there."""
    written = store.apply(where, changes, finish=finish)
    return written.record


# The limits of a call.


def test_a_lowered_idle_limit_refuses_what_was_seen_before_it(place: Place) -> None:
    """A session last seen longer ago than this call's limit is missing, to reads and writes."""
    store = place.new_store()
    where, lowered = make(store), store.under(BRIEF)
    store.record(where)
    place.let_pass(BRIEF.idle + 1)
    assert lowered.read(where) == Missing()
    assert lowered.write(where, (Add(b"n", 1),)) == Missing()
    assert lowered.write(where, (), finish=Destroy()) == Missing()
    assert store.record(where).fields == {b"a": b"1"}


def test_a_lowered_idle_limit_counts_from_creation_where_nothing_was_seen(place: Place) -> None:
    """A session that was only made is missing once the limit of this call has passed."""
    store = place.new_store()
    where = make(store)
    store.under(BRIEF).record(where, slide=False)
    place.let_pass(BRIEF.idle + 1)
    assert store.under(BRIEF).read(where) == Missing()


def test_creating_over_what_is_past_starts_empty(place: Place) -> None:
    """Where an old session still stands past its limit, a new one has none of its fields."""
    store, user = place.new_store(), reference()
    where = make(
        store, SetLimits(2 * HOUR, None), finish=Bind(user, None, b"label", 5, name=b"ann")
    )
    write(store, where, SetLimits(BRIEF.idle, None))
    place.let_pass(BRIEF.idle + 1)
    changes = (Write(b"b", b"2", None),)
    made = store.apply(where, changes, create=True, load=True)
    assert made.record.fields == {b"b": b"2"}
    assert (made.record.user, made.record.idle, made.record.label) == (b"", None, b"")
    assert store.sessions(user) == ()
    assert store.end_all(user) == ()


def test_a_raised_idle_limit_holds_from_the_next_use(place: Place) -> None:
    """A session used under a longer limit lives for that, though it was just seen."""
    store = place.new_store(BRIEF)
    where = make(store)
    store.record(where)
    assert store.under(LIFETIMES).record(where).slid
    place.let_pass(BRIEF.idle + 1)
    assert store.under(LIFETIMES).record(where).fields == {b"a": b"1"}


def test_a_read_that_does_not_slide_leaves_the_limits_alone(place: Place) -> None:
    """With `slide` off nothing moves: the session ends as if it had not been read."""
    store = place.new_store(BRIEF)
    where = make(store)
    store.record(where)
    seen = store.record(where, slide=False).seen
    place.let_pass(BRIEF.idle // 2)
    again = store.record(where, slide=False)
    assert (again.slid, again.seen) == (False, seen)
    place.let_pass(BRIEF.idle // 2 + 1)
    assert store.read(where) == Missing()


def test_own_limits_replace_the_application_s(store: LimitedStore) -> None:
    """The idle limit is told with every answer, and the deadline counts from the creation."""
    where = make(store)
    created = store.record(where).created
    written = write(store, where, SetLimits(2 * HOUR, 3 * DAY), Write(b"b", b"2", None))
    assert (written.created, written.ends_at) == (created, created + 3 * DAY)
    assert (written.idle, written.slid) == (2 * HOUR, True)
    record = store.record(where)
    assert (record.ends_at, record.idle) == (created + 3 * DAY, 2 * HOUR)
    assert record.fields == {b"a": b"1", b"b": b"2"}
    assert write(store, where, Add(b"n", 1)).idle == 2 * HOUR
    assert write(store, where, finish=Destroy()).idle == 2 * HOUR


def test_own_limits_are_taken_back(store: LimitedStore) -> None:
    """With None for both, the application's count again, from the creation."""
    where = make(store, SetLimits(2 * HOUR, 3 * DAY))
    before = store.record(where)
    assert (before.idle, before.ends_at) == (2 * HOUR, before.created + 3 * DAY)
    written = write(store, where, SetLimits(None, None))
    assert (written.idle, written.ends_at) == (None, before.created + DAY)
    assert store.record(where).idle is None


@pytest.mark.parametrize(
    ("limits", "idle", "absolute"),
    [
        (SetLimits(2 * HOUR, None), 2 * HOUR, DAY),
        (SetLimits(None, 2 * DAY), None, 2 * DAY),
    ],
    ids=str,
)
def test_one_own_limit_leaves_the_other_to_the_application(
    store: LimitedStore, limits: SetLimits, idle: int | None, absolute: int
) -> None:
    """None means the application's limit, for each of the two."""
    record = store.record(make(store, limits))
    assert (record.idle, record.ends_at) == (idle, record.created + absolute)


def test_own_limits_need_no_absolute_one_of_the_application(place: Place) -> None:
    """Where the application has no absolute limit, a session may have one, and lose it again."""
    store = place.new_store(Lifetimes(idle=HOUR, absolute=None, unused=HOUR))
    where = make(store, SetLimits(None, DAY))
    record = store.record(where)
    assert record.ends_at == record.created + DAY
    assert write(store, where, SetLimits(None, None)).ends_at == 0


def test_a_shorter_own_idle_limit_ends_the_session(place: Place) -> None:
    """A session with a limit of its own ends by it, however long the application's is."""
    store = place.new_store()
    where = make(store)
    write(store, where, SetLimits(150, None))
    place.let_pass(151)
    assert store.read(where) == Missing()


def test_a_longer_own_idle_limit_keeps_the_session(place: Place) -> None:
    """A session whose own limit is longer outlives the application's."""
    store = place.new_store(BRIEF)
    where = make(store)
    write(store, where, SetLimits(HOUR, None))
    place.let_pass(BRIEF.idle + 1)
    assert store.record(where).fields == {b"a": b"1"}


def test_own_limits_do_not_spare_a_session_seen_once(place: Place) -> None:
    """Until it is used again, a session made with own limits lives for the unused limit."""
    store = place.new_store(Lifetimes(idle=HOUR, absolute=None, unused=100))
    where = make(store, SetLimits(2 * HOUR, None))
    place.let_pass(101)
    assert store.read(where) == Missing()


def test_an_own_absolute_limit_that_has_passed_ends_the_session(place: Place) -> None:
    """A deadline before now is answered, and the session is missing from then on."""
    store = place.new_store()
    where = make(store)
    place.let_pass(20)
    changes = (SetLimits(None, 10),)
    written = store.apply(where, changes, load=True)
    assert written.record.ends_at <= place.now()
    assert written.record.fields == {b"a": b"1"}
    assert store.read(where) == Missing()


def test_binding_counts_an_own_absolute_limit_from_now(place: Place) -> None:
    """A bound session begins again: created now, with its own limits, whether set before or now."""
    store, user = place.new_store(), reference()
    before, at_once = make(store, SetLimits(2 * HOUR, 3 * DAY)), make(store)
    place.let_pass(5)
    bound_at = place.now()
    bind = Bind(user, None, b"", 5)
    for where, changes in ((before, ()), (at_once, (SetLimits(2 * HOUR, 3 * DAY),))):
        successor = reference()
        written = write(store, where, *changes, finish=Move(successor, bind))
        record = store.record(successor)
        assert record.created == written.created >= bound_at
        assert record.ends_at == written.ends_at == record.created + 3 * DAY
        assert record.idle == written.idle == 2 * HOUR


def test_binding_at_creation_takes_own_limits(store: LimitedStore) -> None:
    """A session made, limited and bound in one step has all three."""
    user = reference()
    record = store.record(
        make(store, SetLimits(2 * HOUR, 3 * DAY), finish=Bind(user, None, b"", 5, b"ann"))
    )
    assert record.ends_at == record.created + 3 * DAY
    assert (record.idle, record.user) == (2 * HOUR, b"ann")


def test_moving_keeps_own_limits(store: LimitedStore) -> None:
    """A rotation changes neither limit."""
    successor = reference()
    where = make(store, SetLimits(2 * HOUR, 3 * DAY))
    before = store.record(where)
    assert write(store, where, finish=Move(successor)).idle == 2 * HOUR
    after = store.record(successor)
    assert (after.created, after.ends_at, after.idle) == (
        before.created,
        before.ends_at,
        2 * HOUR,
    )


def test_own_limits_are_set_with_all_else_or_not_at_all(place: Place) -> None:
    """A conflict beside them, or a refusal of the size, leaves the limits as they were."""
    store = place.new_store(caps=Caps(fields=2, bytes=1000))
    where = make(store)
    before = store.record(where)
    limits = SetLimits(2 * HOUR, 3 * DAY)
    outcome = store.write(where, (limits, Check(b"a", b"2")))
    assert outcome == Conflicting({b"a": b"1"})
    more = (limits, Write(b"b", b"", UNREAD), Write(b"c", b"", UNREAD))
    assert store.write(where, more) == TooLarge("fields", 3, 2)
    record = store.record(where)
    assert (record.ends_at, record.idle) == (before.ends_at, None)


def test_own_limits_and_names_count_for_no_cap(place: Place) -> None:
    """What the library keeps for itself takes no room from the application's fields."""
    store, user = place.new_store(caps=Caps(fields=2, bytes=4)), reference()
    where = make(store, SetLimits(2 * HOUR, 3 * DAY), finish=Bind(user, None, b"l", 5, b"ann"))
    write(store, where, Write(b"b", b"1", None))
    third = (Write(b"c", b"", None),)
    assert store.write(where, third) == TooLarge("fields", 3, 2)
    assert store.record(where).fields == {b"a": b"1", b"b": b"1"}


def test_own_limits_are_what_a_list_of_sessions_tells(place: Place) -> None:
    """The list has each session's own idle limit, and leaves out what is past it."""
    store, user = place.new_store(), reference()
    bind = Bind(user, None, b"", 5)
    long = make(store, SetLimits(2 * HOUR, None), finish=bind)
    short = make(store, SetLimits(500, None), finish=bind)
    assert {entry.reference: entry.record.idle for entry in store.sessions(user)} == {
        long: 2 * HOUR,
        short: 500,
    }
    place.let_pass(501)
    assert [entry.reference for entry in store.sessions(user)] == [long]
