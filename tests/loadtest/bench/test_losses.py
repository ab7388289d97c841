"""The races and the load of a page find what they are for."""

import pytest

from loadtest.frameworks import peers
from loadtest.frameworks.benchmarks import page, race
from loadtest.frameworks.benchmarks.page import Load

_LOGOUTS = 2
_LOADS = 5


def test_lost_updates_and_undone_logouts_are_counted() -> None:
    """Flask's cookie, which the last writer wins, loses most additions and undoes every logout."""
    (raced,) = race.rounds(peers.named(["flask-cookie"]), 1, _LOGOUTS)
    additions, revivals = raced.additions, raced.revivals
    assert (additions.acknowledged, additions.refused, additions.failed) == (401, 0, 0)
    assert additions.lost >= 150
    assert raced.document()["lost"] == additions.lost
    assert revivals.revived == revivals.replayed == _LOGOUTS
    assert revivals.statuses == {200: race.LATE_WRITERS * _LOGOUTS}


def test_the_library_loses_and_revives_nothing() -> None:
    """Every addition is there, each late writer is refused, and no logout is undone."""
    (raced,) = race.rounds(peers.named(["unsticky"]), 1, _LOGOUTS)
    assert (raced.additions.acknowledged, raced.additions.lost) == (401, 0)
    assert raced.revivals.revived == raced.revivals.replayed == 0
    assert raced.revivals.statuses == {409: race.LATE_WRITERS * _LOGOUTS}


def _loads(name: str) -> list[Load]:
    (peer,) = peers.named([name])
    with page.fleet(peer) as sockets:
        return page.load_pages(sockets, _LOADS, seconds=60)


def test_lost_changes_of_a_cookie_are_counted() -> None:
    """Of two tabs' states, kept in one cookie, one is lost; of two orders, too."""
    loads = _loads("flask-cookie")
    assert len(loads) == _LOADS
    assert sum(load.login.lost for load in loads) >= 1
    assert sum(load.order.lost for load in loads) >= 1
    assert all(load.order.twice == load.order.refused == 0 for load in loads)


def test_the_library_loses_and_refuses_nothing() -> None:
    """No acknowledged change is lost or applied twice, no request refused, no login lost."""
    assert _loads("unsticky") == [Load()] * _LOADS


@pytest.mark.parametrize(("loads", "percent"), [(1, 95.0), (100, 2.95), (1000, 0.30)])
def test_the_bound_follows_from_the_number_of_loads(loads: int, percent: float) -> None:
    """0 of 1,000 leaves at most 0.3 % at 95 %."""
    assert page.bound(loads) == pytest.approx(percent, abs=0.005)
