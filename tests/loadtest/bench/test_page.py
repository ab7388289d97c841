"""The load of a page finds what it is for."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from bench import page, servers
from bench.kinds import Kind
from bench.page import Load
from bench.pages import application
from bench.servers import Running

_LOADS = 5


def _loads(kind: Kind, store: Running, folder: Path) -> list[Load]:
    with ExitStack() as stack:
        fleet = [
            stack.enter_context(
                servers.gunicorn(f"app{number}", application(kind, store.url), page.WORKERS, folder)
            ).socket
            for number in range(page.FLEETS)
        ]
        return page.load_pages(fleet, _LOADS, seconds=60)


def test_what_a_cookie_loses_is_counted(store: Running, folder: Path) -> None:
    """Of two tabs' states, kept in one cookie, one is lost; of two orders, too."""
    loads = _loads(Kind.COOKIE, store, folder)
    assert len(loads) == _LOADS
    assert sum(load.login.lost for load in loads) >= 1
    assert sum(load.order.lost for load in loads) >= 1
    assert all(load.order.twice == load.order.refused == 0 for load in loads)


def test_the_library_loses_and_refuses_nothing(store: Running, folder: Path) -> None:
    """No acknowledged change is lost or applied twice, no request refused, no login lost."""
    assert _loads(Kind.UNSTICKY, store, folder) == [Load()] * _LOADS


@pytest.mark.parametrize(("loads", "percent"), [(1, 95.0), (100, 2.95), (1000, 0.30)])
def test_the_bound_follows_from_the_number_of_loads(loads: int, percent: float) -> None:
    """0 of 1,000 leaves at most 0.3 % at 95 %."""
    assert page.bound(loads) == pytest.approx(percent, abs=0.005)
