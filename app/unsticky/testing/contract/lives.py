"""How sessions begin and end: lifetimes by the store's clock, slides, tombstones, moves."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ...cookie import Reference
from ...limits import Lifetimes
from ...stores.base import UNREAD, Add, Bind, Destroy, Gone, Missing, Move, Record, Write, Written
from ..places import HOUR, LimitedStore, Place, reference
from ..promises import promise

PROMISE = "P5"

# Short enough to wait for, long against what a call takes here (ms).
SHORT = Lifetimes(idle=400, absolute=None, unused=400)
_UNUSED = Lifetimes(idle=HOUR, absolute=None, unused=400)
"""Uses are apart after a quarter of the unused limit, 100 ms."""
# A use that is later than this may count as one more (ms).
_ON_TIME = 80


def make(store: LimitedStore, *, where: Reference | None = None) -> Reference:
    """Make a session with one field."""
    where = where or reference()
    write = (Write(b"a", b"1", None),)
    store.apply(where, write, create=True)
    return where


def test_birth_and_deadline_are_the_stores_time(place: Place) -> None:
    """A session is created now, by the store's clock; its deadline is the absolute limit away."""
    store = place.new_store()
    before = place.now()
    where = make(store)
    record = store.record(where)
    assert before <= record.created <= place.now()
    assert record.ends_at == record.created + 24 * HOUR


def test_an_idle_session_ends(place: Place) -> None:
    """A session that nobody used for its idle limit is not there."""
    store = place.new_store(SHORT)
    where = make(store)
    store.record(where)
    place.let_pass(SHORT.idle + 1)
    assert store.read(where) == Missing()


