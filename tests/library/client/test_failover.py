"""A new primary is found without a restart; see `test_failovers.py` for fail-overs by Sentinel."""

import pytest
import redis
from unsticky.errors import StoreUnavailable
from unsticky.stores import Deadline

from tests.library.client.visitors import (
    DEADLINE,
    Opened,
    Visitors,
    await_no_threads,
    connecting,
    sentinel_of,
    taken,
)
from tests.support.stores.places import AtServer
from tests.support.stores.servers import Servers
from tests.support.stores.strange import Relay
from tests.support.waiting import at_most


@pytest.mark.parametrize("moves", ["by its address", "by a client"])
def test_a_planned_failover_needs_no_restart(servers: Servers, opened: Opened, moves: str) -> None:
    """The address leads to the new primary, the old connections to what is a replica now."""
    old, new = servers.new("redis-server"), servers.new("redis-server")
    relay = Relay(str(old.socket))
    place = AtServer("old", old)
    try:
        given = redis.Redis.from_url(relay.url)
        client = opened(given) if moves == "by a client" else opened(relay.url)
        visitors = Visitors(client, place)
        lines = [taken(client) for _ in range(4)]
        for line in lines:
            client._pool.give_back(line)  # noqa: SLF001
        visitors.check()
        for where in visitors.places.values():
            new.raw.restore(place.key(where), 0, old.raw.dump(place.key(where)))
        relay.target = str(new.socket)
        old.raw.replicaof("127.0.0.1", 1)
        visitors.check(6)
        assert relay.connections == 5
        given.close()
    finally:
        client.close()
        place.close()
        relay.close()
        old.stop()
        new.stop()


def test_sentinels_that_are_down_are_said_to_be(opened: Opened) -> None:
    """In time, and the settings of their clients are not shown."""
    hosts = ("127.0.0.1", 1), ("127.0.0.1", 2)
    sentinel = sentinel_of(*hosts, sentinel_kwargs={"password": "s3cret"})
    before = connecting()
    with (
        at_most(1),
        pytest.raises(StoreUnavailable, match="no Sentinel names a primary") as caught,
    ):
        opened(sentinel.master_for("shop")).ask(Deadline(DEADLINE), "PING")
    assert "s3cret" not in str(caught.value)
    await_no_threads(before)
