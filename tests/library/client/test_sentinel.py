"""Sentinel: its URL, and how the primary is found whatever the Sentinels do."""

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from unsticky.errors import ConfigurationError, OutcomeUnknown, StoreUnavailable
from unsticky.stores import Client, Deadline, Script, Wait, client_from_url, open_store

from tests.library.client.visitors import (
    DEADLINE,
    GENEROUS,
    Opened,
    Visitors,
    sentinel_of,
    tls_options,
)
from tests.support.ports import free_port
from tests.support.stores.places import CAPS, AtServer, deadline
from tests.support.stores.servers import Server, Servers, required_program
from tests.support.stores.strange import Relay, StrangeServer, bulk
from tests.support.waiting import at_most, wait_until


class Watcher:
    """A Sentinel that a test made up.

    Attributes:
        port: of the primary that it names; None if it knows no such service.
        epoch: of the election of which it knows.
        flags: what it thinks of the primary.
        password: what it wants, if anything.
        silent: whether it does not answer.
        seconds: how long it takes to answer.
    """

    def __init__(self, port: int | None) -> None:
        self.port, self.epoch, self.flags = port, 1, b"master"
        self.password: bytes | None = None
        self.silent = False
        self.seconds = 0.0
        self._let_in: set[int] = set()
        self.server = StrangeServer(self._answer)

    @property
    def host(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self.server.port}"

    def close(self) -> None:
        """Stop it."""
        self.silent = False
        self.server.__exit__()

    def _answer(self, number: int, command: list[bytes]) -> bytes | None:
        while self.silent:
            time.sleep(0.01)  # silent until the test says otherwise
        if command[0] == b"SENTINEL":
            time.sleep(self.seconds / 2)  # of two questions
        if command[0] == b"AUTH":
            if command[-1] != self.password:
                return b"-WRONGPASS invalid username-password pair\r\n"
            self._let_in.add(number)
        if self.password is not None and number not in self._let_in:
            return b"-NOAUTH Authentication required.\r\n"
        if command[0] != b"SENTINEL":
            return None
        assert command[2] == b"shop"
        if self.port is None:
            return b"*-1\r\n" if command[1] != b"MASTER" else b"-ERR No such master\r\n"
        port = b"%d" % self.port
        if command[1] != b"MASTER":
            return _array(b"127.0.0.1", port)
        known = {b"ip": b"127.0.0.1", b"port": port, b"flags": self.flags}
        known |= {b"config-epoch": b"%d" % self.epoch, b"num-other-sentinels": b"2"}
        return _array(*(part for pair in known.items() for part in pair))


def _array(*parts: bytes) -> bytes:
    return b"*%d\r\n%b" % (len(parts), b"".join(map(bulk, parts)))


@pytest.fixture(name="watchers")
def _watchers(relay: Relay) -> Iterator[list[Watcher]]:
    """Three Sentinels, which name the relay."""
    watchers = [Watcher(relay.port) for _ in range(3)]
    yield watchers
    for watcher in watchers:
        watcher.close()


def _url(watchers: list[Watcher], rest: str = "", login: str = "") -> str:
    hosts = ",".join(watcher.host for watcher in watchers)
    return f"redis+sentinel://{login}{hosts}/shop{rest}"


