"""Results that end with their session."""

from unsticky.cookie import Reference
from unsticky.stores.base import Add, Bind, Destroy, Take
from unsticky.testing.contract import results
from unsticky.testing.contract.results import named

from tests.support.stores.places import AtServer, deadline, make, reference
from tests.support.stores.proof import collected_from

globals().update(collected_from(results))


def kept_for(place: AtServer, where: Reference) -> list[bytes]:
    """Return the keys of the bucket that hold results."""
    tag = f"{place.prefix}{{{where.bucket}}}"
    return [
        key for kind in "or" for key in place.server.raw.scan_iter(f"{tag}:{kind}:*", count=10_000)
    ]


def test_the_result_of_an_end_is_kept_only_for_a_resend(server_place: AtServer) -> None:
    """The result of a logout is gone after ten seconds, not after a day."""
    store = server_place.new_store()
    where, raw = make(store), server_place.server.raw
    store.write(where, (Take(b"m"),), named(), finish=Destroy())
    assert all(0 < raw.pttl(key) <= 10_000 for key in kept_for(server_place, where))


def test_results_are_kept_in_one_key_beside_the_session(server_place: AtServer) -> None:
    """The key lives as long as the last result, and is neither listed nor swept as a session."""
    store, user, raw = server_place.new_store(), reference(), server_place.server.raw
    where = reference(user.bucket)
    bind = Bind(user, None, b"", 5)
    store.write(where, (), create=True, finish=bind)
    store.write(where, (Add(b"n", 1),), named(b"long"))
    store.write(where, (Add(b"n", 1),), named(b"short", kept=1000))
    key = server_place.key(where, "r")
    assert raw.hlen(key) == 2
    assert 86_000_000 < raw.pttl(key) <= 86_400_000
    assert [entry.reference for entry in store.sessions(user)] == [where]
    ended: list[Reference] = []
    cursor: bytes | None = b"0"
    while cursor is not None:
        cursor, some = store.sweep(cursor, deadline())
        ended += some
    assert ended == [where]


def test_expired_results_are_removed(server_place: AtServer) -> None:
    """A long session does not collect results for ever."""
    store = server_place.new_store()
    where, raw = make(store), server_place.server.raw
    for number in range(64):
        store.write(where, (Add(b"n", 1),), named(b"%d" % number, kept=20))
    server_place.let_pass(25)
    store.write(where, (Add(b"n", 1),), named())
    assert raw.hlen(server_place.key(where, "r")) == 1
