"""Failed logins: counted for each user and address, for a while."""

from typing import Any

from shop.records.attempts import MOST, WINDOW_MS
from shop.records.owner import Owner

from tests.shop.records.places import Place

_HERE, _THERE = "192.0.2.1", "192.0.2.2"


def _fail(place: Place, times: int) -> None:
    # Where each call is made twice, each counts twice.
    for _ in range(times // place.times):
        assert place.attempts.wait_ms("ada", _HERE) == 0
        place.attempts.fail("ada", _HERE)


def test_up_to_the_limit(place: Place) -> None:
    """After ten failures the address waits for the rest of the window, which one more keeps."""
    _fail(place, MOST)
    for _ in range(2):
        assert WINDOW_MS - 60_000 < place.attempts.wait_ms("ada", _HERE) <= WINDOW_MS
        place.attempts.fail("ada", _HERE)


def test_others_do_not_wait(place: Place) -> None:
    """Another address may try this user, and this address another user."""
    _fail(place, MOST)
    assert place.attempts.wait_ms("ada", _THERE) == 0
    assert place.attempts.wait_ms("grace", _HERE) == 0


def test_forgetting(place: Place) -> None:
    """After a success the count begins anew."""
    for _ in range(2):
        _fail(place, MOST - place.times)
        place.attempts.forget("ada", _HERE)
    _fail(place, MOST)


def test_the_window(place: Place) -> None:
    """Failures are forgotten when the window that began with the first one has passed."""
    _fail(place, 2)
    raw: Any = place.raw
    if raw is None:
        place.clock.now += WINDOW_MS / 1000 - 1
        place.attempts.fail("ada", _HERE)
        place.clock.now += 1
    else:
        (key,) = raw.scan_iter(Owner.user("ada").key("failures", "*").replace("{", "[{]"))
        assert WINDOW_MS - 60_000 < raw.pttl(key) <= WINDOW_MS
        raw.pexpire(key, 1_000)
        place.attempts.fail("ada", _HERE)
        assert raw.pttl(key) <= 1_000
        raw.delete(key)
    _fail(place, MOST)