def _says(client: Client, within: float = DEADLINE) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        client.ask(Deadline(within), "PING")
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis+sentinel://one/shop", "shop"),
        ("redis+sentinel://ann:s3cret@one:1,two:2/shop/0", "shop"),
        ("rediss+sentinel://:s3cret@[::1]:26379,[::2]/my-shop.1/3?ssl_cert_reqs=none", "my-shop.1"),
        ("redis+sentinel://one,two/shop?sentinel_username=s3&sentinel_password=s3%2Fcret", "shop"),
        ("redis+sentinel://ann:s3%2Fcr%23e%3Ft%40@one/7/0", "7"),
    ],
)
def test_an_address_is_shown_as_its_service(url: str, shown: str) -> None:
    """Where it is can change, and nothing secret is shown."""
    expected = f"the primary that Sentinel names for {shown!r}"
    assert client_from_url(url).address == expected
    assert open_store(url, None, "", CAPS).description == expected


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        ("s3cret@one:26379", "names no service"),
        ("s3cret@one:26379/", "names no service"),
        ("s3cret@one:26379/0", "names no service"),
        ("s3cret@one/shop%20s3c", "other characters"),
        ("s3cret@/shop", "no host and port"),
        ("s3cret@one,/shop", "no host and port"),
        ("s3cret@one:s3cret/shop", "no host and port"),
        ("s3cret@one:70000/shop", "between 1 and 65535"),
        ("s3cret@one:0/shop", "between 1 and 65535"),
        ("s3c/ret@one/shop/0", "more parts"),
        ("12/s3cret@one/shop", "more parts"),
        ("s3c#ret@one/shop", "more parts"),
        ("s3cret@one/shop/s3cret", "more parts"),
        ("s3cret@one/shop/0#s3cret", "more parts"),
        ("s3cret@one/shop?s3cret", "not name=value"),
        ("s3cret@one/shop?s3cret=1", "options"),
        ("s3cret@one/shop?sentinel_s3cret=1", "not their login"),
    ],
)
def test_a_malformed_url_is_not_repeated(rest: str, why: str) -> None:
    """The message says what is wrong and how it is written, and shows no piece of it."""
    with pytest.raises(ConfigurationError, match=why) as caught:
        client_from_url(f"redis+sentinel://:{rest}")
    assert "s3c" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_sentinels_that_are_dead_or_silent_cost_little(
    place: AtServer, opened: Opened, watchers: list[Watcher]
) -> None:
    """All are asked at once: one that answers is enough."""
    watchers[1].silent = True
    url = _url(watchers).replace(watchers[0].host, f"127.0.0.1:{free_port()}")
    client = opened(url)
    with at_most(0.25):
        assert client.ask(Deadline(DEADLINE), "PING") == b"PONG"
    Visitors(client, place).check()


def test_without_sentinels_the_known_primary_serves(
    place: AtServer, opened: Opened, watchers: list[Watcher]
) -> None:
    """It is asked for where it was; and if nobody ever named it, the request is refused in time."""
    client = opened(_url(watchers))
    visitors = Visitors(client, place)
    visitors.check()
    for watcher in watchers:
        watcher.silent = True
    client.close()
    with at_most(GENEROUS):
        assert client.ask(Deadline(DEADLINE), "PING") == b"PONG"
    # One that was started again with an empty file knows nothing, and says so.
    watchers[0].silent, port, watchers[0].port = False, watchers[0].port, None
    client.close()
    assert client.ask(Deadline(DEADLINE), "PING") == b"PONG"
    watchers[0].silent, watchers[0].port = True, port
    with at_most(2 * GENEROUS):
        assert "no Sentinel names a primary: " in _says(opened(_url(watchers)))
    for watcher in watchers:
        watcher.close()
    client.close()
    visitors.check()


