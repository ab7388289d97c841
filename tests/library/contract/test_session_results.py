"""Results that end with their session."""

import pytest
from unsticky.cookie import Reference
from unsticky.stores.base import (
    Add,
    Bind,
    Destroy,
    Gone,
    Missing,
    Move,
    Operation,
    Take,
    Write,
    Written,
)

from tests.support.stores.places import AtServer, LimitedStore, Place, deadline, make, reference


def named(request: bytes = b"order", ordinal: int = 1, kept: int = 86_400_000) -> Operation:
    """Return an operation whose result ends with the session."""
    return Operation(request, ordinal, kept, ends_with_session=True)


def results(place: AtServer, where: Reference) -> list[bytes]:
    """Return the keys of the bucket that hold results."""
    tag = f"{place.prefix}{{{where.bucket}}}"
    return [
        key for kind in "or" for key in place.server.raw.scan_iter(f"{tag}:{kind}:*", count=10_000)
    ]


def test_a_result_that_ends_with_the_session_answers_a_resend(store: LimitedStore) -> None:
    """It is applied once, like any other; another name or session is another operation."""
    where, elsewhere = make(store), make(store)
    sent = [
        store.write(where, (Add(b"n", 1), Take(b"m")), named()),
        store.write(where, (Add(b"n", 1), Take(b"m")), named()),
        store.write(where, (Add(b"n", 1), Take(b"m")), named(ordinal=2)),
        store.write(where, (Add(b"n", 1), Take(b"m")), named(b"other")),
        store.write(elsewhere, (Add(b"n", 1), Take(b"m")), named()),
    ]
    both: dict[bytes, bytes] = {b"ma": b"1", b"mb": b"2"}
    assert [outcome.results for outcome in sent if isinstance(outcome, Written)] == [
        (2, both),
        (2, both),
        (3, {}),
        (4, {}),
        (2, both),
    ]


def test_a_result_that_ends_with_the_session_is_kept_as_long_as_asked(place: Place) -> None:
    """Each for its own time, although they are kept in one place."""
    store = place.new_store()
    where, short, long = make(store), named(b"short", kept=50), named(b"long")
    for expected in (2, 3):
        written = store.apply(where, (Add(b"n", 1),), short)
        assert written.results == (expected,)
        kept = store.apply(where, (Add(b"x", 1),), long)
        assert kept.results == (1,)
        place.let_pass(60)


@pytest.mark.parametrize("end", ["destroy", "end_all", "sweep", "quarantine", "limit", "expire"])
def test_the_results_end_with_the_session(place: Place, end: str) -> None:
    """However it ends, no result is returned any more, and none is left at a server."""
    store, user, bystander = place.new_store(), reference(), reference()
    where = reference(user.bucket)
    fields = (Write(b"ma", b"1", None),)
    bind = Bind(user, None, b"", 1)
    store.write(where, fields, create=True, finish=bind)
    assert isinstance(store.write(where, (Take(b"m"),), named()), Written)
    if end == "destroy":
        store.write(where, (), finish=Destroy())
    elif end == "end_all":
        store.end_all(user)
    elif end == "sweep":
        cursor: bytes | None = b"0"
        while cursor is not None:
            cursor, _ = store.sweep(cursor, deadline())
    elif end == "quarantine":
        place.plant(where, b"a", b"\xc1")
        store.quarantine(where, b"a", b"\xc1", deadline())
    elif end == "limit":
        store.write(bystander, (), create=True, finish=bind)
    else:
        place.expire(where)
    again = store.write(where, (Take(b"m"),), named())
    assert isinstance(again, Gone | Missing)
    if isinstance(place, AtServer) and end != "expire":
        tag = f"{place.prefix}{{{where.bucket}}}:r:*"
        assert list(place.server.raw.scan_iter(tag, count=10_000)) == []


def test_a_move_ends_the_results(store: LimitedStore) -> None:
    """Under the new reference it is another operation."""
    successor = reference()
    where = make(store)
    store.write(where, (Add(b"n", 1),), named())
    store.write(where, (), finish=Move(successor))
    again = store.apply(successor, (Add(b"n", 1),), named())
    assert again.results == (3,)


@pytest.mark.parametrize("finish", [Destroy(), Move(Reference(7, b"s" * 16))], ids=["end", "move"])
def test_a_resent_end_or_move_gets_its_result(store: LimitedStore, finish: Destroy | Move) -> None:
    """A logout or rotation whose answer was lost is answered as done."""
    where = make(store)
    for _ in range(2):
        outcome = store.apply(where, (Add(b"n", 1),), named(), finish=finish)
        assert outcome.results == (2,)


def test_the_result_of_an_end_is_kept_only_for_a_resend(server_place: AtServer) -> None:
    """The result of a logout is gone after ten seconds, not after a day."""
    store = server_place.new_store()
    where, raw = make(store), server_place.server.raw
    store.write(where, (Take(b"m"),), named(), finish=Destroy())
    assert all(0 < raw.pttl(key) <= 10_000 for key in results(server_place, where))


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
