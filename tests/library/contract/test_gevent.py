"""What gevent must not change or slow: in a process of its own, which it patches."""

import os
import subprocess
import sys

import pytest

from tests.support.checkout import ROOT
from tests.support.stores.places import AtServer
from tests.support.stores.servers import SINGLE
from tests.support.stores.strange import Relay, StrangeServer

_PATCHED = """
from gevent import monkey
monkey.patch_all()

import sys
import time

import gevent
from pathlib import Path

from unsticky import stores
from unsticky.errors import OutcomeUnknown, StoreUnavailable
from unsticky.stores.urls import client_from_url
from unsticky.stores.base import Deadline
from unsticky.stores.client import Script

url = sys.argv[1]
"""

_IDLE = """
caller, other = client_from_url(url), client_from_url(url)
probe = Script.from_file(Path(stores.__file__).parent / "lua" / "read.lua")


def read(through):
    return through.call(probe, (b"gevent-test",), (b"1000", b"50"), Deadline(30.0))


assert read(caller) == read(other) == [1]

# Whether an idle connection is good is known at once: nobody else runs meanwhile.
ran = []
gevent.spawn(ran.append, True)
connection = caller._pool._idle[-1]
assert connection.is_quiet()
assert not ran
gevent.sleep(0)
assert ran

# One that the server closed is noticed before anything is sent on it.
import redis

with redis.Redis.from_url(url) as killer:
    killer.client_kill_filter(_type="normal", skipme=True)
assert not connection.is_quiet()
before = caller.round_trips
assert read(caller) == [1]
assert caller.round_trips == before + 1
print("held")
"""

_DEADLINE = """
client = client_from_url(url)
started, ran = time.monotonic(), []
gevent.spawn_later(0.1, ran.append, True)
try:
    client.ask(Deadline(0.5), "PING")
except (StoreUnavailable, OutcomeUnknown):
    # Without a deadline it takes longer than that, or for ever.
    assert 0.4 < time.monotonic() - started < 10, time.monotonic() - started
    assert ran
    print("held")
"""

_GREENLETS = """
client, wrong = client_from_url(url + "?max_connections=3"), []


def visit(number):
    for round in range(40):
        text = b"%d of %d" % (round, number)
        if client.ask(Deadline(30.0), "ECHO", text) != text:
            wrong.append(text)


gevent.joinall([gevent.spawn(visit, number) for number in range(10)], raise_error=True)
assert not wrong, wrong

# One that is ended from outside while its answer is under way leaves none for the next.
for _ in range(20):
    with gevent.Timeout(0.001, False):
        client.ask(Deadline(30.0), "EVAL", "for i = 1, 3e5 do end return ARGV[1]", 0, "late")
    assert client.ask(Deadline(30.0), "ECHO", "mine") == b"mine"
print("held")
"""

_LOOKUP = """
import gevent.hub

client = client_from_url("redis://a-store-somewhere:6379")
gevent.hub.get_hub().resolver.getaddrinfo = lambda *_, **__: gevent.sleep(60)
started = time.monotonic()
try:
    client.ask(Deadline(0.5), "PING")
except StoreUnavailable:
    assert time.monotonic() - started < 10
    print("held")
"""


def _run(program: str, url: str) -> tuple[str, str]:
    app = ROOT / "app"
    done = subprocess.run(
        [sys.executable, "-c", _PATCHED + program, url],
        env={**os.environ, "PYTHONPATH": str(app)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize("own_server", SINGLE, indirect=True)
def test_an_idle_connection_is_looked_at_without_gevents_loop(own_server: AtServer) -> None:
    """Under gevent too, a closed connection is noticed before the call, and no greenlet runs."""
    assert _run(_IDLE, own_server.server.url) == ("held\n", "")


@pytest.mark.parametrize("server_place", SINGLE, indirect=True)
@pytest.mark.parametrize("what", ["drips", "is silent"])
def test_the_deadline_holds_under_gevent(server_place: AtServer, what: str) -> None:
    """A reply that drips or does not come costs the deadline, and other greenlets run meanwhile."""
    relay = Relay(str(server_place.server.socket))
    try:
        drops: tuple[bytes | float, ...] = (b"*99\r\n", *((0.2, b":1\r\n") * 90))
        relay.meddle = lambda _: drops if what == "drips" else ()
        assert _run(_DEADLINE, relay.url) == ("held\n", "")
    finally:
        relay.close()


@pytest.mark.parametrize("server_place", SINGLE, indirect=True)
def test_greenlets_get_their_own_answers(server_place: AtServer) -> None:
    """More greenlets than connections, and some that are ended while they wait."""
    relay = Relay(str(server_place.server.socket))
    try:
        assert _run(_GREENLETS, relay.url) == ("held\n", "")
    finally:
        relay.close()


def test_a_handshake_that_hangs_ends_under_gevent() -> None:
    """Nothing that the server leaves unanswered takes longer than the deadline."""
    with StrangeServer(lambda *_: b"") as server:
        assert _run(_DEADLINE, f"redis://:x@127.0.0.1:{server.port}") == ("held\n", "")


def test_a_name_lookup_that_hangs_ends_under_gevent() -> None:
    """Nor does a name server."""
    assert _run(_LOOKUP, "") == ("held\n", "")
