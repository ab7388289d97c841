"""A server answers every sequence of calls as memory does."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unsticky.cookie import Reference
from unsticky.limits import Lifetimes
from unsticky.stores.base import (
    UNREAD,
    Add,
    Bind,
    Caps,
    Change,
    Check,
    CheckNames,
    Destroy,
    Move,
    Operation,
    Record,
    SetLimits,
    Take,
    Write,
    Written,
)

from tests.support.stores.places import HOUR, AtServer, LimitedStore, Memory, operation, reference

if TYPE_CHECKING:
    from tests.support.stores.mongodb import AtMongo

_CAPS = Caps(fields=4, bytes=14)
_LIFETIMES = (
    Lifetimes(idle=HOUR, absolute=24 * HOUR, unused=HOUR),
    Lifetimes(idle=2 * HOUR, absolute=None, unused=HOUR),
)
_USERS = [Reference(7, bytes((100 + number,)) * 16) for number in range(2)]

_NEW = Reference(7, b"new")
"""It stands for a reference without a session."""

_places = st.integers(0, 9)
_names = st.sampled_from([b"a", b"b", b"c1", b"c2", b"d1", b"d2"])
_values = st.sampled_from([b"", b"1", b"2", b"-7", b"long value"])
_bases = st.one_of(st.none(), st.just(UNREAD), _values)
_limits = st.sampled_from([None, 3 * HOUR, 5 * HOUR])
_binds = st.builds(
    Bind,
    st.sampled_from(_USERS),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([b"", b"label"]),
    st.sampled_from([1, 2]),
    st.sampled_from([b"", b"ann"]),
)
_changes = st.one_of(
    st.builds(Write, _names, st.one_of(st.none(), _values), _bases),
    st.builds(Add, _names, st.sampled_from([1, -3]), st.sampled_from([None, 0]), st.none()),
    st.builds(Check, _names, st.one_of(st.none(), _values)),
    st.sampled_from([Take(b"c"), Take(b"c", b"d")]),
    st.builds(CheckNames, st.sampled_from([b"", b"c"]), st.lists(_names, max_size=2).map(tuple)),
    st.builds(SetLimits, _limits, _limits),
)
_finishes = st.one_of(
    st.none(),
    st.just(Destroy()),
    _binds,
    st.builds(Move, st.just(_NEW)),
    st.builds(Move, st.just(_NEW), _binds),
    st.builds(Move, st.just(_NEW), st.none(), st.just(value=True)),
)
_operations = st.one_of(
    st.builds(
        Operation,
        st.sampled_from([b"x", b"y"]),
        st.just(1),
        st.just(1_000_000),
        st.booleans(),
        st.just(value=False),
    ),
    st.builds(operation),
)
_calls = st.one_of(
    st.tuples(st.just("read"), _places, st.booleans()),
    st.tuples(
        st.just("write"),
        _places,
        st.lists(_changes, max_size=3),
        _operations,
        st.sampled_from([True, True, False]),
        _finishes,
        st.booleans(),
    ),
    st.tuples(st.just("make"), _places, st.sampled_from([b"x", b"y"]), st.none() | _binds),
    st.tuples(st.just("sessions"), st.sampled_from(_USERS)),
    st.tuples(st.just("end_all"), st.sampled_from(_USERS), _places, st.sampled_from([None, 1, 2])),
)


def _told(outcome: Any, *, all_of_it: bool) -> object:
    """Return what two stores must answer alike: everything except times."""
    if isinstance(outcome, Written):
        return _told(outcome.record, all_of_it=all_of_it), outcome.results, outcome.ended
    if not isinstance(outcome, Record):
        return outcome
    lives = outcome.ends_at - outcome.created if outcome.ends_at else 0
    known = (outcome.label, outcome.seen is None) if all_of_it else ()
    return lives, outcome.slid, outcome.fields, outcome.idle, outcome.user, known


def _distinct(changes: list[Change]) -> tuple[Change, ...]:
    """Return at most one change for each field, and one of each kind without one."""
    found: dict[object, Change] = {}
    for change in changes:
        field = getattr(change, "field", None)
        found.setdefault(type(change) if field is None else field, change)
    takes = any(isinstance(change, Take) for change in found.values())
    kept = found.values()
    # A field that a Take moves belongs to no other change.
    return tuple(c for c in kept if not takes or getattr(c, "field", b"a") in {b"a", b"b"})


def _ask(store: LimitedStore, call: tuple[Any, ...], references: tuple[Reference, ...]) -> object:
    match call:
        case "read", where, slide:
            found = store.read(references[where % len(references)], slide=slide)
            return _told(found, all_of_it=True)
        case "write", where, changes, name, create, finish, load:
            there, options = references[where % len(references)], {"finish": finish, "load": load}
            told = store.write(there, _distinct(changes), name, create=create, **options)
            return _told(told, all_of_it=False)
        case "make", where, request, finish:
            there = references[where % len(references)]
            name = Operation(request, 9, makes_once=True)
            write = (Write(b"a", b"1", UNREAD),)
            told = store.write(there, write, name, create=True, finish=finish)
            return _told(told, all_of_it=False)
        case "sessions", user:
            return {
                (entry.reference, entry.record.label, entry.record.idle)
                for entry in store.sessions(user)
            }
        case _:
            _, user, keep, stamp = call
            ended = store.end_all(user, references[keep % len(references)], stamp)
            return set(ended)


def test_a_server_answers_as_memory_does(server_place: AtServer) -> None:
    """Each answer is the same, whatever was called before, with two sets of limits."""
    agree(server_place, examples=300)


def agree(place: "AtServer | AtMongo", examples: int) -> None:
    """Ask a place as memory is asked, in so many sequences of calls."""
    served = place.new_store(caps=_CAPS)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.tuples(st.sampled_from(_LIFETIMES), _calls, st.booleans()), max_size=25))
    def run(calls: list[tuple[Lifetimes, tuple[Any, ...], bool]]) -> None:
        place.empty()
        memory = Memory()
        kept = memory.new_store(caps=_CAPS)
        references = [reference() for _ in range(2)]
        for lifetimes, planned, twice in calls:
            call = tuple(_moved(part, references) for part in planned)
            if any(isinstance(part, Bind | Move) for part in call):
                # Two sessions that are bound in the same millisecond have no order.
                memory.let_pass(2)
                place.let_pass(2)
            there = tuple(references[:-1] if call != planned else references)
            for _ in range(2 if twice else 1):
                expected = _ask(kept.under(lifetimes), call, there)
                assert _ask(served.under(lifetimes), call, there) == expected, call

    run()


def _moved(part: object, references: list[Reference]) -> object:
    """Give a move a new reference, under which later calls find the session."""
    if not isinstance(part, Move):
        return part
    references.append(reference())
    return replace(part, to=references[-1])
