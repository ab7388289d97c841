"""Taking a session from its user: one step with a new reference, or nothing."""

from unsticky.stores.base import Move
from unsticky.testing.contract import unbind
from unsticky.testing.contract.unbind import login

from tests.support.stores.places import AtServer, reference
from tests.support.stores.proof import collected_from

globals().update(collected_from(unbind))


def test_a_bind_of_an_earlier_release_takes_the_name_away(server_place: AtServer) -> None:
    """That release knows no name and leaves it: beside another user's digest it does not count."""
    store, user, raw = server_place.new_store(), reference(), server_place.server.raw
    where = login(store, user)
    raw.hset(server_place.key(where), b"\0u", b"A" * 22)
    record = store.record(where)
    assert record.user == b""
    assert record.fields == {b"user_id": b"7", b"lang": b"de"}


def test_a_session_of_an_earlier_release_is_read_and_unbound(server_place: AtServer) -> None:
    """Bound without a name and without own limits, it is read, listed, and unbound like others."""
    store, user, raw = server_place.new_store(), reference(), server_place.server.raw
    where, successor = login(store, user), reference(user.bucket)
    key = server_place.key(where)
    raw.hdel(key, b"\0n", b"\0i")
    record = store.record(where)
    assert (record.user, record.idle, record.label) == (b"", None, b"label")
    assert [entry.reference for entry in store.sessions(user)] == [where]
    store.apply(where, (), finish=Move(successor, unbind=True))
    assert store.sessions(user) == ()
    assert raw.exists(server_place.key(user, "u")) == 0


def test_unbinding_frees_whatever_is_stored_of_the_user(server_place: AtServer) -> None:
    """At the new reference only birth, last use and the fields are left."""
    store, user, raw = server_place.new_store(), reference(), server_place.server.raw
    where, successor = login(store, user), reference(user.bucket)
    store.write(where, (), finish=Move(successor, unbind=True))
    assert set(raw.hkeys(server_place.key(successor))) == {b"\0m", b"\0s", b"user_id", b"lang"}
    assert raw.hgetall(server_place.key(where)) == {b"\0t": b"rotated"}