@pytest.mark.parametrize("use", ["read", "write"])
def test_use_keeps_a_session_alive(place: Place, use: str) -> None:
    """Reads and writes move the idle limit: a session used every half limit outlives it."""
    idle = SHORT.idle * _slower(place)
    store = place.new_store(Lifetimes(idle=idle, absolute=None, unused=idle))
    where = make(store)
    for _ in range(4):
        place.let_pass(idle // 2)
        if use == "read":
            store.record(where)
        else:
            store.apply(where, (Add(b"n", 1),))


def test_the_idle_limit_moves_once_a_step(place: Place) -> None:
    """The first use slides, those within a step after it do not, the next one after it does."""
    store = place.new_store(Lifetimes(idle=4000, absolute=None, unused=4000))
    where = make(store)
    assert store.record(where).slid
    again = store.record(where)
    assert not again.slid
    seen = again.seen
    for create in (False, True):  # each has its own script
        written = store.apply(where, (Add(b"n", 1),), create=create)
        assert not written.record.slid
        assert store.record(where).seen == seen
    place.let_pass(200)
    assert store.record(where).slid
    later = store.record(where)
    assert not later.slid
    assert seen is not None
    assert later.seen is not None
    assert later.seen >= seen + 200


def test_rotating_over_and_over_keeps_a_session_alive(place: Place) -> None:
    """Each rotation is a use: a session rotated within every step lives on past its idle limit."""
    store = place.new_store(Lifetimes(idle=600, absolute=None, unused=600))
    where = make(store)
    store.record(where)
    until = place.now() + 700
    while place.now() < until:
        successor = reference()
        store.apply(where, (), finish=Move(successor))
        where = successor
        place.let_pass(20)
    store.record(where)


def _slower(place: Place) -> int:
    """Return by what times are multiplied for ten uses of the store to be on time."""
    if place.moves_clock:
        return 1
    store = place.new_store()
    where, begun = make(store), time.monotonic()
    for _ in range(5):
        _use(store, where, "read")
        _use(store, where, "write")
    return 1 + int((time.monotonic() - begun) * 2000 / _ON_TIME)


def _use(store: LimitedStore, where: Reference, use: str) -> None:
    if use == "read":
        store.record(where)
    else:
        store.apply(where, (Add(b"n", 1),))


@pytest.mark.parametrize("use", ["read", "write"])
@pytest.mark.parametrize(
    ("apart", "found"),
    [
        ((), Missing),
        ((0,) * 9, Missing),
        ((110,), Missing),
        ((0, 110), Missing),
        ((110, 110), Record),
        ((0, 110, 110), Record),
    ],
)
def test_three_uses_apart_keep_a_session(
    place: Place, use: str, apart: tuple[int, ...], found: type
) -> None:
    """A session lives for the unused limit until three uses of it, the first included, are apart.

    Uses that follow each other count as one, however many there are.
    """
    slower = _slower(place)

    def lived() -> Record | Missing | None:
        """Return what is there at the end, None if a busy machine was late with a use."""
        store = place.new_store(replace(_UNUSED, unused=_UNUSED.unused * slower))
        where, due = make(store), place.now()
        for milliseconds in apart:
            place.let_pass(milliseconds * slower)
            due += milliseconds * slower
            if isinstance(store.read(where, slide=False), Record):
                _use(store, where, use)
            if place.now() - due > _ON_TIME * slower:
                return None
        place.let_pass(_UNUSED.unused * slower + 1)
        left = store.read(where)
        assert isinstance(left, (Record, Missing))
        return left

    tries = (lived() for _ in range(50))
    assert isinstance(next(left for left in tries if left is not None), found)


def test_a_use_that_counts_begins_the_unused_limit_again(place: Place) -> None:
    """The second use does not keep a session for the idle limit, but for the unused limit."""
    unused = 3 * _UNUSED.unused * _slower(place)
    store = place.new_store(replace(_UNUSED, unused=unused))
    where = make(store)
    for _ in range(2):
        place.let_pass(unused * 5 // 8)
        store.record(where)


@pytest.mark.parametrize("finish", ["bind", "move"])
def test_a_bound_session_is_in_use(place: Place, finish: str) -> None:
    """A login, or another id, keeps a session for the idle limit at once."""
    store = place.new_store(_UNUSED)
    where, successor = make(store), reference()
    bind = Bind(reference(), None, b"", 9)
    moved = Move(successor, bind if finish == "bind" else None)
    store.apply(where, (), finish=moved)
    store.record(successor)
    place.let_pass(_UNUSED.unused + 1)
    store.record(successor)


def test_a_use_never_shortens_a_life(place: Place) -> None:
    """A session that was made to live for the idle limit, as an adopted one, keeps it."""
    store = place.new_store(replace(_UNUSED, unused=_UNUSED.idle))
    where, store = make(store), store.under(_UNUSED)
    place.let_pass(110)
    store.record(where)
    place.let_pass(_UNUSED.unused + 1)
    store.record(where)


def test_nothing_outlives_the_absolute_limit(place: Place) -> None:
    """Use does not help: at its absolute limit a session is gone, however busy."""
    store = place.new_store(Lifetimes(idle=400, absolute=700, unused=400))
    where = make(store)
    ends_at = store.record(where).ends_at
    while (left := ends_at - place.now()) > 0:
        assert isinstance(store.read(where), (Record, Missing))
        place.let_pass(min(left, 100))
    assert store.read(where) == Missing()
    assert store.write(where, (Add(b"n", 1),)) == Missing()


@promise("P2")
@pytest.mark.parametrize("kind", ["destroyed", "revoked"])
def test_an_ended_session_leaves_its_kind_and_nothing_else(store: LimitedStore, kind: str) -> None:
    """Who comes late is told how it ended; nothing they send, not even `create`, changes that."""
    where = make(store)
    store.apply(where, (), finish=Destroy(kind))
    assert store.read(where) == Gone(kind)
    write = (Write(b"a", b"2", UNREAD),)
    assert store.write(where, write) == Gone(kind)
    assert store.write(where, write, create=True) == Gone(kind)
    assert store.write(where, (), finish=Destroy()) == Gone(kind)
    assert store.write(where, (), finish=Move(reference())) == Gone(kind)
    assert store.read(where) == Gone(kind)


@promise("P2")
def test_ending_needs_the_checks_to_hold(store: LimitedStore) -> None:
    """An end that comes with a comparison that fails ends nothing."""
    where = make(store)
    changes = (Write(b"a", b"2", b"0"),)
    outcome = store.write(where, changes, finish=Destroy())
    assert not isinstance(outcome, Written)
    store.record(where)


@promise("P7")
def test_moving_takes_everything_along(store: LimitedStore) -> None:
    """A moved session has its fields, birth and deadline at the new place; the old is rotated."""
    where, successor = make(store), reference()
    before = store.record(where)
    changes = (Write(b"b", b"2", None), Add(b"n", 1))
    moved = store.apply(where, changes, finish=Move(successor), load=True)
    assert moved.results == (1,)
    after = store.record(successor)
    assert after.fields == moved.record.fields == {b"a": b"1", b"b": b"2", b"n": b"1"}
    assert (after.created, after.ends_at) == (before.created, before.ends_at)
    assert store.read(where) == Gone("rotated")
    assert store.write(where, (Add(b"n", 1),)) == Gone("rotated")
    late = store.write(where, (), create=True, finish=Move(reference()))
    assert late == Gone("rotated")


@promise("P7")
def test_a_move_that_conflicts_moves_nothing(store: LimitedStore) -> None:
    """The comparison fails, so the session stays where it is and nothing is at the new place."""
    where, successor = make(store), reference()
    changes = (Write(b"a", b"2", b"0"),)
    outcome = store.write(where, changes, finish=Move(successor))
    assert not isinstance(outcome, Written)
    assert store.record(where).fields == {b"a": b"1"}
    assert store.read(successor) == Missing()


@promise("P7")
def test_moving_nothing_moves_nothing(store: LimitedStore) -> None:
    """A session that is not there cannot be moved."""
    successor = reference()
    outcome = store.write(reference(), (), finish=Move(successor))
    assert outcome == Missing()
    assert store.read(successor) == Missing()
