"""The same operation sent again: applied once, answered twice."""

import pytest
from unsticky.cookie import Reference
from unsticky.stores.base import (
    UNREAD,
    Add,
    Bind,
    Change,
    Check,
    Destroy,
    Gone,
    Missing,
    Move,
    Operation,
    Record,
    Take,
    Write,
    WriteOutcome,
    Written,
)

from tests.library.contract.places import (
    AtServer,
    LimitedStore,
    Place,
    deadline,
    operation,
    reference,
)


def twice(
    store: LimitedStore, where: Reference, *changes: Add | Take | Write, **options: object
) -> tuple[WriteOutcome, WriteOutcome]:
    """Send the same operation two times."""
    name = operation()
    first = store.write(where, changes, name, deadline(), **options)  # type: ignore[arg-type]
    second = store.write(where, changes, name, deadline(), **options)  # type: ignore[arg-type]
    return first, second


def make(store: LimitedStore) -> Reference:
    """Make a session with a counter and two entries."""
    where = reference()
    fields = {b"n": b"1", b"ma": b"1", b"mb": b"2"}
    writes = tuple(Write(name, value, None) for name, value in fields.items())
    assert isinstance(store.write(where, writes, operation(), deadline(), create=True), Written)
    return where


def test_a_resent_add_counts_once(place: Place) -> None:
    """Both answers are the sum, and it was added once."""
    store = place.new_store()
    where = make(store)
    first, second = twice(store, where, Add(b"n", 5))
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert first.results == second.results == (6,)
    record = store.read(where, deadline())
    assert isinstance(record, Record)
    assert record.fields is not None
    assert record.fields[b"n"] == b"6"


def test_a_resent_take_returns_what_the_first_took(place: Place) -> None:
    """What was taken is in both answers, although the second found nothing."""
    store = place.new_store()
    first, second = twice(store, make(store), Take(b"m"))
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert first.results == second.results == ({b"ma": b"1", b"mb": b"2"},)


def test_a_resent_answer_brings_the_fields_as_they_are(place: Place) -> None:
    """A resend that loads sees also what came between."""
    store = place.new_store()
    where, name = make(store), operation()
    store.write(where, (Add(b"n", 1),), name, deadline(), load=True)
    store.write(where, (Write(b"x", b"9", UNREAD),), operation(), deadline())
    again = store.write(where, (Add(b"n", 1),), name, deadline(), load=True)
    assert isinstance(again, Written)
    assert again.record.fields == {b"n": b"2", b"ma": b"1", b"mb": b"2", b"x": b"9"}


def test_a_resent_creation_makes_one_session(place: Place) -> None:
    """The session keeps its birth and its first write, which is not applied again."""
    store, where = place.new_store(), reference()
    first, second = twice(store, where, Add(b"n", 1), create=True)
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert first.record.created == second.record.created
    assert first.results == second.results == (1,)
    record = store.read(where, deadline())
    assert isinstance(record, Record)
    assert record.fields == {b"n": b"1"}


def test_a_resent_move_arrives(place: Place) -> None:
    """A rotation whose answer was lost is answered as done, not as gone."""
    store = place.new_store()
    where, successor = make(store), reference()
    first, second = twice(store, where, finish=Move(successor), load=True)
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert first.record.fields == second.record.fields == {b"n": b"1", b"ma": b"1", b"mb": b"2"}
    assert store.read(where, deadline()) == Gone("rotated")


def test_a_resent_bind_binds_once(place: Place) -> None:
    """Both answers name the session that the limit ended, and the user has one session."""
    store, user = place.new_store(), reference()
    bind = Bind(user, None, b"", 1)
    old = make(store)
    store.write(old, (), operation(), deadline(), finish=bind)
    where, successor = make(store), reference()
    first, second = twice(store, where, finish=Move(successor, bind))
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert first.ended == second.ended == (old,)
    assert [entry.reference for entry in store.sessions(user, deadline())] == [successor]


def test_a_resent_end_is_answered_as_done(place: Place) -> None:
    """A logout whose answer was lost is answered as done."""
    store = place.new_store()
    first, second = twice(store, make(store), finish=Destroy())
    assert isinstance(first, Written)
    assert isinstance(second, Written)


