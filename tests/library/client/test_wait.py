"""A change counts once replicas have it, and otherwise nobody knows whether it will last."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from unsticky import Unsticky, session
from unsticky.errors import ConfigurationError, OutcomeUnknown, StoreUnavailable
from unsticky.stores import (
    UNREAD,
    Add,
    Bind,
    Client,
    Conflicting,
    Deadline,
    Destroy,
    Gone,
    MemoryStore,
    Missing,
    Move,
    RedisStore,
    Script,
    Take,
    Wait,
    Write,
    Written,
)

from tests.library.client.visitors import Opened
from tests.support.ports import free_port
from tests.support.stores.places import (
    CAPS,
    LIFETIMES,
    AtServer,
    LimitedStore,
    deadline,
    make,
    operation,
    reference,
)
from tests.support.stores.servers import SERVERS, Server, Servers
from tests.support.stores.strange import StrangeServer
from tests.support.waiting import PATIENCE, wait_until

_PATIENT = Wait(1, int(PATIENCE * 1000))
_BRIEF = Wait(1, 20)
_USER = reference()
_DEMOTED = b"-UNBLOCKED force unblock from blocking operation\r\n"


class Pair(AtServer):
    """A primary and its replica.

    Attributes:
        replica: has what the primary has, unless it is paused.
    """

    def __init__(self, kind: str, servers: Servers) -> None:
        port = free_port()
        options = ("--repl-diskless-sync-delay", "0")
        super().__init__(kind, servers.new(kind, "--port", str(port), *options))
        self.replica = servers.new(kind, "--replicaof", "127.0.0.1", str(port))
        self.await_replica()

    def await_replica(self) -> None:
        """Wait until the replica has all that the primary has."""
        with self.server.raw.pipeline(transaction=False) as line:
            wait_until(
                lambda: line.set(f"{self.prefix}x", "x").wait(1, 1000).execute()[1],
                "a replica that follows",
            )

    def store(self, wait: Wait | None = _PATIENT) -> LimitedStore:
        """Return a store whose changes wait."""
        client = self.new_store().store.client  # type: ignore[attr-defined]  # (of a server)
        return LimitedStore(RedisStore(client, self.prefix, CAPS, wait), LIFETIMES)

    @contextmanager
    def alone(self) -> Iterator[LimitedStore]:
        """Keep changes from the replica; yield a store whose changes wait for a moment."""
        self.replica.pause()
        try:
            yield self.store(_BRIEF)
        finally:
            self.replica.resume()
            self.await_replica()


@pytest.fixture(name="parser", autouse=True)
def _parser() -> None:
    """Replies are read in one way: that is not what is tried here."""


@pytest.fixture(name="pairs", scope="module")
def _pairs(servers: Servers) -> Iterator[dict[str, Pair]]:
    pairs: dict[str, Pair] = {}
    yield pairs
    for pair in pairs.values():
        pair.close()
        pair.replica.stop()
        pair.server.stop()
    del servers


@pytest.fixture(name="pair", params=SERVERS)
def _pair(request: pytest.FixtureRequest, servers: Servers, pairs: dict[str, Pair]) -> Pair:
    """A primary and its replica, of each kind."""
    if request.param not in pairs:
        pairs[request.param] = Pair(request.param, servers)
    return pairs[request.param]


def _calls(server: Server, name: str) -> int:
    return int(server.raw.info("commandstats").get(f"cmdstat_{name}", {"calls": 0})["calls"])


def test_waiting_is_part_of_the_round_trip(pair: Pair) -> None:
    """The script and WAIT are sent at once, and reading waits for nothing."""
    store = pair.store()
    where = make(store)
    store.apply(where, (Add(b"n", 1),))  # the server knows the script now
    client: Client = store.store.client  # type: ignore[attr-defined]  # (of a server)
    before = client.round_trips, _calls(pair.server, "evalsha"), _calls(pair.server, "wait")
    store.apply(where, (Add(b"n", 1),))
    after = client.round_trips, _calls(pair.server, "evalsha"), _calls(pair.server, "wait")
    assert after == tuple(count + 1 for count in before)
    store.record(where)
    assert _calls(pair.server, "wait") == before[2] + 1
    pair.server.raw.script_flush()
    trips = client.round_trips
    store.apply(where, (Add(b"n", 1),))
    assert client.round_trips == trips + 2


def _kinds() -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return the changes and the options of each kind of write of a session."""
    bind = Bind(_USER, None, b"", 3, b"someone")
    return {
        "add": ((Add(b"n", 1),), {}),
        "take": ((Take(b"m"),), {}),
        "write": ((Write(b"x", b"9", UNREAD),), {}),
        "create": ((Add(b"n", 1),), {"create": True}),
        "rotate": ((), {"finish": Move(reference())}),
        "bind": ((), {"finish": Move(reference(), bind)}),
        "destroy": ((), {"finish": Destroy("destroyed")}),
    }


