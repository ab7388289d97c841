"""Two visitors never get each other's reply, whatever the server says."""

import importlib.util
import time
from typing import Any

import pytest
import redis
from unsticky.errors import OutcomeUnknown
from unsticky.stores import UNREAD, Write

from tests.library.client.visitors import DEADLINE, PUSH, Opened, Visitors, run
from tests.support.stores.places import AtServer, deadline
from tests.support.stores.strange import Meddle, Relay, StrangeServer


def _stray(kind: str, last: list[bytes]) -> bytes:
    """Return what nobody asked for; a duplicate is of the last reply, whosever it was."""
    whole = last[0] if last else b""
    return {
        "push": PUSH,
        "duplicate": whole,
        "half a duplicate": whole[: len(whole) // 2],
        "the duplicate's reply": whole[4 : whole.rfind(b"$16\r\n")],
        "error": b"-ERR something\r\n",
        "nothing": b"$-1\r\n",
    }[kind]


def _meddling(kind: str, point: str) -> Meddle:
    last: list[bytes] = []

    def meddle(data: bytes) -> tuple[bytes | float, ...]:
        stray = _stray(kind, last)
        last[:] = [data]
        cut = data.rfind(b"$16\r\n")
        return {
            "before, together": (stray + data,),
            "before": (stray, 0.002, data),
            "in between": (data[:cut], stray, data[cut:]),
            "in the middle": (data[: cut // 2], stray, data[cut // 2 :]),
            "after, together": (data + stray,),
            "after": (data, 0.002, stray),
            "later": (data, 0.01, stray),
        }[point]

    return meddle


@pytest.mark.parametrize(
    "point",
    [
        "before, together",
        "before",
        "in between",
        "in the middle",
        "after, together",
        "after",
        "later",
    ],
)
@pytest.mark.parametrize(
    "kind",
    ["push", "duplicate", "half a duplicate", "the duplicate's reply", "error", "nothing"],
)
def test_two_visitors_never_get_each_others_session(
    place: AtServer, relay: Relay, opened: Opened, kind: str, point: str
) -> None:
    """Whatever comes unasked, at any point of a call, a visitor gets their own session or none."""
    client = opened(relay.url)
    visitors = Visitors(client, place)
    relay.meddle = _meddling(kind, point)
    for _ in range(6):
        for name in visitors.places:
            assert visitors.found(name, DEADLINE) in {name, None}
            client._breaker.answered()  # noqa: SLF001
        relay.meddle = None
    client.close()
    visitors.check()


def test_a_command_gets_no_reply_of_another(relay: Relay, opened: Opened) -> None:
    """A reply too many before the command's own is not taken for it: the mark is missing."""
    client = opened(relay.url)
    assert client.ask(deadline(), "ECHO", "own") == b"own"
    relay.meddle = lambda data: (b"$5\r\nstray\r\n" + data,)
    with pytest.raises(OutcomeUnknown, match="no reply to what was sent"):
        client.ask(deadline(), "ECHO", "own")


def test_a_reply_that_comes_after_the_deadline_is_nobodys(
    place: AtServer, relay: Relay, opened: Opened
) -> None:
    """The connection of a call that was given up is never used again."""
    client = opened(relay.url)
    visitors = Visitors(client, place)
    assert visitors.found(b"ann") == b"ann"
    relay.meddle = lambda data: (DEADLINE * 1.2, data)
    assert visitors.found(b"ann", DEADLINE) is None
    relay.meddle = None
    client._breaker.answered()  # noqa: SLF001
    for _ in range(3):
        assert visitors.found(b"bob") == b"bob"


def test_what_was_said_while_a_connection_lay_idle_costs_nothing(
    place: AtServer, relay: Relay, opened: Opened
) -> None:
    """A connection on which something unasked waits is dropped before anything is sent on it."""
    client = opened(relay.url)
    visitors = Visitors(client, place)
    assert [visitors.found(name) for name in (b"ann", b"bob")] == [b"ann", b"bob"]
    relay.say(PUSH)
    trips = client.round_trips
    time.sleep(0.01)
    assert visitors.found(b"bob") == b"bob"
    assert (client.round_trips, relay.connections) == (trips + 1, 2)


def _tracking(connection: Any) -> None:
    connection.on_connect()
    connection.send_command("CLIENT", "TRACKING", "ON", "BCAST")
    connection.read_response()


def _hello(connection: Any) -> None:
    connection.on_connect()
    connection.send_command("HELLO", 3)
    connection.read_response()
    connection.send_command("CLIENT", "TRACKING", "ON", "BCAST")
    connection.read_response()


@pytest.mark.parametrize("connect", [None, _tracking, _hello], ids=["plain", "tracking", "hello"])
def test_a_client_that_asked_for_pushes_serves_sessions(
    place: AtServer, opened: Opened, connect: Any
) -> None:
    """RESP3 and client tracking, set by the user's own client, make no difference."""
    if connect is _hello and importlib.util.find_spec("hiredis") is None:
        pytest.skip("redis-py without hiredis reads no RESP3 on a connection of RESP2")
    given = redis.Redis(
        unix_socket_path=str(place.server.socket), protocol=3, redis_connect_func=connect
    )
    client = opened(given)
    visitors = Visitors(client, place)
    for round_ in range(6):
        before = client.round_trips
        for name, where in visitors.places.items():
            write = (Write(b"n", b"%d" % round_, UNREAD),)
            visitors.store.apply(where, write)
            assert visitors.found(name) == name
    assert client.round_trips == before + 4
    given.close()


@pytest.mark.parametrize(
    "reply",
    [
        b"+OK\r\n",
        b":0\r\n",
        b"$-1\r\n",
        b"*0\r\n",
        b"*2\r\n:0\r\n$16\r\nabcdefghijklmnop\r\n",
        b"-OOM\r\n+OK\r\n",
        b"-OOM\r\n*2\r\n:0\r\n$16\r\n%b\r\n",
        b"*3\r\n:0\r\n$16\r\n%b\r\n:0\r\n",
    ],
)
def test_what_bears_no_mark_is_no_reply(opened: Opened, reply: bytes) -> None:
    """Whether the script ran is not known, and the connection is not used again."""

    def answer(_: int, command: list[bytes]) -> bytes | None:
        marked = reply % command[-1] if b"%b" in reply else reply
        return marked if command[0] == b"EVALSHA" else None

    with StrangeServer(answer) as server:
        client = opened(server.url)
        with pytest.raises(OutcomeUnknown, match="no reply to what was sent"):
            run(client)
        assert server.connections == server.asked.count(b"EVALSHA") == 2
        assert not client._pool._idle  # noqa: SLF001
