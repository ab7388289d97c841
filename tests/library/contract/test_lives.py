"""How sessions begin and end: lifetimes by the store's clock, slides, tombstones, moves."""

from dataclasses import replace

import pytest
from unsticky.cookie import Reference
from unsticky.limits import Lifetimes
from unsticky.stores.base import (
    UNREAD,
    Add,
    Bind,
    Destroy,
    Gone,
    Missing,
    Move,
    Record,
    Write,
    Written,
)

from tests.support.stores.places import (
    HOUR,
    AtServer,
    LimitedStore,
    Place,
    deadline,
    operation,
    reference,
)

# Short enough to wait for, long against what a call takes here (ms).
SHORT = Lifetimes(idle=400, absolute=None, unused=400)
_UNUSED = Lifetimes(idle=HOUR, absolute=None, unused=400)
"""Uses are apart after a quarter of the unused limit, 100 ms."""


def make(store: LimitedStore, *, where: Reference | None = None) -> Reference:
    """Make a session with one field."""
    where = where or reference()
    write = (Write(b"a", b"1", None),)
    assert isinstance(store.write(where, write, operation(), deadline(), create=True), Written)
    return where


def read(store: LimitedStore, where: Reference) -> Record:
    """Return a session that must be there."""
    record = store.read(where, deadline())
    assert isinstance(record, Record), record
    return record


def test_birth_and_deadline_are_the_stores_time(place: Place) -> None:
    """A session is created now, by the store's clock; its deadline is the absolute limit away."""
    store = place.new_store()
    before = place.now()
    where = make(store)
    record = read(store, where)
    assert before <= record.created <= place.now()
    assert record.ends_at == record.created + 24 * HOUR


def test_an_idle_session_ends(place: Place) -> None:
    """A session that nobody used for its idle limit is not there."""
    store = place.new_store(SHORT)
    where = make(store)
    read(store, where)
    place.let_pass(SHORT.idle + 1)
    assert store.read(where, deadline()) == Missing()