def test_other_operations_of_the_same_request_are_their_own(place: Place) -> None:
    """Another place in the request, other arguments or another session make another operation."""
    store = place.new_store()
    where, elsewhere = make(store), make(store)
    name = Operation(b"request", 1)
    sent = [
        store.write(where, (Add(b"n", 1),), name, deadline()),
        store.write(where, (Add(b"n", 1),), Operation(b"request", 2), deadline()),
        store.write(where, (Add(b"n", 2),), name, deadline()),
        store.write(where, (Add(b"x", 1),), name, deadline()),
        store.write(elsewhere, (Add(b"n", 1),), name, deadline()),
        store.write(where, (Add(b"n", 1),), Operation(b"another", 1), deadline()),
    ]
    assert [outcome.results for outcome in sent if isinstance(outcome, Written)] == [
        (2,),
        (3,),
        (5,),
        (1,),
        (2,),
        (6,),
    ]


def test_a_refusal_is_not_recorded(place: Place) -> None:
    """What was refused changed nothing, so the same operation may succeed once things changed."""
    store = place.new_store()
    where, name = make(store), operation()
    change = (Write(b"n", b"7", b"9"),)
    assert not isinstance(store.write(where, change, name, deadline()), Written)
    store.write(where, (Write(b"n", b"9", UNREAD),), operation(), deadline())
    assert isinstance(store.write(where, change, name, deadline()), Written)


def test_results_are_kept_for_ten_seconds_beside_their_session(server_place: AtServer) -> None:
    """A result lives in the session's own slot, and no longer than a resend can come."""
    store = server_place.new_store()
    where = make(store)
    raw = server_place.server.raw
    (key,) = raw.scan_iter(f"{server_place.prefix}{{{where.bucket}}}:o:*", count=10_000)
    assert 5_000 < raw.pttl(key) <= 10_000


def test_parts_that_only_meet_elsewhere_are_other_operations(place: Place) -> None:
    """A name and a number, or values and fields, that read the same in a row are told apart."""
    store = place.new_store()
    where = make(store)
    pairs: list[tuple[tuple[Operation, Change], tuple[Operation, Change]]] = [
        (
            (Operation(b"order-1", 11), Add(b"n", 1)),
            (Operation(b"order-11", 1), Add(b"n", 1)),
        ),
        (
            (Operation(b"nul", 1), Write(b"x", b"1\x00S\x00y\x002", UNREAD)),
            (Operation(b"nul", 1), Write(b"x\x001", b"S\x00y\x002", UNREAD)),
        ),
        (
            (Operation(b"take", 1), Take(b"a\x00", b"b")),
            (Operation(b"take", 1), Take(b"a", b"\x00b")),
        ),
    ]
    for one, other in pairs:
        for name, change in (one, other):
            before = store.read(where, deadline())
            written = store.write(where, (change, Add(b"count", 1)), name, deadline())
            assert isinstance(before, Record)
            assert isinstance(written, Written)
            assert written.results[-1] == int((before.fields or {}).get(b"count", b"0")) + 1


def test_a_bind_in_place_is_no_answer_once_its_session_ended(place: Place) -> None:
    """The bind did not end the session: sent again after a logout, it finds it dead."""
    store, where, name = place.new_store(), reference(), operation()
    bind = Bind(reference(), None, b"", 5)
    assert isinstance(store.write(where, (), name, deadline(), create=True, finish=bind), Written)
    store.write(where, (), operation(), deadline(), finish=Destroy())
    again = store.write(where, (), name, deadline(), create=True, finish=bind)
    assert again == Gone("destroyed")


# Results that end with their session.


def named(request: bytes = b"order", ordinal: int = 1, kept: int = 86_400_000) -> Operation:
    """Return an operation whose result ends with the session."""
    return Operation(request, ordinal, kept, ends_with_session=True)


def results(place: AtServer, where: Reference) -> list[bytes]:
    """Return the keys of the bucket that hold results."""
    tag = f"{place.prefix}{{{where.bucket}}}"
    return [
        key for kind in "or" for key in place.server.raw.scan_iter(f"{tag}:{kind}:*", count=10_000)
    ]