def test_the_latest_election_counts(
    opened: Opened, watchers: list[Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Sentinel that was cut off names a primary that the others have replaced."""
    # All answer, on a busy machine, too.
    monkeypatch.setattr("unsticky.stores.sentinel.primary._GRACE", 1.0)
    with StrangeServer(lambda *_: None) as former:
        watchers[0].port = former.port
        watchers[1].epoch = watchers[2].epoch = 2
        client = opened(_url(watchers))
        for _ in range(3):
            client.close()
            assert client.ask(deadline(), "PING") == b"PONG"
        assert not former.connections


def test_a_sentinel_that_answers_first_does_not_count_alone(
    opened: Opened, watchers: list[Watcher]
) -> None:
    """The one that was cut off has the least to do, and may be the fastest."""
    with StrangeServer(lambda *_: None) as former:
        watchers[0].port = former.port
        for watcher in watchers[1:]:
            watcher.epoch, watcher.seconds = 2, 0.1
        client = opened(_url(watchers))
        for _ in range(3):
            client.close()
            assert client.ask(deadline(), "PING") == b"PONG"
        assert not former.connections


def test_a_replica_that_is_named_is_refused(
    place: AtServer, servers: Servers, opened: Opened, watchers: list[Watcher]
) -> None:
    """Before anything is sent; the Sentinels are asked again within the same deadline."""
    port, right = free_port(), watchers[0].port
    replica = servers.new("redis-server", "--port", str(port))
    try:
        replica.raw.replicaof("127.0.0.1", 1)
        for watcher in watchers:
            watcher.port = port
        client = opened(_url(watchers))
        assert "a server that is a replica" in _says(client)
        _name_later(watchers, right)
        client = opened(_url(watchers))
        assert client.ask(deadline(), "PING") == b"PONG"
        Visitors(client, place).check()
    finally:
        replica.stop()


def _name_later(watchers: list[Watcher], port: int | None) -> None:
    def name() -> None:
        for watcher in watchers:
            watcher.port = port

    threading.Timer(0.3, name).start()


def test_one_request_waits_for_another_primary(opened: Opened, watchers: list[Watcher]) -> None:
    """It is served if there is one in time; if not, the next ones are refused at once."""
    right = watchers[0].port
    for watcher in watchers:
        watcher.flags = b"master,s_down,o_down"
    client = opened(_url(watchers))
    started = time.monotonic()
    assert "has not yet replaced the primary" in _says(client, 2.0)
    assert time.monotonic() - started > 1.0
    asked = watchers[0].server.connections
    with at_most(0.25):
        _says(client)
    assert watchers[0].server.connections == asked + 1
    for watcher in watchers:
        watcher.flags = b"master"
    wait_until(lambda: client.ask(deadline(), "PING"), "a primary", ignoring=StoreUnavailable)
    client.close()
    for watcher in watchers:
        watcher.port = free_port()
    _name_later(watchers, right)
    assert client.ask(deadline(), "PING") == b"PONG"


def test_a_promoted_replica_counts_before_the_switch_ends(
    opened: Opened, watchers: list[Watcher]
) -> None:
    """The Sentinel that leads a fail-over names it, and still has the former primary as down."""
    for watcher in watchers:
        watcher.flags = b"master,o_down"
    answered = watchers[0].server._answer  # noqa: SLF001

    def promoted(number: int, command: list[bytes]) -> bytes | None:
        reply = answered(number, command)
        if reply is not None and command[1] == b"MASTER":
            return reply.replace(str(watchers[0].port).encode(), b"00001")
        return reply

    watchers[0].server._answer = promoted  # noqa: SLF001
    watchers[0].epoch = 2
    assert opened(_url(watchers)).ask(deadline(), "PING") == b"PONG"


def test_what_is_wrong_is_said(
    place: AtServer, relay: Relay, opened: Opened, watchers: list[Watcher]
) -> None:
    """In the error for the log: a service that is not there, a port of something else, a login."""
    del place
    watchers[0].port = None
    assert "knows no service 'shop'" in _says(opened(_url(watchers[:1])))
    assert "is no Sentinel, whose usual port is 26379" in _says(
        opened(f"redis+sentinel://127.0.0.1:{relay.port}/shop")
    )
    watchers[1].password = b"s3cret"
    assert "refused: Authentication required" in _says(opened(_url(watchers[1:2])))
    assert "refused: invalid username-password pair" in _says(
        opened(_url(watchers[1:2], "?sentinel_password=x"))
    )
    assert "s3cret" not in _says(opened(_url(watchers[1:2], "?sentinel_password=xs3cret")))
    right = opened(_url(watchers[1:2], "?sentinel_password=s3cret"))
    assert right.ask(deadline(), "PING") == b"PONG"
    watchers[1].password = b"s3%41"
    percent = opened(_url(watchers[1:2], "?sentinel_password=s3%2541"))
    assert percent.ask(deadline(), "PING") == b"PONG"
    with StrangeServer(lambda _, said: None if said[0] == b"PING" else _array(b"")) as strange:
        message = _says(opened(f"redis+sentinel://127.0.0.1:{strange.port}/shop"))
    assert "no Sentinel names a primary: what came is no Sentinel's reply" in message
    assert opened(_url(watchers[:1] + watchers[2:])).ask(deadline(), "PING") == b"PONG"


def test_a_ready_clients_settings_of_sentinel_count(
    relay: Relay, opened: Opened, watchers: list[Watcher]
) -> None:
    """How many other Sentinels one must see, and the address in place of the one it names."""
    hosts = [("127.0.0.1", watcher.server.port) for watcher in watchers]
    strict = sentinel_of(*hosts, min_other_sentinels=3)
    assert "min_other_sentinels" in _says(opened(strict.master_for("shop")))
    moved = sentinel_of(*hosts, min_other_sentinels=2, force_master_ip="localhost")
    assert opened(moved.master_for("shop")).ask(deadline(), "PING") == b"PONG"
    assert relay.connections == 1


def test_a_switch_is_noticed_while_the_former_primary_serves(
    servers: Servers, opened: Opened, watchers: list[Watcher]
) -> None:
    """Within about a second, because requests let the Sentinels be asked; no connection stays."""
    client = opened(_url(watchers))
    assert client.ask(deadline(), "EXISTS", "here") == 0
    server, port = _on_a_port(servers)
    try:
        server.raw.set("here", 1)
        for watcher in watchers:
            watcher.port, watcher.epoch = port, 2
        wait_until(lambda: client.ask(deadline(), "EXISTS", "here"), "the new primary")
    finally:
        server.stop()


def test_a_server_that_hung_is_left_for_the_one_that_replaces_it(
    servers: Servers,
    relay: Relay,
    opened: Opened,
    watchers: list[Watcher],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That calls are refused after one that hung is about the server that hung."""
    client = opened(_url(watchers))
    assert client.ask(deadline(), "EXISTS", "here") == 0
    monkeypatch.setattr("unsticky.stores.breaker._SECONDS", 1000.0)
    relay.go_silent()
    with pytest.raises(OutcomeUnknown, match="did not answer"):
        client.ask(Deadline(DEADLINE), "EXISTS", "here")
    assert "a moment ago" in _says(client)
    server, port = _on_a_port(servers)
    try:
        server.raw.set("here", 1)
        for watcher in watchers:
            watcher.port, watcher.epoch = port, 2
        wait_until(
            lambda: client.ask(deadline(), "EXISTS", "here"),
            "the new primary",
            ignoring=StoreUnavailable,
        )
    finally:
        server.stop()


def test_a_server_that_hung_and_answers_again_is_doubted(
    relay: Relay, opened: Opened, watchers: list[Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been replaced and not know that: the Sentinels are asked again soon."""
    monkeypatch.setattr("unsticky.stores.sentinel.primary._LOOK", 5.0)
    client = opened(_url(watchers))
    client.ask(deadline(), "EXISTS", "n")
    relay.go_silent()
    with pytest.raises(OutcomeUnknown):
        client.ask(Deadline(DEADLINE), "EXISTS", "n")
    wait_until(
        lambda: client.ask(deadline(), "EXISTS", "n") == 0,
        "an answer of the same server",
        ignoring=StoreUnavailable,
    )
    with StrangeServer(lambda *_: None) as new, at_most(4.0):
        for watcher in watchers:
            watcher.port = new.port
        wait_until(lambda: client.ask(deadline(), "GET", "n") == b"OK", "the new primary")


def test_missing_replicas_renew_no_connections(
    relay: Relay, opened: Opened, watchers: list[Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They let the Sentinels be asked soon: the replicas may have gone to another primary."""
    monkeypatch.setattr("unsticky.stores.sentinel.primary._LOOK", 5.0)
    client, script = opened(_url(watchers)), Script.from_text("return redis.call('INCR', KEYS[1])")
    for _ in range(5):
        assert client.call_and_wait(script, (b"n",), (), deadline(), Wait(1, 1))[1] == 0
    assert relay.connections == 1
    with StrangeServer(lambda *_: None) as new, at_most(4.0):
        for watcher in watchers:
            watcher.port = new.port
        wait_until(lambda: client.ask(deadline(), "GET", "n") == b"OK", "the new primary")


def test_a_name_that_moves_is_looked_up_again(
    servers: Servers, opened: Opened, watchers: list[Watcher]
) -> None:
    """Nothing of an address is remembered while a Sentinel answers."""
    old, new = (_on_a_port(servers) for _ in range(2))
    try:
        client = opened(_url(watchers))
        for server, port in (old, new):
            for watcher in watchers:
                watcher.port = port
            client.close()
            server.raw.set("which", port)
            assert client.ask(deadline(), "GET", "which") == str(port).encode()
    finally:
        old[0].stop()
        new[0].stop()


def _on_a_port(servers: Servers) -> tuple[Server, int]:
    port = free_port()
    return servers.new("redis-server", "--port", str(port)), port


def test_tls_is_spoken_to_both(servers: Servers, certificate: Path, opened: Opened) -> None:
    """To Sentinel and to the primary, with the same options; a wrong certificate is refused."""
    port, own, file = free_port(), free_port(), certificate / "certificate"
    server = servers.new("redis-server", "--tls-port", str(port), *tls_options(certificate))
    settings = server.folder / "sentinel.conf"
    settings.write_text(f"port 0\nsentinel monitor shop 127.0.0.1 {port} 1\n")
    command = [
        required_program("redis-server"),
        str(settings),
        "--sentinel",
        "--tls-port",
        str(own),
    ]
    options = (*tls_options(certificate), "--tls-replication", "yes", "--dir", str(server.folder))
    with (server.folder / "sentinel.log").open("wb") as log:
        process = subprocess.Popen([*command, *options], stdout=log)
    try:
        url = f"rediss+sentinel://127.0.0.1:{own}/shop"
        client = opened(f"{url}?ssl_ca_certs={file}")
        wait_until(lambda: client.ask(deadline(), "PING"), "Sentinel", ignoring=StoreUnavailable)
        assert "certificate" in _says(opened(url))
    finally:
        process.kill()
        process.wait()
        server.stop()


def test_tls_is_spoken_to_each_server_of_a_cluster(
    servers: Servers, certificate: Path, opened: Opened
) -> None:
    """Also to one that only the cluster names."""
    ports, file = (free_port(), free_port()), certificate / "certificate"
    options = ("--cluster-enabled", "yes", "--tls-cluster", "yes", *tls_options(certificate))
    nodes = []
    try:
        for port, slots in zip(ports, (range(8192), range(8192, 16384)), strict=True):
            bus = ("--tls-port", str(port), "--cluster-port", str(free_port()))
            nodes.append(servers.new("redis-server", *options, *bus))
            nodes[-1].raw.execute_command("CLUSTER", "ADDSLOTS", *slots)
        other = nodes[1].raw.config_get("cluster-port")["cluster-port"]
        nodes[0].raw.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[1], other)
        client = opened(f"rediss+cluster://127.0.0.1:{ports[0]}?ssl_ca_certs={file}")
        unavailable = (StoreUnavailable, OutcomeUnknown)
        for key in ("foo", "bar"):  # slots 12182 and 5061
            wait_until(partial(_set, client, key), f"an answer for {key}", ignoring=unavailable)
        stranger = opened(f"rediss+cluster://127.0.0.1:{ports[0]}")
        wait_until(lambda: "certificate" in _says(stranger), "a refused certificate")
    finally:
        for node in nodes:
            node.stop()


def _set(client: Client, key: str) -> bool:
    return bool(client.ask(deadline(), "SET", key, "1") == b"OK")


def test_a_silent_sentinel_is_asked_one_question(opened: Opened, watchers: list[Watcher]) -> None:
    """Callers that ask meanwhile wait for the same answer, and the threads that ask end."""
    for watcher in watchers:
        watcher.silent = True
    client = opened(_url(watchers))
    # Two that begin within microseconds may both ask; five do not.
    callers = [threading.Thread(target=_says, args=(client, 0.2)) for _ in range(5)]
    for caller in callers:
        caller.start()
    wait_until(_asking, "a question")
    for caller in callers:
        caller.join()
    assert sum(watcher.server.connections for watcher in watchers) <= 2 * len(watchers)
    wait_until(lambda: not _asking(), "no thread that asks")


def test_a_child_does_not_wait_for_a_question_of_its_parent(
    opened: Opened, watchers: list[Watcher]
) -> None:
    """A fork came between a question and the thread that was to ask it."""
    client = opened(_url(watchers))
    primary: Any = vars(client)["_primary"]
    for sentinel in vars(primary)["_sentinels"]:
        vars(sentinel)["_asking"] = threading.Thread(), Future()
    client.forget()  # as in a child
    assert client.ask(deadline(), "PING") == b"PONG"


def _asking() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "unsticky-sentinel"]
