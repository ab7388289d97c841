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
    Record,
    SetLimits,
    Take,
    Write,
    Written,
)

from tests.support.stores.places import (
    AtServer,
    LimitedStore,
    Place,
    deadline,
    operation,
    reference,
)


def make(store: LimitedStore, size: int = 1) -> "Write":
    """Return a write that makes a session's field `a`."""
    del store
    return Write(b"a", b"\xa1" * size, None)


def test_quarantine_ends_a_session_whose_bytes_still_stand(place: Place) -> None:
    """A session set aside is gone as corrupt for everyone."""
    store, where = place.new_store(), reference()
    store.write(where, (make(store),), operation(), deadline(), create=True)
    place.plant(where, b"a", b"\xc1")
    assert store.quarantine(where, b"a", b"\xc1", deadline())
    assert store.read(where, deadline()) == Gone("corrupt")
    assert not store.quarantine(where, b"a", b"\xc1", deadline())


def test_quarantine_leaves_a_session_that_was_mended(place: Place) -> None:
    """The field holds something else by now: nothing happens."""
    store, where = place.new_store(), reference()
    store.write(where, (make(store),), operation(), deadline(), create=True)
    assert not store.quarantine(where, b"a", b"\xc1", deadline())
    assert isinstance(store.read(where, deadline()), Record)
    assert not store.quarantine(reference(), b"a", b"\xc1", deadline())


def test_what_was_set_aside_can_be_looked_at(server_place: AtServer) -> None:
    """The bytes are kept for a while under a key of their own."""
    store, where, raw = server_place.new_store(), reference(), server_place.server.raw
    store.write(where, (make(store),), operation(), deadline(), create=True)
    server_place.plant(where, b"a", b"\xc1")
    store.quarantine(where, b"a", b"\xc1", deadline())
    kept = server_place.key(where, "q")
    assert raw.hget(kept, b"a") == b"\xc1"
    assert raw.pttl(kept) > 0


def test_a_newer_release_s_session_is_left_alone(server_place: AtServer) -> None:
    """An unknown envelope version refuses every call and changes no byte."""
    store, where, raw = server_place.new_store(), reference(), server_place.server.raw
    store.write(where, (make(store),), operation(), deadline(), create=True)
    key = server_place.key(where)
    raw.hset(key, b"\0m", b"2" + b"whatever a later release writes")
    before = (raw.dump(key), raw.pexpiretime(key))
    calls = (
        lambda: store.read(where, deadline()),
        lambda: store.write(where, (Add(b"n", 1),), operation(), deadline()),
        lambda: store.write(
            where, (Write(b"a", b"1", UNREAD),), operation(), deadline(), create=True
        ),
        lambda: store.write(where, (), operation(), deadline(), finish=Destroy()),
    )
    for call in calls:
        with pytest.raises(StoreUnavailable, match="newer release"):
            call()
    assert (raw.dump(key), raw.pexpiretime(key)) == before


def test_a_server_that_lost_its_scripts_is_given_them(server_place: AtServer) -> None:
    """After its scripts were flushed a call costs one more trip and works."""
    store, where = server_place.new_store(), reference()
    store.write(where, (make(store),), operation(), deadline(), create=True)
    server_place.server.raw.script_flush()
    assert isinstance(store.read(where, deadline()), Record)
    assert isinstance(store.write(where, (Add(b"n", 1),), operation(), deadline()), Written)


def test_a_demoted_server_refuses_to_read_and_write(own_server: AtServer) -> None:
    """A replica does not answer from the past: reads are refused there like writes."""
    store, where, raw = own_server.new_store(), reference(), own_server.server.raw
    store.write(where, (make(store),), operation(), deadline(), create=True)
    raw.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailable):
        store.read(where, deadline())
    with pytest.raises(StoreUnavailable):
        store.read(reference(), deadline())
    with pytest.raises(StoreUnavailable):
        store.write(where, (Add(b"n", 1),), operation(), deadline())
    with pytest.raises(StoreUnavailable):
        store.probe(deadline())
    raw.execute_command("REPLICAOF", "NO", "ONE")
    assert isinstance(store.read(where, deadline()), Record)
    store.probe(deadline())


