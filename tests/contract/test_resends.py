"""The same operation sent again: applied once, answered twice."""

from unsticky.cookie import Reference
from unsticky.stores.contract import (
    BLIND,
    Add,
    Bind,
    Destroy,
    Gone,
    Move,
    Operation,
    Record,
    Store,
    Take,
    Write,
    WriteOutcome,
    Written,
)

from tests.contract.places import AtServer, Place, budget, operation, reference


def twice(
    store: Store, where: Reference, *changes: Add | Take | Write, **options: object
) -> tuple[WriteOutcome, WriteOutcome]:
    """Send the same operation two times."""
    name = operation()
    first = store.write(where, changes, name, budget(), **options)  # type: ignore[arg-type]
    second = store.write(where, changes, name, budget(), **options)  # type: ignore[arg-type]
    return first, second


def make(store: Store) -> Reference:
    """Make a session with a counter and two entries."""
    where = reference()
    fields = {b"n": b"1", b"ma": b"1", b"mb": b"2"}
    writes = tuple(Write(name, value, None) for name, value in fields.items())
    assert isinstance(store.write(where, writes, operation(), budget(), create=True), Written)
    return where


def test_a_resent_add_counts_once(place: Place) -> None:
    """Both answers are the sum, and it was added once."""
    store = place.new_store()
    where = make(store)
    first, second = twice(store, where, Add(b"n", 5))
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert first.results == second.results == (6,)
    record = store.read(where, budget())
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
    store.write(where, (Add(b"n", 1),), name, budget(), load=True)
    store.write(where, (Write(b"x", b"9", BLIND),), operation(), budget())
    again = store.write(where, (Add(b"n", 1),), name, budget(), load=True)
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
    record = store.read(where, budget())
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
    assert store.read(where, budget()) == Gone("rotated")


def test_a_resent_bind_binds_once(place: Place) -> None:
    """Both answers name the session that the limit ended, and the user has one session."""
    store, user = place.new_store(), reference()
    bind = Bind(user, None, b"", 1)
    old = make(store)
    store.write(old, (), operation(), budget(), finish=bind)
    where, successor = make(store), reference()
    first, second = twice(store, where, finish=Move(successor, bind))
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert first.ended == second.ended == (old,)
    assert [entry.reference for entry in store.sessions(user, budget())] == [successor]


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
        store.write(where, (Add(b"n", 1),), name, budget()),
        store.write(where, (Add(b"n", 1),), Operation(b"request", 2), budget()),
        store.write(where, (Add(b"n", 2),), name, budget()),
        store.write(where, (Add(b"x", 1),), name, budget()),
        store.write(elsewhere, (Add(b"n", 1),), name, budget()),
        store.write(where, (Add(b"n", 1),), Operation(b"another", 1), budget()),
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
    assert not isinstance(store.write(where, change, name, budget()), Written)
    store.write(where, (Write(b"n", b"9", BLIND),), operation(), budget())
    assert isinstance(store.write(where, change, name, budget()), Written)


def test_results_are_kept_for_ten_seconds_beside_their_session(server_place: AtServer) -> None:
    """A result lives in the session's own slot, and no longer than a resend can come."""
    store = server_place.new_store()
    where = make(store)
    raw = server_place.server.raw
    (key,) = raw.scan_iter(f"{server_place.prefix}{{{where.bucket}}}:o:*", count=10_000)
    assert 5_000 < raw.pttl(key) <= 10_000
