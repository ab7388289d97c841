"""Saved carts: every change is one step, and the same change sent again is none."""

import threading

import pytest
from shop.records.carts import Carts
from shop.records.operation import RETRY_MS, Operation
from shop.records.owner import Owner
from unsticky import OutOfRange

from tests.shop.records.places import Place

ADA, GRACE = Owner.user("ada"), Owner.user("grace")


class _Names:
    """Operations that were never used."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self) -> Operation:
        self._number += 1
        return Operation("test", self._number)


@pytest.fixture(name="new")
def _new() -> _Names:
    """Make names."""
    return _Names()


def test_changes(place: Place, new: _Names) -> None:
    """Each change answers with its line and the whole cart as they are then."""
    carts: Carts = place.carts
    assert carts.quantities(ADA) == {}
    assert carts.add(ADA, "tea", 2, 99, new()) == (2, {"tea": 2})
    assert carts.add(ADA, "tea", 3, 99, new()) == (5, {"tea": 5})
    assert carts.put(ADA, "jam", 7, new()) == (7, {"tea": 5, "jam": 7})
    assert carts.put(ADA, "tea", 1, new()) == (1, {"tea": 1, "jam": 7})
    assert carts.quantities(ADA) == {"tea": 1, "jam": 7}
    assert carts.quantities(GRACE) == {}
    assert carts.put(ADA, "tea", 0, new()) == (0, {"jam": 7})
    assert carts.put(ADA, "tea", 0, new()) == (0, {"jam": 7})
    assert carts.clear(ADA, new()) == (0, {})
    assert carts.quantities(ADA) == {}


def test_a_line_that_would_be_too_long_stays(place: Place, new: _Names) -> None:
    """The last piece that fits is added; one more is refused, and may come once there is room."""
    place.carts.add(ADA, "tea", 98, 99, new())
    name = new()
    with pytest.raises(OutOfRange, match="98"):
        place.carts.add(ADA, "tea", 2, 99, name)
    assert place.carts.quantities(ADA) == {"tea": 98}
    place.carts.put(ADA, "tea", 1, new())
    assert place.carts.add(ADA, "tea", 2, 99, name).line == 3


@pytest.mark.parametrize("kept", [10_000, RETRY_MS])
def test_a_change_sent_again(place: Place, new: _Names, kept: int) -> None:
    """It answers what it did the first time, with the cart as it is now, and does nothing."""
    add, put, clear = (Operation(f"again {number}", 1, kept) for number in range(3))
    place.carts.add(ADA, "tea", 2, 3, add)
    place.carts.put(ADA, "jam", 4, put)
    place.carts.clear(ADA, clear)
    place.carts.add(ADA, "wax", 1, 99, new())
    now = {"wax": 1}
    assert place.carts.add(ADA, "tea", 2, 3, add) == (2, now)
    assert place.carts.put(ADA, "jam", 4, put) == (4, now)
    assert place.carts.clear(ADA, clear) == (0, now)
    assert place.carts.quantities(ADA) == now


def test_what_is_another_change(place: Place) -> None:
    """Another owner, sku, quantity, ordinal or name is another one."""
    name = Operation("name", 1)
    for owner, sku, qty, operation in (
        (ADA, "tea", 1, name),
        (GRACE, "tea", 1, name),
        (ADA, "jam", 1, name),
        (ADA, "tea", 2, name),
        (ADA, "tea", 1, Operation("name", 2)),
        (ADA, "tea", 1, Operation("other", 1)),
    ):
        place.carts.add(owner, sku, qty, 99, operation)
    assert place.carts.quantities(ADA) == {"tea": 5, "jam": 1}
    assert place.carts.quantities(GRACE) == {"tea": 1}


def test_how_long_a_change_is_known(place: Place) -> None:
    """A result is kept as long as its operation says."""
    name = Operation("name", 1, RETRY_MS)
    place.carts.add(ADA, "tea", 1, 99, name)
    if place.raw is not None:
        (key,) = place.raw.scan_iter("shop:*:op:*")
        assert RETRY_MS - 5_000 < place.raw.pttl(key) <= RETRY_MS
        return
    for passed, line in ((RETRY_MS / 1000 - 1, 1), (2, 2)):
        place.clock.now += passed
        assert place.carts.add(ADA, "tea", 1, 99, name).line == line


def test_adds_at_the_same_moment(place: Place) -> None:
    """Of a hundred adds from four threads none is lost."""

    def add(thread: int) -> None:
        for number in range(25):
            place.carts.add(ADA, "tea", 1, 999, Operation(f"thread {thread}", number))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place.carts.quantities(ADA) == {"tea": 100}