@pytest.mark.parametrize("kind", _kinds())
def test_too_few_replicas_leave_the_outcome_unknown(pair: Pair, kind: str) -> None:
    """Also of a resend, which writes nothing new; once replicas have it, the resend is answered."""
    changes, options = _kinds()[kind]
    where, name = make(pair.store()), operation()
    with pair.alone() as store:
        for again in (store, store, pair.store(_BRIEF)):  # the last has another connection
            with pytest.raises(OutcomeUnknown, match="0 of 1 replicas have the change"):
                again.write(where, changes, name, **options)
    assert isinstance(pair.store().write(where, changes, name, **options), Written)
    if kind in {"add", "create"}:
        fields = pair.store().record(where).fields
        assert fields is not None
        assert fields[b"n"] == b"2"


def test_missing_replicas_do_not_look_like_a_server_that_hangs(pair: Pair) -> None:
    """A request that has less time than the setting waits for less, and reading goes on."""
    where, name = make(pair.store()), operation()
    with pair.alone():
        store, within = pair.store(Wait(1, 900)), Deadline(1.0)
        within.remaining = 0.8
        with pytest.raises(OutcomeUnknown, match="0 of 1 replicas"):
            store.store.write(where, (Add(b"n", 1),), name, LIFETIMES, within)
        assert within.remaining > 0
        store.record(where)


def test_a_session_that_is_made_once_waits(pair: Pair) -> None:
    """A resend returns the session as it is, and it is not known to last either."""
    where, name = reference(), operation()._replace(makes_once=True)
    with pair.alone():
        for _ in range(3):
            with pytest.raises(OutcomeUnknown):
                pair.store(_BRIEF).write(where, (Write(b"x", b"1", None),), name, create=True)
    assert pair.store().record(where).fields == {b"x": b"1"}


def test_a_resend_after_the_session_was_emptied_waits(pair: Pair) -> None:
    """Its recorded result is an answer, so the replicas must have it."""
    where, name = make(pair.store()), operation()
    with pair.alone() as store:
        with pytest.raises(OutcomeUnknown):
            store.write(where, (Add(b"n", 1),), name)
        with pytest.raises(OutcomeUnknown):
            store.write(where, (), finish=Destroy("emptied"))
        with pytest.raises(OutcomeUnknown):
            pair.store(_BRIEF).write(where, (Add(b"n", 1),), name)


def test_ending_all_waits(pair: Pair) -> None:
    """Also if an earlier call, of which nobody knows, ended them."""
    user, where = reference(), make(pair.store())
    pair.store().apply(where, (), finish=Move(reference(), Bind(user, None, b"", 3, b"u")))
    with pair.alone():
        for _ in range(3):
            with pytest.raises(OutcomeUnknown):
                pair.store(_BRIEF).end_all(user)
    assert pair.store().end_all(user) == ()


def test_ending_what_has_ended_waits(pair: Pair) -> None:
    """Another call, of which nobody knows, may have ended it: replicas must have that, too."""
    where = make(pair.store())
    with pair.alone():
        for _ in range(3):
            with pytest.raises(OutcomeUnknown, match="0 of 1 replicas"):
                pair.store(_BRIEF).write(where, (), finish=Destroy())
    assert pair.store().write(where, (), finish=Destroy()) == Gone("destroyed")


def test_a_sweep_waits(pair: Pair) -> None:
    """Each step, also one that finds nothing to end; nobody loses by repeating it."""
    make(pair.store())
    with pair.alone() as store:
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
                pair.store(_BRIEF).sweep(b"0", deadline())
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
            store.probe(deadline())
    cursor: bytes | None = b"0"
    while cursor is not None:
        cursor, _ = pair.store().sweep(cursor, deadline())


def test_what_changed_nothing_is_known(pair: Pair) -> None:
    """A conflict, a missing session and one that ended are answered without any replica."""
    where, ended = make(pair.store()), make(pair.store())
    pair.store().apply(ended, (), finish=Destroy("destroyed"))
    with pair.alone() as store:
        conflict = store.write(where, (Write(b"n", b"5", b"4"),))
        assert conflict == Conflicting({b"n": b"1"})
        assert store.write(reference(), (Add(b"n", 1),)) == Missing()
        assert store.write(ended, (Add(b"n", 1),)) == Gone("destroyed")


