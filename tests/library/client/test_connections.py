"""Connections: made within the deadline, shared by threads, dropped when they may be dead."""

import os
import subprocess
import sys
import threading
import time

import pytest
import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from unsticky.errors import StoreUnavailable
from unsticky.stores import Deadline

from tests.library.client.visitors import (
    DEADLINE,
    GENEROUS,
    Opened,
    Visitors,
    await_no_threads,
    connecting,
    taken,
)
from tests.support.checkout import ROOT
from tests.support.stores.places import AtServer, deadline
from tests.support.stores.strange import Relay, StrangeServer
from tests.support.waiting import at_most


@pytest.mark.parametrize("way", ["url", "client"])
def test_connections_that_a_firewall_dropped_are_not_used(
    place: AtServer, relay: Relay, opened: Opened, way: str
) -> None:
    """After `health_check_interval` without use the next request is served by a new connection."""
    given = redis.Redis(port=relay.port, health_check_interval=1)
    client = opened(given) if way == "client" else opened(f"{relay.url}?health_check_interval=1")
    visitors = Visitors(client, place)
    assert visitors.found(b"ann") == b"ann"
    time.sleep(1.05)  # what it is about
    relay.go_silent()
    # On the silent connection it would wait until the deadline, and then be refused.
    assert visitors.found(b"ann") == b"ann"
    assert relay.connections == 2
    given.close()


def test_idle_connections_are_trusted_for_half_a_minute(
    opened: Opened, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a `health_check_interval` it is 30 seconds."""
    client, clock = opened(relay.url), time.monotonic
    client.ask(deadline(), "PING")
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 29)
    client.ask(deadline(), "PING")
    assert relay.connections == 1
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 29 + 31)
    client.ask(deadline(), "PING")
    assert relay.connections == 2


def test_a_server_that_is_down_costs_no_retries_of_the_users_client(opened: Opened) -> None:
    """The client's own retries are not used: a refused connection is answered at once."""
    with StrangeServer(lambda *_: None) as server:
        port = server.port
    before = connecting()
    given = redis.Redis(
        port=port,
        retry=Retry(ExponentialBackoff(cap=1, base=0.5), 10),
        retry_on_error=[redis.ConnectionError],
    )
    with (
        at_most(0.4),
        pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}|localhost:{port}"),
    ):
        opened(given).ask(deadline(), "PING")
    await_no_threads(before)


def test_a_handshake_that_drips_leaves_no_thread(opened: Opened) -> None:
    """Connecting ends with the deadline, the thread that did it too."""
    before = connecting()

    def answer(_: int, command: list[bytes]) -> bytes | None:
        if command[0] == b"AUTH":
            time.sleep(DEADLINE * 3)  # what it is for
        return None

    with StrangeServer(answer) as server:
        url = f"redis://:x@127.0.0.1:{server.port}"
        with at_most(GENEROUS), pytest.raises(StoreUnavailable):
            opened(url).ask(Deadline(DEADLINE), "PING")
        await_no_threads(before)


def test_the_number_of_connecting_threads_is_bounded(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name lookups that hang hold at most as many threads as there may be connections."""
    hang = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: hang.wait(20) or [])
    client = opened("redis://a-store-somewhere:6379?max_connections=2")
    before = threading.active_count()
    try:
        for _ in range(5):
            client._breaker.answered()  # noqa: SLF001
            with pytest.raises(StoreUnavailable):
                client.ask(Deadline(0.05), "PING")
        assert threading.active_count() <= before + 2
    finally:
        hang.set()


def test_threads_share_a_few_connections(place: AtServer, relay: Relay, opened: Opened) -> None:
    """More threads than connections all get their own session, each time."""
    visitors = Visitors(opened(f"{relay.url}?max_connections=3"), place)
    wrong: list[object] = []

    def visit(name: bytes) -> None:
        for _ in range(50):
            record = visitors.store.record(visitors.places[name])
            if record.fields is None or record.fields[b"who"] != name:
                wrong.append(record)

    threads = [threading.Thread(target=visit, args=(name,)) for name in list(visitors.places) * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert relay.connections <= 3


_CLOSING = """
import gc, sys
import redis
from unsticky.stores.base import Deadline
from unsticky.stores.urls import client_from_url
client = client_from_url(sys.argv[1])
client.ask(Deadline(30.0), "PING")
client.close()
assert not client._pool._idle
assert client.ask(Deadline(30.0), "PING") == b"PONG"
client.close()
gc.collect()
print("held")
"""


_FORKING = """
import os, sys
from unsticky.stores.base import Deadline
from unsticky.stores.urls import client_from_url
client = client_from_url(sys.argv[1])
mine = client.ask(Deadline(30.0), "CLIENT", "ID")
child = os.fork()
if child == 0:
    theirs = client.ask(Deadline(30.0), "CLIENT", "ID")
    client.close()
    os._exit(0 if theirs != mine else 1)
assert os.waitpid(child, 0)[1] == 0
assert client.ask(Deadline(30.0), "CLIENT", "ID") == mine
client.close()
print("held")
"""


def _held(program: str, url: str) -> bool:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, url],
        env={**os.environ, "PYTHONPATH": str(ROOT / "app")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return (done.stdout, done.stderr) == ("held\n", "")


def test_a_closed_client_leaves_nothing_open(place: AtServer) -> None:
    """Nothing warns of an open socket; a call after `close` connects again."""
    assert _held(_CLOSING, place.server.url)


def test_a_fork_shares_no_connection(place: AtServer) -> None:
    """A child has connections of its own, and leaves the parent's as they are."""
    assert _held(_FORKING, place.server.url)


def test_a_connection_in_use_is_closed_when_it_comes_back(place: AtServer, opened: Opened) -> None:
    """`close` while a call is under way leaves no connection behind either."""
    client = opened(place.server.url)
    line = taken(client)
    client.close()
    client._pool.give_back(line)  # noqa: SLF001
    assert not client._pool._idle  # noqa: SLF001
