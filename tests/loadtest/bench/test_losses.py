"""The load of a page finds what it is for."""

import pytest

from loadtest.frameworks import peers
from loadtest.frameworks.benchmarks import page
from loadtest.frameworks.benchmarks.page import Load

_LOADS = 5


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