def test_a_view_answers_that_the_outcome_is_unknown(pair: Pair) -> None:
    """503, and no advice to repeat it."""
    app = Flask("shop")
    app.config.update(SECRET_KEY="x" * 20, UNSTICKY_STORE=pair.server.url, UNSTICKY_WAIT="1 20")
    sessions = Unsticky(app)

    @app.post("/")
    def add() -> str:
        return str(session.incr("n"))

    visitor = app.test_client()
    assert visitor.post("/").text == "1"
    with pair.alone():
        answer = visitor.post("/", headers={"Accept": "application/problem+json"})
    assert (answer.status_code, answer.get_json()["code"]) == (503, "outcome-unknown")
    assert "Retry-After" not in answer.headers
    assert visitor.post("/").text == "3"
    sessions.state.store.close()


@pytest.mark.parametrize("reads", [False, True])
def test_a_logout_that_is_repeated_waits(pair: Pair, *, reads: bool) -> None:
    """The first one ended the session at the primary alone; so did the second one, if it is asked.

    A request that has read the session knows that it has ended, and asks all the same.
    """
    app = Flask("shop")
    app.config.update(SECRET_KEY="x" * 20, UNSTICKY_STORE=pair.server.url, UNSTICKY_WAIT="1 20")
    sessions = Unsticky(app)

    @app.post("/login")
    def log_in() -> str:
        session["user"] = "ada"
        return ""

    @app.post("/logout")
    def log_out() -> str:
        if reads:
            session.get("user")
        session.destroy()
        return ""

    visitor = app.test_client()
    assert visitor.post("/login").status_code == 200
    with pair.alone():
        assert [visitor.post("/logout").status_code for _ in range(3)] == [503] * 3
    assert visitor.post("/logout").status_code == 200
    sessions.state.store.close()


def test_a_server_that_may_not_wait_is_unknown(pair: Pair) -> None:
    """The change was made, and nobody asked a replica."""
    pair.server.raw.execute_command("ACL", "SETUSER", "default", "-wait")
    try:
        with pytest.raises(OutcomeUnknown, match="refused to wait for replicas: NOPERM"):
            make(pair.store())
    finally:
        pair.server.raw.execute_command("ACL", "SETUSER", "default", "+wait")


def test_a_server_demoted_while_it_waits_is_asked_again(opened: Opened) -> None:
    """The call is sent once more; the script answers a resend as it answered the first."""

    def answer(number: int, command: list[bytes]) -> bytes | None:
        if command[0] == b"WAIT":
            return _DEMOTED if number == 0 else b":1\r\n"
        if command[0] == b"EVALSHA":
            return b"*2\r\n:7\r\n$16\r\n%b\r\n" % command[-1]
        return None

    with StrangeServer(answer) as server:
        client = opened(server.url)
        assert client.call_and_wait(Script.from_text("return 7"), (), (), deadline(), _BRIEF) == (
            7,
            1,
        )
        assert server.asked == [b"EVALSHA", b"WAIT", b"PING"] * 2


@pytest.mark.parametrize("reply", [b":7\r\n", b"*1\r\n:7\r\n", b"*2\r\n:7\r\n:8\r\n"])
def test_a_reply_without_the_mark_is_none(opened: Opened, reply: bytes) -> None:
    """Whatever WAIT is answered."""
    replies = {b"EVALSHA": reply, b"WAIT": b":1\r\n"}
    with StrangeServer(lambda _, command: replies.get(command[0])) as server:
        client = opened(server.url)
        with pytest.raises(OutcomeUnknown, match="no reply to what was sent"):
            client.call_and_wait(Script.from_text("return 7"), (), (), Deadline(1.0), _BRIEF)


@pytest.mark.parametrize(
    "value", ["1", "1 100 1", "0 100", "1 0", "1 501", "1 -1", "a b", "1.5 100", 1, [1, 100]]
)
def test_a_wrong_wait_refuses_to_start(value: object) -> None:
    """It is a number of replicas and of milliseconds, at most half of the deadline."""
    app = Flask("shop")
    app.config.update(SECRET_KEY="x" * 20, UNSTICKY_STORE="redis://store", UNSTICKY_WAIT=value)
    with pytest.raises(ConfigurationError, match="UNSTICKY_WAIT"):
        Unsticky(app)


@pytest.mark.parametrize("store", [None, MemoryStore(CAPS)])
def test_a_store_without_replicas_refuses_to_wait(store: MemoryStore | None) -> None:
    """Memory has none, and a store of the application's own must do it itself."""
    app = Flask("shop")
    app.config.update(SECRET_KEY="x" * 20, UNSTICKY_STORE="memory://", UNSTICKY_WAIT="1 100")
    with pytest.raises(ConfigurationError, match="UNSTICKY_WAIT is set"):
        Unsticky(app, store=store)
