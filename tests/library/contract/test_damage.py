"""Damaged, foreign, full and demoted stores."""

import pytest
from unsticky.errors import StoreUnavailable
from unsticky.stores.base import (
    UNREAD,
    Add,
    Bind,
    Destroy,
    Gone,
    Missing,
    Move,
    SetLimits,
    Take,
    Write,
)

from tests.support.stores.places import AtServer, LimitedStore, Place, deadline, reference


def make(store: LimitedStore, size: int = 1) -> "Write":
    """Return a write that makes a session's field `a`."""
    del store
    return Write(b"a", b"\xa1" * size, None)


def test_quarantine_ends_a_session_whose_bytes_still_stand(place: Place) -> None:
    """A session set aside is gone as corrupt for everyone."""
    store, where = place.new_store(), reference()
    store.write(where, (make(store),), create=True)
    place.plant(where, b"a", b"\xc1")
    assert store.quarantine(where, b"a", b"\xc1", deadline())
    assert store.read(where) == Gone("corrupt")
    assert not store.quarantine(where, b"a", b"\xc1", deadline())


def test_quarantine_leaves_a_session_that_was_mended(store: LimitedStore) -> None:
    """The field holds something else by now: nothing happens."""
    where = reference()
    store.write(where, (make(store),), create=True)
    assert not store.quarantine(where, b"a", b"\xc1", deadline())
    store.record(where)
    assert not store.quarantine(reference(), b"a", b"\xc1", deadline())


def test_what_was_set_aside_can_be_looked_at(server_place: AtServer) -> None:
    """The bytes are kept for a while under a key of their own."""
    store, where, raw = server_place.new_store(), reference(), server_place.server.raw
    store.write(where, (make(store),), create=True)
    server_place.plant(where, b"a", b"\xc1")
    store.quarantine(where, b"a", b"\xc1", deadline())
    kept = server_place.key(where, "q")
    assert raw.hget(kept, b"a") == b"\xc1"
    assert raw.pttl(kept) > 0


def test_a_newer_release_s_session_is_left_alone(server_place: AtServer) -> None:
    """An unknown envelope version refuses every call and changes no byte."""
    store, where, raw = server_place.new_store(), reference(), server_place.server.raw
    store.write(where, (make(store),), create=True)
    key = server_place.key(where)
    raw.hset(key, b"\0m", b"2" + b"whatever a later release writes")
    before = (raw.dump(key), raw.pttl(key))
    calls = (
        lambda: store.read(where),
        lambda: store.write(where, (Add(b"n", 1),)),
        lambda: store.write(where, (Write(b"a", b"1", UNREAD),), create=True),
        lambda: store.write(where, (), finish=Destroy()),
    )
    for call in calls:
        with pytest.raises(StoreUnavailable, match="newer release"):
            call()
    after = (raw.dump(key), raw.pttl(key))
    assert after[0] == before[0]
    assert before[1] - 60_000 < after[1] <= before[1]


def test_a_server_that_lost_its_scripts_is_given_them(server_place: AtServer) -> None:
    """After its scripts were flushed a call costs one more trip and works."""
    store, where = server_place.new_store(), reference()
    store.write(where, (make(store),), create=True)
    server_place.server.raw.script_flush()
    store.record(where)
    store.apply(where, (Add(b"n", 1),))


def test_a_demoted_server_refuses_to_read_and_write(own_server: AtServer) -> None:
    """A replica does not answer from the past: reads are refused there like writes."""
    store, where, raw = own_server.new_store(), reference(), own_server.server.raw
    store.write(where, (make(store),), create=True)
    raw.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailable):
        store.read(where)
    with pytest.raises(StoreUnavailable):
        store.read(reference())
    with pytest.raises(StoreUnavailable):
        store.write(where, (Add(b"n", 1),))
    with pytest.raises(StoreUnavailable):
        store.sessions(reference())
    with pytest.raises(StoreUnavailable):
        store.probe(deadline())
    raw.execute_command("REPLICAOF", "NO", "ONE")
    store.record(where)
    store.probe(deadline())


def test_a_full_server_still_reads_and_ends_and_takes(own_server: AtServer) -> None:
    """Without memory left writes are refused whole; reading, logging out and taking go on."""
    store, raw, user = own_server.new_store(), own_server.server.raw, reference()
    one, two, three = reference(), reference(), reference()
    for where in (one, two, three):
        bind = Bind(user, None, b"", 9)
        store.apply(where, (make(store, 1000),), create=True, finish=bind)
    raw.config_set("maxmemory-policy", "noeviction")
    raw.config_set("maxmemory", 1)
    for changes in ((Write(b"b", b"1", None),), (Add(b"n", 1),)):
        with pytest.raises(StoreUnavailable):
            store.write(one, changes)
    record = store.record(one)
    assert record.fields == {b"a": b"\xa1" * 1000}
    with pytest.raises(StoreUnavailable):
        store.write(reference(), (), create=True)
    with pytest.raises(StoreUnavailable):
        store.probe(deadline())
    store.apply(one, (Take(b"a"),))
    store.apply(one, (), finish=Destroy())
    assert isinstance(store.read(one), (Gone, Missing))
    assert set(store.end_all(user)) == {two, three}
    assert isinstance(store.read(two), (Gone, Missing))
    raw.config_set("maxmemory", 0)
    store.probe(deadline())


def test_a_full_server_still_unbinds(own_server: AtServer) -> None:
    """A logout that keeps the session needs no room; what it would set beside that is refused."""
    store, raw, user = own_server.new_store(), own_server.server.raw, reference()
    where, successor = reference(), reference()
    bind, unbind = Bind(user, None, b"label", 9, b"ann"), Move(successor, unbind=True)
    changes = (make(store, 1000), Write(b"user", b"7", None), SetLimits(7_200_000, None))
    store.write(where, changes, create=True, finish=bind)
    raw.config_set("maxmemory-policy", "noeviction")
    raw.config_set("maxmemory", 1)
    flash = (Write(b"flash", b"1", UNREAD),)
    before = raw.hgetall(own_server.key(where))
    for more in (flash, (SetLimits(None, None),)):
        with pytest.raises(StoreUnavailable):
            store.write(where, more, finish=None)
    with pytest.raises(StoreUnavailable):
        store.write(where, flash, finish=unbind)
    with pytest.raises(StoreUnavailable):
        store.write(where, (), finish=Move(successor))
    assert raw.hgetall(own_server.key(where)) == before
    store.apply(where, (Write(b"user", None, UNREAD),), finish=unbind)
    record = store.record(successor)
    assert (record.fields, record.user, record.idle) == ({b"a": b"\xa1" * 1000}, b"", None)
    assert store.sessions(user) == ()
    assert isinstance(store.read(where), (Gone, Missing))
    raw.config_set("maxmemory", 0)


def test_a_full_server_makes_nothing_in_place_of_what_is_past(own_server: AtServer) -> None:
    """Where an old session stands past its limit, a new one is refused like anywhere else."""
    store, raw, where = own_server.new_store(), own_server.server.raw, reference()
    changes = (make(store), SetLimits(50, None))
    store.write(where, changes, create=True)
    raw.persist(own_server.key(where))
    own_server.let_pass(51)
    raw.config_set("maxmemory-policy", "noeviction")
    raw.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable):
        store.write(where, (), create=True)
    assert store.read(where) == Missing()
    raw.config_set("maxmemory", 0)
