"""Calls follow their slots: moved, on their way, or at a server that died."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import redis
import redis.asyncio
import valkey.cluster
from flask import Flask
from redis.crc import key_slot
from unsticky import ConfigurationError, OutcomeUnknown, StoreUnavailable, Unsticky
from unsticky.cookie import Reference
from unsticky.stores import Deadline, Script, Wait, client_from_url, client_like
from unsticky.stores.base import (
    UNREAD,
    Add,
    Bind,
    Conflicting,
    Destroy,
    Gone,
    Missing,
    Move,
    Record,
    SetLimits,
    StaleStamp,
    Write,
    Written,
)
from unsticky.stores.cluster import Address, ClusterClient, ClusterStore
from unsticky.stores.redis import entry_of

from tests.support.browsers import make_site
from tests.support.stores.cluster import AtCluster, Cluster, elsewhere
from tests.support.stores.places import (
    HOUR,
    LIFETIMES,
    LimitedStore,
    deadline,
    operation,
    reference,
)
from tests.support.stores.spans import spans
from tests.support.waiting import PATIENCE, at_most, wait_until


@pytest.fixture(name="own")
def _own() -> Iterator[AtCluster]:
    """A cluster that one test may change."""
    cluster = Cluster()
    place = AtCluster(cluster)
    yield place
    place.close()
    cluster.stop()


def _slot(where: Reference) -> int:
    return key_slot(b"%d" % where.bucket)


def _has(done: list[None], wanted: int) -> bool:
    return len(done) >= wanted


def _made(store: LimitedStore, bucket: int = 7) -> Reference:
    where = reference(bucket)
    store.apply(where, (Write(b"a", b"1", None),), create=True)
    return where


def test_a_moved_slot_costs_one_round_trip_once(own: AtCluster) -> None:
    """The answer says where it is now; what else was known stays."""
    cluster, store = own.server, own.new_store()
    where = _made(store)
    client: Any = store.store
    store.record(where)  # its idle limit slides
    cluster.move_slot(_slot(where), 0, 1)
    before = client.round_trips
    store.record(where)
    assert client.round_trips == before + 2
    store.record(where)
    assert client.round_trips == before + 3


def test_reads_are_answered_while_a_slot_is_moved(own: AtCluster) -> None:
    """A session is read wherever it is, before its slot has a new server."""
    cluster, store = own.server, own.new_store()
    one, two = _made(store), _made(store)
    client: Any = store.store
    for where in (one, two):
        store.record(where)  # its idle limit slides
    slot = _slot(one)
    cluster.open_slot(slot, 0, 2)
    assert cluster.move_keys(slot, 0, 2, 1) == 1
    for where in (one, two):
        assert store.record(where).fields == {b"a": b"1"}
    assert store.read(reference()) == Missing()
    while cluster.move_keys(slot, 0, 2):
        pass
    before = client.round_trips
    for where in (one, two):
        assert store.record(where).fields == {b"a": b"1"}
    assert client.round_trips == before + 4
    cluster.close_slot(slot, 2)
    for where in (one, two):
        store.apply(where, (Add(b"n", 1),))


def test_a_user_who_may_not_ask_is_named(own: AtCluster) -> None:
    """The server's refusal is in the error for the log, and not that the servers disagree."""
    cluster, store = own.server, own.new_store()
    where = _made(store)
    for node in cluster.nodes:
        node.raw.execute_command("ACL", "SETUSER", "shop", "on", ">p", "~*", "+@all", "-asking")
    cluster.open_slot(_slot(where), 0, 2)
    cluster.move_keys(_slot(where), 0, 2)
    client = client_from_url(cluster.url.replace("//", "//shop:p@"))
    with pytest.raises(StoreUnavailable, match="NOPERM"):
        client.ask(deadline(), "HGETALL", own.key(where))
    client.close()


