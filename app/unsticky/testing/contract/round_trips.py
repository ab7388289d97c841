"""What a call costs, in a store that counts its `round_trips`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ...stores.base import UNREAD, Add, Bind, Destroy, Move, Write
from ..places import LimitedStore, make, reference

PROMISE = "P4"


def spent(store: LimitedStore, call: Callable[[], object]) -> int:
    """Return how many round trips a call took."""
    counting: Any = store.store
    if not hasattr(counting, "round_trips"):
        pytest.skip("the store does not count `round_trips`")
    before: int = counting.round_trips
    call()
    after: int = counting.round_trips
    return after - before


@pytest.mark.parametrize("call", ["read", "add", "write", "create", "destroy"])
def test_a_call_takes_one_round_trip(store: LimitedStore, call: str) -> None:
    """Reading, changing, creating and ending cost at most one each."""
    where = make(store)
    store.record(where)
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: store.record(where),
        "add": lambda: store.apply(where, (Add(b"n", 1),), load=True),
        "write": lambda: store.apply(where, (Write(b"n", b"2", UNREAD),)),
        "create": lambda: store.apply(reference(), (), create=True),
        "destroy": lambda: store.apply(where, (), finish=Destroy()),
    }
    assert spent(store, calls[call]) <= 1


def test_a_bind_takes_three_round_trips(store: LimitedStore) -> None:
    """A login costs at most three, in a store whose users and sessions are apart."""
    where, user = make(store), reference()
    move = Move(reference(), Bind(user, None, b"", 5))
    assert spent(store, lambda: store.apply(where, (), finish=move)) <= 3
