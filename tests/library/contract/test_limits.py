"""Limits that come with each call, and limits that a session has for itself."""

from unsticky.stores.base import SetLimits
from unsticky.testing.contract import limits
from unsticky.testing.contract.limits import make, write

from tests.support.stores.places import HOUR, AtServer
from tests.support.stores.proof import collected_from

globals().update(collected_from(limits))


def test_a_read_that_does_not_slide_writes_nothing(server_place: AtServer) -> None:
    """Neither the expiry nor a byte of an unseen session changes."""
    store, raw = server_place.new_store(), server_place.server.raw
    where = make(store)
    before = raw.hgetall(server_place.key(where))
    expiry = raw.pttl(server_place.key(where))
    assert store.record(where, slide=False).seen is None
    assert raw.hgetall(server_place.key(where)) == before
    assert raw.pttl(server_place.key(where)) <= expiry


# A session's own limits.


def test_the_servers_expiry_follows_own_limits(server_place: AtServer) -> None:
    """The key lives for the session's own idle limit, and never past its own deadline."""
    store, raw = server_place.new_store(), server_place.server.raw
    where = make(store)
    write(store, where, SetLimits(2 * HOUR, None))
    assert 2 * HOUR - 5000 < raw.pttl(server_place.key(where)) <= 2 * HOUR
    write(store, where, SetLimits(2 * HOUR, HOUR))
    assert HOUR - 5000 < raw.pttl(server_place.key(where)) <= HOUR
    write(store, where, SetLimits(None, None))
    assert HOUR - 5000 < raw.pttl(server_place.key(where)) <= HOUR