def test_a_full_server_still_reads_and_ends_and_takes(own_server: AtServer) -> None:
    """Without memory left writes are refused whole; reading, logging out and taking go on."""
    store, raw, user = own_server.new_store(), own_server.server.raw, reference()
    one, two, three = reference(), reference(), reference()
    for where in (one, two, three):
        bind = Bind(user, None, b"", 9)
        made = store.write(
            where, (make(store, 1000),), operation(), deadline(), create=True, finish=bind
        )
        assert isinstance(made, Written)
    raw.config_set("maxmemory-policy", "noeviction")
    raw.config_set("maxmemory", 1)
    for changes in ((Write(b"b", b"1", None),), (Add(b"n", 1),)):
        with pytest.raises(StoreUnavailable):
            store.write(one, changes, operation(), deadline())
    record = store.read(one, deadline())
    assert isinstance(record, Record)
    assert record.fields == {b"a": b"\xa1" * 1000}
    with pytest.raises(StoreUnavailable):
        store.write(reference(), (), operation(), deadline(), create=True)
    with pytest.raises(StoreUnavailable):
        store.probe(deadline())
    taken = store.write(one, (Take(b"a"),), operation(), deadline())
    assert isinstance(taken, Written)
    assert isinstance(store.write(one, (), operation(), deadline(), finish=Destroy()), Written)
    assert isinstance(store.read(one, deadline()), (Gone, Missing))
    assert set(store.end_all(user, None, None, operation(), deadline())) == {two, three}
    assert isinstance(store.read(two, deadline()), (Gone, Missing))
    raw.config_set("maxmemory", 0)
    store.probe(deadline())


def test_a_full_server_still_unbinds(own_server: AtServer) -> None:
    """A logout that keeps the session needs no room; what it would set beside that is refused."""
    store, raw, user = own_server.new_store(), own_server.server.raw, reference()
    where, successor = reference(), reference()
    bind, unbind = Bind(user, None, b"label", 9, b"ann"), Move(successor, unbind=True)
    changes = (make(store, 1000), Write(b"user", b"7", None), SetLimits(7_200_000, None))
    store.write(where, changes, operation(), deadline(), create=True, finish=bind)
    raw.config_set("maxmemory-policy", "noeviction")
    raw.config_set("maxmemory", 1)
    flash = (Write(b"flash", b"1", UNREAD),)
    before = raw.hgetall(own_server.key(where))
    for more in (flash, (SetLimits(None, None),)):
        with pytest.raises(StoreUnavailable):
            store.write(where, more, operation(), deadline(), finish=None)
    with pytest.raises(StoreUnavailable):
        store.write(where, flash, operation(), deadline(), finish=unbind)
    with pytest.raises(StoreUnavailable):
        store.write(where, (), operation(), deadline(), finish=Move(successor))
    assert raw.hgetall(own_server.key(where)) == before
    done = store.write(
        where, (Write(b"user", None, UNREAD),), operation(), deadline(), finish=unbind
    )
    assert isinstance(done, Written)
    record = store.read(successor, deadline())
    assert isinstance(record, Record)
    assert (record.fields, record.user, record.idle) == ({b"a": b"\xa1" * 1000}, b"", None)
    assert store.sessions(user, deadline()) == ()
    assert isinstance(store.read(where, deadline()), (Gone, Missing))
    raw.config_set("maxmemory", 0)


def test_a_full_server_makes_nothing_in_place_of_what_is_past(own_server: AtServer) -> None:
    """Where an old session stands past its limit, a new one is refused like anywhere else."""
    store, raw, where = own_server.new_store(), own_server.server.raw, reference()
    changes = (make(store), SetLimits(50, None))
    store.write(where, changes, operation(), deadline(), create=True)
    raw.persist(own_server.key(where))
    own_server.let_pass(51)
    raw.config_set("maxmemory-policy", "noeviction")
    raw.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable):
        store.write(where, (), operation(), deadline(), create=True)
    assert store.read(where, deadline()) == Missing()
    raw.config_set("maxmemory", 0)