@pytest.mark.parametrize("use", ["read", "write"])
def test_use_keeps_a_session_alive(place: Place, use: str) -> None:
    """Reads and writes move the idle limit: a session used every half limit outlives it."""
    store = place.new_store(SHORT)
    where = make(store)
    for _ in range(4):
        place.let_pass(SHORT.idle // 2)
        if use == "read":
            read(store, where)
        else:
            assert isinstance(store.write(where, (Add(b"n", 1),), operation(), deadline()), Written)


def test_the_idle_limit_moves_once_a_step(place: Place) -> None:
    """The first use slides, those within a step after it do not, the next one after it does."""
    store = place.new_store(Lifetimes(idle=4000, absolute=None, unused=4000))
    where = make(store)
    assert read(store, where).slid
    again = read(store, where)
    assert not again.slid
    seen = again.seen
    for create in (False, True):  # each has its own script
        written = store.write(where, (Add(b"n", 1),), operation(), deadline(), create=create)
        assert isinstance(written, Written)
        assert not written.record.slid
        assert read(store, where).seen == seen
    place.let_pass(200)
    assert read(store, where).slid
    later = read(store, where)
    assert not later.slid
    assert seen is not None
    assert later.seen is not None
    assert later.seen >= seen + 200


def test_rotating_over_and_over_keeps_a_session_alive(place: Place) -> None:
    """Each rotation is a use: a session rotated within every step lives on past its idle limit."""
    store = place.new_store(Lifetimes(idle=600, absolute=None, unused=600))
    where = make(store)
    read(store, where)
    until = place.now() + 700
    while place.now() < until:
        successor = reference()
        moved = store.write(where, (), operation(), deadline(), finish=Move(successor))
        assert isinstance(moved, Written)
        where = successor
        place.let_pass(20)
    read(store, where)


def _use(store: LimitedStore, where: Reference, use: str) -> None:
    if use == "read":
        read(store, where)
    else:
        assert isinstance(store.write(where, (Add(b"n", 1),), operation(), deadline()), Written)


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
    store = place.new_store(_UNUSED)
    where = make(store)
    for milliseconds in apart:
        place.let_pass(milliseconds)
        _use(store, where, use)
    place.let_pass(_UNUSED.unused + 1)
    assert isinstance(store.read(where, deadline()), found)


def test_a_use_that_counts_begins_the_unused_limit_again(place: Place) -> None:
    """The second use does not keep a session for the idle limit, but for the unused limit."""
    store = place.new_store(_UNUSED)
    where = make(store)
    for _ in range(2):
        place.let_pass(_UNUSED.unused - 100)
        read(store, where)


@pytest.mark.parametrize("finish", ["bind", "move"])
def test_a_bound_session_is_in_use(place: Place, finish: str) -> None:
    """A login, or another id, keeps a session for the idle limit at once."""
    store = place.new_store(_UNUSED)
    where, successor = make(store), reference()
    bind = Bind(reference(), None, b"", 9)
    moved = Move(successor, bind if finish == "bind" else None)
    assert isinstance(store.write(where, (), operation(), deadline(), finish=moved), Written)
    read(store, successor)
    place.let_pass(_UNUSED.unused + 1)
    read(store, successor)


def test_a_use_never_shortens_a_life(place: Place) -> None:
    """A session that was made to live for the idle limit, as an adopted one, keeps it."""
    store = place.new_store(replace(_UNUSED, unused=_UNUSED.idle))
    where, store = make(store), store.under(_UNUSED)
    place.let_pass(110)
    read(store, where)
    place.let_pass(_UNUSED.unused + 1)
    read(store, where)


def test_nothing_outlives_the_absolute_limit(place: Place) -> None:
    """Use does not help: at its absolute limit a session is gone, however busy."""
    store = place.new_store(Lifetimes(idle=400, absolute=700, unused=400))
    where = make(store)
    ends_at = read(store, where).ends_at
    while (left := ends_at - place.now()) > 0:
        assert isinstance(store.read(where, deadline()), (Record, Missing))
        place.let_pass(min(left, 100))
    assert store.read(where, deadline()) == Missing()
    assert store.write(where, (Add(b"n", 1),), operation(), deadline()) == Missing()


def test_the_servers_ttl_never_passes_either_limit(server_place: AtServer) -> None:
    """The key's own expiry is at most idle, and at most what is left of the absolute limit."""
    store = server_place.new_store(Lifetimes(idle=HOUR, absolute=HOUR + 1000, unused=1000))
    where, raw = make(store), server_place.server.raw
    key = server_place.key(where)
    for _ in range(2):
        assert 0 < raw.pttl(key) <= 1000
        server_place.let_pass(250)
        read(store, where)
    assert HOUR - 2000 < raw.pttl(key) <= HOUR
    server_place.let_pass(100)
    successor = reference()
    store.write(where, (), operation(), deadline(), finish=Move(successor))
    ceiling = read(store, successor).ends_at - server_place.now()
    assert 0 < raw.pttl(server_place.key(successor)) <= max(ceiling, HOUR)


@pytest.mark.parametrize("kind", ["destroyed", "revoked"])
def test_an_ended_session_leaves_its_kind_and_nothing_else(place: Place, kind: str) -> None:
    """Who comes late is told how it ended; nothing they send, not even `create`, changes that."""
    store = place.new_store()
    where = make(store)
    ended = store.write(where, (), operation(), deadline(), finish=Destroy(kind))
    assert isinstance(ended, Written)
    assert store.read(where, deadline()) == Gone(kind)
    write = (Write(b"a", b"2", UNREAD),)
    assert store.write(where, write, operation(), deadline()) == Gone(kind)
    assert store.write(where, write, operation(), deadline(), create=True) == Gone(kind)
    assert store.write(where, (), operation(), deadline(), finish=Destroy()) == Gone(kind)
    assert store.write(where, (), operation(), deadline(), finish=Move(reference())) == Gone(kind)
    assert store.read(where, deadline()) == Gone(kind)


def test_a_tombstone_holds_no_data_and_goes_after_a_minute(server_place: AtServer) -> None:
    """What stays of an ended session is its kind, for at most 60 seconds."""
    store = server_place.new_store()
    where, raw = make(store), server_place.server.raw
    store.write(where, (), operation(), deadline(), finish=Destroy())
    assert raw.hgetall(server_place.key(where)) == {b"\0t": b"destroyed"}
    assert 50_000 < raw.pttl(server_place.key(where)) <= 60_000


def test_a_tombstone_is_forgotten_after_a_minute() -> None:
    """In memory, too, an ended session is unknown once no request can still hold it."""
    from tests.support.stores.places import Memory

    place = Memory()
    store = place.new_store()
    where = make(store)
    store.write(where, (), operation(), deadline(), finish=Destroy())
    place.let_pass(59_000)
    assert store.read(where, deadline()) == Gone("destroyed")
    place.let_pass(1_000)
    assert store.read(where, deadline()) == Missing()


def test_ending_needs_the_checks_to_hold(place: Place) -> None:
    """An end that comes with a comparison that fails ends nothing."""
    store = place.new_store()
    where = make(store)
    changes = (Write(b"a", b"2", b"0"),)
    outcome = store.write(where, changes, operation(), deadline(), finish=Destroy())
    assert not isinstance(outcome, Written)
    read(store, where)


def test_moving_takes_everything_along(place: Place) -> None:
    """A moved session has its fields, birth and deadline at the new place; the old is rotated."""
    store = place.new_store()
    where, successor = make(store), reference()
    before = read(store, where)
    changes = (Write(b"b", b"2", None), Add(b"n", 1))
    moved = store.write(where, changes, operation(), deadline(), finish=Move(successor), load=True)
    assert isinstance(moved, Written)
    assert moved.results == (1,)
    after = read(store, successor)
    assert after.fields == moved.record.fields == {b"a": b"1", b"b": b"2", b"n": b"1"}
    assert (after.created, after.ends_at) == (before.created, before.ends_at)
    assert store.read(where, deadline()) == Gone("rotated")
    assert store.write(where, (Add(b"n", 1),), operation(), deadline()) == Gone("rotated")
    late = store.write(where, (), operation(), deadline(), create=True, finish=Move(reference()))
    assert late == Gone("rotated")


def test_a_move_that_conflicts_moves_nothing(place: Place) -> None:
    """The comparison fails, so the session stays where it is and nothing is at the new place."""
    store = place.new_store()
    where, successor = make(store), reference()
    changes = (Write(b"a", b"2", b"0"),)
    outcome = store.write(where, changes, operation(), deadline(), finish=Move(successor))
    assert not isinstance(outcome, Written)
    assert read(store, where).fields == {b"a": b"1"}
    assert store.read(successor, deadline()) == Missing()


def test_moving_nothing_moves_nothing(place: Place) -> None:
    """A session that is not there cannot be moved."""
    store, successor = place.new_store(), reference()
    outcome = store.write(reference(), (), operation(), deadline(), finish=Move(successor))
    assert outcome == Missing()
    assert store.read(successor, deadline()) == Missing()
