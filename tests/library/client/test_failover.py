"""A new primary is found without a restart, by its address and by Sentinel."""

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.sentinel import Sentinel
from unsticky.errors import StoreUnavailable

from tests.library.client.visitors import (
    GENEROUS,
    Opened,
    Visitors,
    await_no_threads,
    connecting,
    taken,
)
from tests.support.ports import free_port
from tests.support.stores.places import AtServer, deadline
from tests.support.stores.servers import Servers, find_program
from tests.support.stores.strange import Relay
from tests.support.waiting import PATIENCE, at_most, wait_until


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


@pytest.fixture(name="guarded")
def _guarded(parser: str, servers: Servers) -> Iterator[tuple[Any, AtServer, AtServer]]:
    """A Sentinel's client, the primary that it names, and its replica; a dead Sentinel first."""
    if parser == "plain":
        pytest.skip("Sentinel takes ten seconds, and replies are not what is tried")
    ports = [free_port() for _ in range(3)]
    first, second = (
        AtServer(
            "redis-server",
            servers.new("redis-server", "--port", str(port), "--repl-diskless-sync-delay", "0"),
        )
        for port in ports[:2]
    )
    second.server.raw.replicaof("127.0.0.1", ports[0])
    second.prefix = first.prefix
    program = find_program("redis-server")
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="c-") as folder:
        settings = Path(folder, "sentinel.conf")
        settings.write_text(
            f"port {ports[2]}\ndir {folder}\n"
            f"sentinel monitor shop 127.0.0.1 {ports[0]} 1\n"
            # No failover begins by itself, nor ends early, because the machine is busy.
            "sentinel down-after-milliseconds shop 60000\nsentinel failover-timeout shop 60000\n"
        )
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen([program, str(settings), "--sentinel"], stdout=log)
        try:
            sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
                [("127.0.0.1", 1), ("127.0.0.1", ports[2])], sentinel_kwargs={"retry": None}
            )
            _await(lambda: bool(sentinel.sentinels[-1].ping()), "Sentinel")
            with contextlib.suppress(redis.ResponseError):  # only since Redis 7: it looks sooner
                sentinel.sentinels[-1].execute_command("SENTINEL DEBUG", "INFO-PERIOD", "100")
            _await(lambda: bool(sentinel.discover_slaves("shop")), "a replica that Sentinel knows")
            given = sentinel.master_for("shop")
            yield given, first, second
            given.close()
            for each in sentinel.sentinels:
                each.close()
        finally:
            process.kill()
            process.wait()
            for place in (first, second):
                place.close()
                place.server.stop()


def _await(condition: Callable[[], bool], what: str) -> None:
    # A Sentinel whose own clock was stopped for two seconds does nothing for half a minute.
    wait_until(condition, what, 3 * PATIENCE, ignoring=redis.RedisError)


def test_sentinels_failover_is_followed(
    guarded: tuple[Any, AtServer, AtServer], opened: Opened
) -> None:
    """Once Sentinel names another primary, the next requests are served there."""
    given, first, second = guarded
    client = opened(given)
    visitors = Visitors(client, first)
    visitors.check()
    _await(lambda: second.server.raw.dbsize() == first.server.raw.dbsize(), "a full replica")
    asked = given.connection_pool.sentinel_manager.sentinels[-1]
    _await(lambda: bool(asked.execute_command("SENTINEL FAILOVER", "shop")), "a failover")
    _await(lambda: first.server.raw.info("replication")["role"] == "slave", "another primary")
    with at_most(6 * GENEROUS):
        visitors.check(3)
    assert client.address == "the primary that Sentinel names for 'shop'"


def test_sentinels_that_are_down_are_asked_once(opened: Opened) -> None:
    """Each costs one attempt, and the settings of its client are not shown."""
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        [("127.0.0.1", 1), ("127.0.0.1", 2)], sentinel_kwargs={"password": "s3cret"}
    )
    before = connecting()
    with (
        at_most(1),
        pytest.raises(StoreUnavailable, match="no Sentinel names a primary") as caught,
    ):
        opened(sentinel.master_for("shop")).ask(deadline(), "PING")
    assert "s3cret" not in str(caught.value)
    await_no_threads(before)