def test_a_write_to_a_slot_on_its_way_waits_and_then_refuses(own: AtCluster) -> None:
    """Its result's key is not there yet, so neither server takes it; nothing was changed."""
    cluster, store = own.server, own.new_store()
    where = _made(store)
    cluster.open_slot(_slot(where), 0, 1)
    with pytest.raises(StoreUnavailable, match="TRYAGAIN"), at_most(3):
        store.store.write(where, (Add(b"n", 1),), operation(), LIFETIMES, Deadline(1.0))
    with _moved_soon(cluster, _slot(where), 0, 1):
        assert store.apply(where, (Add(b"n", 1),)).count == 1


def test_adds_during_moves_of_their_slot_are_counted_once(own: AtCluster) -> None:
    """Four clients add while the slot goes round: none is lost, and none counts twice."""
    cluster = own.server
    where = _made(own.new_store())
    slot, stop = _slot(where), threading.Event()
    done: list[None] = []

    def add(store: LimitedStore) -> None:
        while not stop.is_set():
            store.apply(where, (Add(b"n", 1),))
            done.append(None)

    threads = [threading.Thread(target=add, args=(own.new_store(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(9):
        cluster.move_slot(slot, turn % 3, (turn + 1) % 3)
        wanted = 10 * (turn + 1)
        wait_until(partial(_has, done, wanted), f"{wanted} adds")
    stop.set()
    for thread in threads:
        thread.join()
    held = own.new_store().record(where).fields or {}
    assert int(held[b"n"]) == len(done) >= 90


def test_a_server_that_died_holds_back_only_its_slots(own: AtCluster) -> None:
    """Calls there are refused in time, others are served; it is found again without a restart."""
    cluster, store = own.server, own.new_store()
    cluster.raw.close()
    for node in cluster.nodes:
        node.raw.config_set("cluster-require-full-coverage", "no")
        node.raw.config_set("appendonly", "yes")
    here, there = _made(store, 7), _made(store, 511)
    cluster.nodes[0].kill()
    with at_most(3):
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                store.read(here, Deadline(1.0))
            store.record(there)
    cluster.nodes[0].start()
    wait_until(
        lambda: isinstance(store.read(there), Record), "an answer", ignoring=StoreUnavailable
    )


def test_a_replica_takes_over() -> None:
    """After a server's death its sessions are served by its replica, without a restart."""
    options = ("--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0")
    cluster = Cluster(3, *options)
    own = AtCluster(cluster)
    replica = cluster.replica(0)
    try:
        store = own.new_store()
        where = _made(store, 7)
        with cluster.nodes[0].raw.pipeline(transaction=False) as line:
            assert line.set("{7}", "").wait(1, 10_000).execute()[1] == 1
        cluster.nodes[0].kill()
        unavailable = (StoreUnavailable, OutcomeUnknown)
        wait_until(
            lambda: store.apply(where, (Add(b"n", 1),)),
            "a change",
            2 * PATIENCE,
            ignoring=unavailable,
        )
        assert (store.record(where).fields or {})[b"a"] == b"1"
    finally:
        own.close()
        cluster.stop()
        replica.stop()


def test_a_server_that_hangs_holds_one_request(
    own: AtCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a single server, and only for its own slots."""
    monkeypatch.setattr("unsticky.stores.breaker._SECONDS", 3.0)  # also on a busy machine
    cluster, store = own.server, own.new_store()
    here, there = _made(store, 7), _made(store, 511)
    cluster.nodes[0].pause()
    try:
        with at_most(1.5), pytest.raises(StoreUnavailable):
            store.read(here, Deadline(0.5))
        with at_most(0.2), pytest.raises(StoreUnavailable, match="a moment ago"):
            store.read(here, Deadline(0.5))
        store.record(there)
        with pytest.raises(StoreUnavailable):
            store.store.write(here, (), operation(), LIFETIMES, Deadline(0.2), finish=Destroy())
        # A new process finds the map at the servers that answer.
        fresh = own.new_store()
        with at_most(2):
            fresh.record(there)
    finally:
        cluster.nodes[0].resume()
    wait_until(lambda: isinstance(store.read(here), Record), "an answer", ignoring=StoreUnavailable)


def test_a_revocation_ends_what_the_other_servers_have(own: AtCluster) -> None:
    """Although one hangs; and what is still to end there does not hold back a later login."""
    cluster, store, user = own.server, own.new_store(), Reference(7, b"u" * 16)
    index = elsewhere(user)  # at another server than `here`
    here, there = reference(7), reference(511)
    for where in (here, there):
        store.apply(where, (), create=True, finish=Bind(user, None, b"", 9))
    cluster.nodes[0].pause()
    try:
        with pytest.raises(StoreUnavailable), at_most(2):
            store.store.end_all(index, None, 5, operation(), LIFETIMES, Deadline(1.0))
        assert store.read(there) == Gone("revoked")
        where, bind = reference(511), Bind(index, 5, b"", 9)
        login = store.store.write(
            where, (), operation(), LIFETIMES, Deadline(1.0), create=True, finish=bind
        )
        assert isinstance(login, Written)
    finally:
        cluster.nodes[0].resume()
    assert [entry.reference for entry in store.sessions(user)] == [where]


class _Meanwhile(Address):
    """A server that left; another one is met while it is looked for in the map."""

    client: ClusterClient

    def __hash__(self) -> int:
        members = vars(self.client.slots)["_members"]
        self.client.slots.member(Address("127.0.0.1", len(members)))
        return super().__hash__()


def test_a_server_that_left_is_closed_and_its_calls_count(server_place: AtCluster) -> None:
    """While another thread meets a new one."""
    client: Any = client_from_url(server_place.server.url)
    client.ask(deadline(), "PING")
    _Meanwhile.client = client
    gone = _Meanwhile("127.0.0.2", 1)
    client.slots.member(gone).sent = 5
    before = client.round_trips
    client.primaries(deadline(), reload=True)
    assert gone not in [*vars(client.slots)["_members"]]
    assert client.round_trips == before
    client.close()


def test_a_server_that_hangs_and_was_replaced_is_left(own: AtCluster) -> None:
    """The request that waited for it is the last one."""
    cluster, store = own.server, own.new_store()
    where = _made(store)
    cluster.move_slot(_slot(where), 0, 1)
    cluster.nodes[0].pause()
    try:
        with at_most(1.5), pytest.raises(StoreUnavailable):
            store.read(where, Deadline(0.5))
        with at_most(1.5):
            assert isinstance(store.read(where, Deadline(1.0)), Record)
    finally:
        cluster.nodes[0].resume()


# Which cluster, and how it is asked.


def _asked(client: Any, prefix: str) -> None:
    assert isinstance(client, ClusterClient)
    keys = [f"{prefix}{number}" for number in range(9)]
    sets = client.ask_all(deadline(), [("SET", key, number) for number, key in enumerate(keys)])
    assert sets == [b"OK"] * 9
    mixed = client.ask_all(deadline(), [("PING",), *(("GET", key) for key in keys)])
    assert mixed == [b"PONG", *(b"%d" % number for number in range(9))]
    assert client.ask(deadline(), "PING") == b"PONG"
    script = Script.from_text("return redis.call('GET', KEYS[1])")
    assert client.call(script, [keys[3].encode()], [], deadline()) == b"3"
    assert client.ask(deadline(), "EVAL", "return ARGV[1]", 1, keys[4], "x") == b"x"
    with pytest.raises(OutcomeUnknown, match="WRONGTYPE"):
        client.ask_all(deadline(), [("GET", keys[0]), ("HGET", keys[0], "f")])
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        client.ask(deadline(), "HGET", keys[0], "f")
    client.close()


def test_clients_of_redis_py_and_valkey_py_are_taken(server_place: AtCluster) -> None:
    """And URLs, with one server or several."""
    port = server_place.server.ports[1]
    _asked(client_from_url(server_place.server.url), server_place.prefix)
    _asked(client_from_url(f"redis+cluster://127.0.0.1:{port}/0?socket_timeout=1"), "x")
    for given in (
        redis.RedisCluster("127.0.0.1", port, decode_responses=True),
        redis.RedisCluster.from_url(f"redis://127.0.0.1:{port}"),
        valkey.cluster.ValkeyCluster("127.0.0.1", port),
    ):
        _asked(client_like(given), "y")
        given.close()


def test_a_span_for_each_server_that_was_asked(own: AtCluster) -> None:
    """Also on the way to where a slot moves; ASKING is no command of the application."""
    cluster, client = own.server, client_from_url(own.server.url)
    keys = [f"{{7}}k{number}" for number in range(2)]
    with spans() as traced:
        client.ask_all(deadline(), [("SET", key, key) for key in keys])
        assert [name for name, _ in traced.taken()] == ["CLUSTER", "PIPELINE"]
        cluster.open_slot(key_slot(b"7"), 0, 1)
        cluster.move_keys(key_slot(b"7"), 0, 1, 2)
        before = client.round_trips
        assert client.ask(deadline(), "GET", keys[0]) == keys[0].encode()
        found = traced.taken()
    assert found == [("GET", "ASK"), ("GET", None)]
    assert client.round_trips - before == len(found)
    client.close()


def test_commands_of_a_slot_on_its_way_are_answered_in_order(own: AtCluster) -> None:
    """Some keys are here and some there: what was refused is sent again, one by one."""
    cluster, client = own.server, client_from_url(own.server.url)
    keys = [f"{{7}}k{number}" for number in range(4)]
    client.ask_all(deadline(), [("SET", key, key) for key in keys])
    cluster.open_slot(key_slot(b"7"), 0, 1)
    cluster.move_keys(key_slot(b"7"), 0, 1, 2)
    found = client.ask_all(deadline(), [("GET", key) for key in keys])
    assert found == [key.encode() for key in keys]
    client.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://",
        "redis+cluster://h:1,h:x",
        "redis+cluster://h:1,",
        "redis+cluster://h:1/2",
        "redis+cluster://u:pass#word@h:1",
    ],
)
def test_a_url_that_cannot_be_read_is_refused(url: str) -> None:
    """Without a word of what may be a password."""
    with pytest.raises(ConfigurationError) as caught:
        client_from_url(url)
    assert "pass" not in str(caught.value).replace("password", "")
    assert "redis:// URL" not in str(caught.value)


def test_the_address_has_no_secret() -> None:
    """The log names the servers that were given."""
    client = client_from_url("rediss+cluster://u:s3cret@one:1,two:2/?ssl_check_hostname=no")
    assert client.address == "the cluster at one:1,two:2"


def test_clients_that_cannot_work_are_refused(server_place: AtCluster) -> None:
    """A cluster's client that reads from replicas, and one that is asynchronous."""
    port = server_place.server.ports[0]
    with pytest.warns(DeprecationWarning, match="read_from_replicas"):
        given = redis.RedisCluster("127.0.0.1", port, read_from_replicas=True)
    with pytest.raises(ConfigurationError, match="replicas"):
        client_like(given)
    given.close()
    with pytest.raises(ConfigurationError, match="asynchronous"):
        client_like(redis.asyncio.RedisCluster("127.0.0.1", port))


def test_waiting_for_replicas_is_refused(server_place: AtCluster) -> None:
    """At the start, in place of a promise that is not kept."""
    app = Flask("site")
    app.config["UNSTICKY_WAIT"] = "1 100"
    with pytest.raises(ConfigurationError, match="UNSTICKY_WAIT is set and the store is a cluster"):
        Unsticky(_configured(app, server_place))
    client = client_from_url(server_place.server.url)
    with pytest.raises(ConfigurationError, match="cannot wait for replicas"):
        client.call_and_wait(Script.from_text("return 7"), [b"k"], [], deadline(), Wait(1, 20))


def test_sessions_of_flask_session_are_not_adopted_from_a_cluster(server_place: AtCluster) -> None:
    """Its two keys would be in different slots."""
    app = Flask("site")
    app.config |= {"UNSTICKY_ADOPT": "flask-session", "UNSTICKY_ADOPT_UNTIL": "2999-01-01"}
    with pytest.raises(ConfigurationError, match="cannot be adopted"):
        Unsticky(_configured(app, server_place))


def _configured(app: Flask, place: AtCluster) -> Flask:
    app.config |= {"SECRET_KEY": "x" * 20, "UNSTICKY_STORE": place.server.url}
    return app


# Operators.


def test_the_commands_work(server_place: AtCluster) -> None:
    """`flask unsticky`: list, revoke, revoke-user, erase, revoke-everyone, ping."""
    site = make_site(server_place, UNSTICKY_ADOPT=None)

    def run(*words: str) -> str:
        result = site.app.test_cli_runner().invoke(args=["unsticky", *words])
        assert result.exit_code == 0, result.output
        return result.output

    browsers = [site.browser(a=1) for _ in range(7)]
    for browser in browsers[:5]:
        with browser.visit() as session:
            session.bind("7")
    assert "takes writes" in run("ping")
    lines = run("list", "7").splitlines()
    assert len(lines) == 5
    assert "Ended." in run("revoke", lines[0].split()[0])
    assert "Ended 4." in run("revoke-user", "7", "--stamp", "3")
    with browsers[0].visit() as session:
        session["a"] = 1
        session.bind("7", stamp=3)
    assert "Ended 1" in run("erase", "7")
    assert server_place.server.keys(f"{server_place.prefix}*:u:*") == []
    assert "Ended 2." in run("revoke-everyone", "--yes")
    assert all(site.stored(browser) is None for browser in browsers)


def test_a_sweep_ends_sessions_at_every_server(server_place: AtCluster) -> None:
    """Those that lived all that time, wherever they are."""
    store = server_place.new_store()
    made = [_made(store, bucket) for bucket in range(0, 1024, 37)]
    cursor: bytes | None = b"0"
    ended: list[Reference] = []
    while cursor is not None:
        cursor, some = store.sweep(cursor, deadline())
        ended += some
    assert sorted(ended) == sorted(made)
    assert all(store.read(where) == Gone("revoked") for where in made)


# What an index holds.


def test_a_list_removes_what_is_left_of_a_session(server_place: AtCluster) -> None:
    """Expired, or never come; what may still come stays."""
    store, user, raw = server_place.new_store(), reference(), server_place.server.raw
    key = server_place.key(user, "u")
    kept, gone = reference(), reference()
    for where in (kept, gone):
        store.apply(where, (), create=True, finish=Bind(user, None, b"", 9))
    server_place.expire(gone)
    now = server_place.now()
    raw.hset(key, "a" * 22, f"p{now + 30_000:013}{now:013}")
    raw.hset(key, "b" * 22, f"p{now - 30_001:013}{now:013}")
    assert raw.hlen(key) == 4
    assert [entry.reference for entry in store.sessions(user)] == [kept]
    assert raw.hlen(key) == 2
    assert raw.hexists(key, "a" * 22)
    assert 0 < raw.pttl(key) <= 24 * 3_600_000


def test_a_list_is_not_read_from_a_server_that_lost_its_place(own: AtCluster) -> None:
    """Each session is looked at where a write would be taken."""
    store, user = own.new_store(), Reference(7, b"u" * 16)
    store.apply(reference(7), (), create=True, finish=Bind(user, None, b"", 9))
    assert len(store.sessions(user)) == 1
    own.server.nodes[0].raw.config_set("min-replicas-to-write", 1)
    with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
        store.sessions(user)


def test_a_full_server_marks_what_is_to_end(own_server: AtCluster) -> None:
    """A rotation that begins after that gets no permit, even if there is room again by then."""
    store, user, raw = own_server.new_store(), reference(), own_server.server.nodes[0].raw
    where, bind = reference(), Bind(user, None, b"", 9)
    store.apply(where, (), create=True, finish=bind)
    served: Any = store.store
    client: Any = served.client
    marked: list[object] = []

    def rotated() -> None:
        client.__class__ = ClusterClient
        raw.config_set("maxmemory", 0)
        marked.append(store.write(where, (), finish=Move(reference())))

    client.__class__ = type("Client", (_Meeting,), {"meanwhile": staticmethod(rotated)})
    raw.config_set("maxmemory", 1)
    assert store.end_all(user) == (where,)
    assert marked == [Gone("revoked")]
    assert store.sessions(user) == ()


class _Meeting(ClusterClient):
    """A client with something that happens before its next calls at several servers."""

    meanwhile: Callable[[], object]

    def call_all(self, *arguments: Any) -> Any:
        self.meanwhile()
        return ClusterClient.call_all(self, *arguments)


def test_what_a_revocation_left_is_named_by_the_next_one(server_place: AtCluster) -> None:
    """It ended them and died before it could say so."""
    store, user = server_place.new_store(), reference()
    made = {reference(bucket) for bucket in (7, 511)}
    for where in made:
        store.apply(where, (), create=True, finish=Bind(user, None, b"", 9))
    dying: Any = store.store
    dying.__class__ = _Dying
    with pytest.raises(StoreUnavailable, match="it died"):
        store.end_all(user)
    dying.__class__ = ClusterStore
    assert set(store.end_all(user)) == made
    assert store.end_all(user) == ()


class _Dying(ClusterStore):
    """A store that dies before it removes an entry."""

    def _forgotten(self, *_: object, **__: object) -> Any:
        raise StoreUnavailable("it died")


def test_what_is_marked_and_lives_is_listed_and_ends_with_a_login(server_place: AtCluster) -> None:
    """The login names it; a list changes nothing of it."""
    store, user, where = server_place.new_store(), reference(), reference()
    store.apply(where, (), create=True, finish=Bind(user, None, b"", 9))
    key, name = server_place.key(user, "u"), entry_of(where, elsewhere(user).bucket)
    raw = server_place.server.raw
    raw.hset(key, name, b"e" + raw.hget(key, name))
    assert [entry.reference for entry in store.sessions(user)] == [where]
    later = store.apply(reference(), (), create=True, finish=Bind(user, None, b"", 9))
    assert later.ended == (where,)
    assert store.read(where) == Gone("revoked")
    assert not raw.hexists(key, name)


class _Unsettled(ClusterStore):
    """A store that dies before a rotation is entered for good, and then forgets what it awaits."""

    dies = True
    meanwhile: Callable[[], object] = bool

    def _settled(self, *arguments: Any, **options: Any) -> Any:
        if self.dies:
            raise StoreUnavailable("it died")
        return super()._settled(*arguments, **options)

    def _entered(self, *arguments: Any) -> Any:
        entered = super()._entered(*arguments)
        self.meanwhile()
        return entered


@pytest.mark.parametrize("change", [SetLimits(HOUR, 30 * HOUR), None], ids=["limits", "bind"])
def test_a_refused_write_forgets_no_living_session(
    server_place: AtCluster, change: SetLimits | None
) -> None:
    """Its entry is still awaited, because the call that moved it there stopped halfway."""
    store, user, raw = server_place.new_store(), reference(), server_place.server.raw
    where, moved = reference(), reference()
    bind = Bind(user, None, b"", 9)
    store.apply(where, (Write(b"a", b"1", None),), create=True, finish=bind)
    halting: Any = store.store
    halting.__class__ = _Unsettled
    store.apply(where, (), finish=Move(moved))
    halting.dies = False
    key, name = server_place.key(user, "u"), entry_of(moved, elsewhere(user).bucket)
    before = raw.hget(key, name)
    assert before.startswith(b"p")

    def changed() -> None:
        halting.meanwhile = bool
        store.apply(moved, (Write(b"a", b"2", UNREAD),))

    halting.meanwhile = changed
    writes: tuple[Write | SetLimits, ...] = (Write(b"a", b"3", b"1"),)
    writes += () if change is None else (change,)
    finish = bind if change is None else None
    assert store.write(moved, writes, finish=finish) == Conflicting({b"a": b"2"})
    assert raw.hexists(key, name)
    if change is not None:
        assert raw.hget(key, name) == before  # what it follows, and until when it may come
    assert moved in store.end_all(user)
    assert store.read(moved) == Gone("revoked")


class _Sleeping(ClusterStore):
    """A store whose next bind sleeps longer than a tombstone lives, while something happens."""

    meanwhile: list[Callable[[], object]]

    def _entered(self, *arguments: Any) -> Any:
        refused, step = super()._entered(*arguments)
        if self.meanwhile:
            self.meanwhile.pop()()
            step = step._replace(permit=b"%013d" % 1 + step.permit[13:])
        return refused, step


def test_a_bind_that_slept_asks_again(server_place: AtCluster) -> None:
    """Its permit is too old, so the index checks the stamp again."""
    store, user, where = server_place.new_store(), reference(), reference()
    sleeping: Any = store.store
    sleeping.__class__ = _Sleeping

    def revoked() -> None:
        store.end_all(user, None, 5)
        server_place.expire(where)

    sleeping.meanwhile = [revoked]
    outcome = store.write(where, (), create=True, finish=Bind(user, 4, b"", 9))
    assert outcome == StaleStamp(5)
    assert store.read(where) == Missing()
    assert store.sessions(user) == ()
    sleeping.meanwhile = [revoked]
    store.apply(where, (), create=True, finish=Bind(user, 5, b"", 9))
    assert [entry.reference for entry in store.sessions(user)] == [where]


def test_a_login_while_its_users_slot_is_moved_waits(own: AtCluster) -> None:
    """It begins no bind that it could not finish; a revocation goes on."""
    cluster, store, user = own.server, own.new_store(), reference()
    index = elsewhere(user)
    slot, source = key_slot(b"%d" % index.bucket), cluster.nodes.index(cluster.holder(index.bucket))
    old = reference()
    store.apply(old, (), create=True, finish=Bind(user, None, b"", 1))
    cluster.open_slot(slot, source, 0)
    where, bind = reference(), Bind(index, None, b"", 1)
    with pytest.raises(StoreUnavailable, match="TRYAGAIN"):
        store.store.write(
            where, (), operation(), LIFETIMES, Deadline(1.0), create=True, finish=bind
        )
    assert store.read(where) == Missing()
    assert store.end_all(user) == (old,)
    with _moved_soon(cluster, slot, source, 0):
        store.apply(where, (), create=True, finish=Bind(user, None, b"", 1))
    assert [entry.reference for entry in store.sessions(user)] == [where]


def test_sessions_end_while_their_slot_is_moved(own: AtCluster) -> None:
    """A revocation waits for it, too, if what ends with a session may be at either server."""
    cluster, store, user = own.server, own.new_store(), reference()
    made = [reference() for _ in range(3)]
    for where in made:
        store.apply(where, (), create=True, finish=Bind(user, None, b"", 9))
    slot = _slot(made[0])
    cluster.open_slot(slot, 0, 1)
    assert cluster.move_keys(slot, 0, 1, 2) == 2
    assert len(store.sessions(user)) == 3
    with _moved_soon(cluster, slot, 0, 1):
        assert set(store.end_all(user)) == set(made)
    assert all(store.read(where) == Gone("revoked") for where in made)


@contextmanager
def _moved_soon(cluster: Cluster, slot: int, source: int, target: int) -> Iterator[None]:
    """Move a slot while the block runs; the cluster is there until it was moved."""
    moving = threading.Timer(0.2, cluster.move_slot, (slot, source, target))
    moving.start()
    yield
    moving.join()
