"""Joining a guest's cart into a saved one: claims that contribute once, and can be withdrawn."""

from typing import Any

import pytest
from shop.records.joining import CLOSED_MS, KEEP_MS
from shop.records.owner import Owner

from tests.shop.records.places import Place

_ADA = Owner.user("ada")


def _join(place: Place, claim: str, *closing: str, **quantities: int) -> bool:
    return place.joining.join("ada", claim, quantities, closing=closing, most=99)


def _cart(place: Place) -> dict[str, int]:
    return place.carts.quantities(_ADA)


def test_a_first_claim(place: Place) -> None:
    """What the guest has is added to what was saved, each line up to the most."""
    assert _join(place, "other", tea=1, jam=98)
    assert _join(place, "one", tea=2, jam=3, rice=1)
    assert _cart(place) == {"tea": 3, "jam": 99, "rice": 1}


def test_a_claim_again(place: Place) -> None:
    """The same claim again adds only what is more by now, and takes back what is less."""
    assert _join(place, "one", tea=2, jam=1)
    for quantities in ({"tea": 2, "jam": 1}, {"tea": 5}, {"tea": 4, "rice": 1}, {}):
        assert _join(place, "one", **quantities)
        assert _cart(place) == quantities


def test_a_claim_at_the_most(place: Place) -> None:
    """What did not fit is no contribution: it fits later, and is not taken back."""
    assert _join(place, "saved", tea=98)
    assert _join(place, "one", tea=5)
    assert _cart(place) == {"tea": 99}
    assert _join(place, "two", "one")
    assert _cart(place) == {"tea": 98}


@pytest.mark.parametrize("died", [True, False])
def test_a_later_claim(place: Place, *, died: bool) -> None:
    """A later claim of the same guest adds nothing that an earlier one did, and shuts that out."""
    if died:
        assert _join(place, "one", tea=2)
    assert _join(place, "two", "one", tea=3)
    assert _cart(place) == {"tea": 3}
    assert not _join(place, "one", tea=2)
    assert _join(place, "three", "one", "two", tea=3)
    assert not _join(place, "two", tea=3)
    assert _cart(place) == {"tea": 3}


def test_what_was_bought_meanwhile(place: Place) -> None:
    """What a dead login joined and its user has ordered is not joined again."""
    assert _join(place, "one", tea=2)
    assert place.orders.begin(_ADA, "order") is not None
    assert _join(place, "two", "one", tea=2)
    assert _cart(place) == {}
    assert _join(place, "three", "one", "two")
    assert _cart(place) == {}


@pytest.mark.parametrize("died", [True, False])
def test_closing(place: Place, *, died: bool) -> None:
    """Closing a claim withdraws what it contributed, once, and shuts it out."""
    assert _join(place, "saved", tea=1)
    if died:
        assert _join(place, "one", tea=2, jam=1)
    for _ in range(2):
        place.joining.close("ada", "one")
        assert _cart(place) == {"tea": 1}
    assert not _join(place, "one", tea=2)
    assert _cart(place) == {"tea": 1}


def test_closing_what_is_gone(place: Place) -> None:
    """What the user has taken out meanwhile is not taken out twice."""
    assert _join(place, "one", tea=2, jam=2)
    assert place.orders.begin(_ADA, "order") is not None
    assert _join(place, "saved", jam=1)
    place.joining.close("ada", "one")
    assert _cart(place) == {}


def test_claims_do_not_stay(place: Place) -> None:
    """A claim is kept as long as a session can live, a closed or settled one for a day."""
    _join(place, "one", tea=2)
    _join(place, "two", "one", tea=2)
    _join(place, "settled", jam=2)
    place.joining.settle("ada", "settled")
    assert _join(place, "settled", jam=2)
    assert _cart(place) == {"tea": 2, "jam": 2}
    place.joining.settle("ada", "settled")
    raw: Any = place.raw
    if raw is not None:
        for claim, most in (("one", CLOSED_MS), ("two", KEEP_MS), ("settled", CLOSED_MS)):
            assert most - 60_000 < raw.pttl(_ADA.key("claim", claim)) <= most
        return
    place.clock.now += CLOSED_MS / 1000
    assert _join(place, "three", "two", tea=2)
    assert _join(place, "settled", jam=2)
    assert _cart(place) == {"tea": 2, "jam": 4}
    place.clock.now += KEEP_MS / 1000
    assert _join(place, "three", tea=2)
    assert _cart(place) == {"tea": 4, "jam": 4}
