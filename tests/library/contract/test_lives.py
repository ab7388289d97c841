"""How sessions begin and end: lifetimes by the store's clock, slides, tombstones, moves."""

from unsticky.limits import Lifetimes
from unsticky.stores.base import Destroy, Gone, Missing, Move
from unsticky.testing.contract import lives
from unsticky.testing.contract.lives import make

from tests.support.stores.places import HOUR, AtServer, reference
from tests.support.stores.proof import collected_from

globals().update(collected_from(lives))


def test_the_servers_ttl_never_passes_either_limit(server_place: AtServer) -> None:
    """The key's own expiry is at most idle, and at most what is left of the absolute limit."""
    store = server_place.new_store(Lifetimes(idle=HOUR, absolute=HOUR + 1000, unused=1000))
    where, raw = make(store), server_place.server.raw
    key = server_place.key(where)
    for _ in range(2):
        assert 0 < raw.pttl(key) <= 1000
        server_place.let_pass(250)
        store.record(where)
    assert HOUR - 2000 < raw.pttl(key) <= HOUR
    server_place.let_pass(100)
    successor = reference()
    store.write(where, (), finish=Move(successor))
    ceiling = store.record(successor).ends_at - server_place.now()
    assert 0 < raw.pttl(server_place.key(successor)) <= max(ceiling, HOUR)


def test_a_tombstone_holds_no_data_and_goes_after_a_minute(server_place: AtServer) -> None:
    """What stays of an ended session is its kind, for at most 60 seconds."""
    store = server_place.new_store()
    where, raw = make(store), server_place.server.raw
    store.write(where, (), finish=Destroy())
    assert raw.hgetall(server_place.key(where)) == {b"\0t": b"destroyed"}
    assert 50_000 < raw.pttl(server_place.key(where)) <= 60_000


def test_a_tombstone_is_forgotten_after_a_minute() -> None:
    """In memory, too, an ended session is unknown once no request can still hold it."""
    from tests.support.stores.places import Memory

    place = Memory()
    store = place.new_store()
    where = make(store)
    store.write(where, (), finish=Destroy())
    place.let_pass(59_000)
    assert store.read(where) == Gone("destroyed")
    place.let_pass(1_000)
    assert store.read(where) == Missing()