def test_a_result_that_ends_with_the_session_answers_while_it_lives(place: Place) -> None:
    """Sent again it is applied once, like any other; another name or place is another one."""
    store = place.new_store()
    where, elsewhere = make(store), make(store)
    sent = [
        store.write(where, (Add(b"n", 1), Take(b"m")), named(), deadline()),
        store.write(where, (Add(b"n", 1), Take(b"m")), named(), deadline()),
        store.write(where, (Add(b"n", 1), Take(b"m")), named(ordinal=2), deadline()),
        store.write(where, (Add(b"n", 1), Take(b"m")), named(b"other"), deadline()),
        store.write(elsewhere, (Add(b"n", 1), Take(b"m")), named(), deadline()),
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
    """Each for its own time, though they are kept together."""
    store = place.new_store()
    where, short, long = make(store), named(b"short", kept=50), named(b"long")
    for expected in (2, 3):
        written = store.write(where, (Add(b"n", 1),), short, deadline())
        assert isinstance(written, Written)
        assert written.results == (expected,)
        kept = store.write(where, (Add(b"x", 1),), long, deadline())
        assert isinstance(kept, Written)
        assert kept.results == (1,)
        place.let_pass(60)


@pytest.mark.parametrize("end", ["destroy", "end_all", "sweep", "quarantine", "limit", "expire"])
def test_however_a_session_ends_its_results_end(place: Place, end: str) -> None:
    """Nothing of a named operation can be had again, nor stands at a server."""
    store, user, bystander = place.new_store(), reference(), reference()
    where = reference(user.bucket)
    fields = (Write(b"ma", b"1", None),)
    bind = Bind(user, None, b"", 1)
    store.write(where, fields, operation(), deadline(), create=True, finish=bind)
    assert isinstance(store.write(where, (Take(b"m"),), named(), deadline()), Written)
    if end == "destroy":
        store.write(where, (), operation(), deadline(), finish=Destroy())
    elif end == "end_all":
        store.end_all(user, None, None, operation(), deadline())
    elif end == "sweep":
        cursor: bytes | None = b"0"
        while cursor is not None:
            cursor, _ = store.sweep(cursor, deadline())
    elif end == "quarantine":
        place.plant(where, b"a", b"\xc1")
        store.quarantine(where, b"a", b"\xc1", deadline())
    elif end == "limit":
        store.write(bystander, (), operation(), deadline(), create=True, finish=bind)
    else:
        place.expire(where)
    again = store.write(where, (Take(b"m"),), named(), deadline())
    assert isinstance(again, Gone | Missing)
    if isinstance(place, AtServer) and end != "expire":
        tag = f"{place.prefix}{{{where.bucket}}}:r:*"
        assert list(place.server.raw.scan_iter(tag, count=10_000)) == []


def test_a_move_ends_the_results(place: Place) -> None:
    """Under the new reference the same operation is another one."""
    store, successor = place.new_store(), reference()
    where = make(store)
    store.write(where, (Add(b"n", 1),), named(), deadline())
    store.write(where, (), operation(), deadline(), finish=Move(successor))
    again = store.write(successor, (Add(b"n", 1),), named(), deadline())
    assert isinstance(again, Written)
    assert again.results == (3,)


@pytest.mark.parametrize("finish", [Destroy(), Move(Reference(7, b"s" * 16))], ids=["end", "move"])
def test_the_end_itself_is_told_to_a_resend(place: Place, finish: Destroy | Move) -> None:
    """A named logout or rotation whose answer was lost is answered as done."""
    store = place.new_store()
    where = make(store)
    for _ in range(2):
        outcome = store.write(where, (Add(b"n", 1),), named(), deadline(), finish=finish)
        assert isinstance(outcome, Written)
        assert outcome.results == (2,)


def test_the_end_of_a_session_is_kept_no_longer_than_a_resend_takes(
    server_place: AtServer,
) -> None:
    """The result of a named logout is gone after ten seconds, not after a day."""
    store = server_place.new_store()
    where, raw = make(store), server_place.server.raw
    store.write(where, (Take(b"m"),), named(), deadline(), finish=Destroy())
    assert all(0 < raw.pttl(key) <= 10_000 for key in results(server_place, where))


def test_results_are_kept_in_one_key_beside_the_session(server_place: AtServer) -> None:
    """It lives as long as the last of them, and is neither listed nor swept as a session."""
    store, user, raw = server_place.new_store(), reference(), server_place.server.raw
    where = reference(user.bucket)
    bind = Bind(user, None, b"", 5)
    store.write(where, (), operation(), deadline(), create=True, finish=bind)
    store.write(where, (Add(b"n", 1),), named(b"long"), deadline())
    store.write(where, (Add(b"n", 1),), named(b"short", kept=1000), deadline())
    key = server_place.key(where, "r")
    assert raw.hlen(key) == 2
    assert 86_000_000 < raw.pttl(key) <= 86_400_000
    assert [entry.reference for entry in store.sessions(user, deadline())] == [where]
    ended: list[Reference] = []
    cursor: bytes | None = b"0"
    while cursor is not None:
        cursor, some = store.sweep(cursor, deadline())
        ended += some
    assert ended == [where]


def test_results_that_ran_out_are_cleared_away(server_place: AtServer) -> None:
    """A session that names an operation now and then does not collect their results for ever."""
    store = server_place.new_store()
    where, raw = make(store), server_place.server.raw
    for number in range(64):
        store.write(where, (Add(b"n", 1),), named(b"%d" % number, kept=20), deadline())
    server_place.let_pass(25)
    store.write(where, (Add(b"n", 1),), named(), deadline())
    assert raw.hlen(server_place.key(where, "r")) == 1


# A session that is made once.


def making(request: bytes = b"foreign", kept: int = 86_400_000) -> Operation:
    """Return an operation that makes a session once."""
    return Operation(request, 1, kept, makes_once=True)


def test_a_session_is_made_once_whatever_it_would_hold(place: Place) -> None:
    """The second time it is answered as it is by now, and what is brought is not written."""
    store, where = place.new_store(), reference()
    first = store.write(where, (Write(b"a", b"1", None),), making(), deadline(), create=True)
    store.write(where, (Write(b"a", b"2", UNREAD),), operation(), deadline())
    changes = (Write(b"a", b"3", UNREAD), Write(b"b", b"3", UNREAD))
    second = store.write(where, changes, making(), deadline(), create=True, load=True)
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert second.record.created == first.record.created
    assert second.record.fields == {b"a": b"2"}


@pytest.mark.parametrize("end", ["destroy", "move", "expire"])
def test_a_session_made_once_is_not_made_again(place: Place, end: str) -> None:
    """Ended, rotated or expired: who brings the foreign session again is told so."""
    store, where = place.new_store(), reference()
    changes = (Write(b"a", b"1", None),)
    assert isinstance(store.write(where, changes, making(), deadline(), create=True), Written)
    if end == "destroy":
        store.write(where, (), operation(), deadline(), finish=Destroy())
    elif end == "move":
        store.write(where, (), operation(), deadline(), finish=Move(reference()))
    else:
        place.expire(where)
    for _ in range(2):
        assert store.write(where, changes, making(), deadline(), create=True) == Gone("adopted")
    assert isinstance(store.read(where, deadline()), Gone | Missing)
    other = store.write(where, changes, making(b"other"), deadline(), create=True)
    assert isinstance(other, Gone if end != "expire" else Written)


def test_a_session_made_once_may_be_bound_at_that(place: Place) -> None:
    """The user is there from the start; told again it is the user as of now, and ends no other."""
    store, user, where = place.new_store(), reference(), reference()
    bind = Bind(user, None, b"label", 1, name=b"ann")
    old = reference(user.bucket)
    store.write(old, (), operation(), deadline(), create=True, finish=bind)
    first, second = (
        store.write(where, (), making(), deadline(), create=True, finish=bind) for _ in range(2)
    )
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert (first.record.user, second.record.user) == (b"", b"ann")
    assert first.ended == second.ended == (old,)
    assert first.record.ends_at == second.record.ends_at
    assert [entry.reference for entry in store.sessions(user, deadline())] == [where]


def test_a_session_whose_making_was_forgotten_is_not_overwritten(place: Place) -> None:
    """It lives, so it was made: later it is answered as it is, and remembered once more."""
    store, where, brief = place.new_store(), reference(), making(kept=20)
    store.write(where, (Write(b"a", b"1", None),), brief, deadline(), create=True)
    place.let_pass(25 if isinstance(place, AtServer) else 2000)
    changes = (Write(b"a", b"3", UNREAD),)
    again = store.write(where, changes, making(), deadline(), create=True, load=True)
    assert isinstance(again, Written)
    assert again.record.fields == {b"a": b"1"}
    store.write(where, (), operation(), deadline(), finish=Destroy())
    assert store.write(where, changes, making(), deadline(), create=True) == Gone("adopted")


def test_a_making_that_is_refused_may_succeed_later(place: Place) -> None:
    """What never came about was not made."""
    store, where = place.new_store(), reference()
    refused = store.write(where, (Check(b"a", b"1"),), making(), deadline(), create=True)
    assert not isinstance(refused, Written)
    assert isinstance(store.write(where, (), making(), deadline(), create=True), Written)
