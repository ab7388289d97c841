"""What operators and the library ask of a store beside reading and writing, and short deadlines."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ...cookie import Reference
from ...errors import OutcomeUnknown, StoreUnavailable
from ...stores.base import Add, Deadline, Destroy, Gone, Missing, Write, Written
from ..places import LIFETIMES, LimitedStore, deadline, make, operation, reference
from ..promises import promise

PROMISE = "P9"


@promise("P2")
def test_a_sweep_ends_every_session(store: LimitedStore) -> None:
    """Called until there is no next cursor, it ends and names each, bound or not."""
    alive = {make(store) for _ in range(250)}
    ended_before = make(store)
    store.apply(ended_before, (), finish=Destroy())
    named: list[Reference] = []
    cursor: bytes | None = b"0"
    while cursor is not None:
        cursor, ended = store.sweep(cursor, deadline())
        named += ended
    assert set(named) == alive
    assert len(named) == len(alive)
    assert {type(store.read(where)) for where in alive} == {Gone}


@promise("P8")
def test_only_what_was_observed_is_set_aside(store: LimitedStore) -> None:
    """A session that holds something else by now, or is none, stays as it is."""
    where = reference()
    store.apply(where, (Write(b"a", b"\xa1", None),), create=True)
    assert not store.quarantine(where, b"a", b"\xc1", deadline())
    assert not store.quarantine(reference(), b"a", b"\xa1", deadline())
    assert store.record(where).fields == {b"a": b"\xa1"}
    assert store.quarantine(where, b"a", b"\xa1", deadline())
    assert store.read(where) == Gone("corrupt")


def test_a_probe_changes_no_session(store: LimitedStore) -> None:
    """It only shows that the store takes writes."""
    where = make(store)
    before = store.record(where, slide=False)
    store.probe(deadline())
    assert store.record(where, slide=False) == before


@promise("P12")
def test_a_closed_store_opens_again(store: LimitedStore) -> None:
    """A later call opens what it needs."""
    where = make(store)
    store.close()
    found = store.read(where)
    assert not isinstance(found, Missing) or "processes" in getattr(store.store, "lacks", ())


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.2])
def test_calls_end_at_their_deadline(store: LimitedStore, seconds: float) -> None:
    """Of many at once each is made, or refused, or unknown, soon after; and the count agrees."""
    where = make(store)

    def add(_: int) -> str:
        begun = time.monotonic()
        try:
            within = Deadline(seconds)
            outcome = store.store.write(where, (Add(b"n", 1),), operation(), LIFETIMES, within)
        except (StoreUnavailable, OutcomeUnknown) as error:
            said = type(error).__name__
        else:
            said = type(outcome).__name__
        assert time.monotonic() - begun < seconds + 5
        return said

    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(add, range(64)))
    assert set(said) <= {"Written", "StoreUnavailable", "OutcomeUnknown"}
    made = said.count(Written.__name__)
    counted = _counted(store, where) - 1
    assert made <= counted <= made + said.count("OutcomeUnknown")


def _counted(store: LimitedStore, where: Reference) -> int:
    """Read the count. A store that just hung may refuse calls for a while, as P9 asks."""
    until = time.monotonic() + 10
    while True:
        try:
            return int((store.record(where).fields or {})[b"n"])
        except StoreUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
