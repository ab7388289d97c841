"""What the store in MongoDB does beyond the contract: durability, deadlines, refusals, rights."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import Int64
from flask import Flask
from pymongo import monitoring
from unsticky import Session, Unsticky
from unsticky.errors import ConfigurationError, OutcomeUnknown, StoreUnavailable
from unsticky.limits import Lifetimes
from unsticky.stores.base import (
    UNREAD,
    Add,
    Bind,
    Caps,
    Conflicting,
    Deadline,
    Destroy,
    Gone,
    Move,
    SetLimits,
    TooLarge,
    Unreadable,
    Write,
    Written,
)
from unsticky.stores.mongodb import MongoStore, pipelines
from unsticky.stores.mongodb.server import COLLECTIONS
from unsticky.stores.opening import open_store

from tests.support.browsers import make_site
from tests.support.stores.mongodb import AtMongo, MongoServer
from tests.support.stores.places import CAPS, HOUR, LimitedStore, make, operation, reference
from tests.support.waiting import at_most, wait_until

_LIFETIMES = Lifetimes(idle=HOUR, absolute=None, unused=HOUR)
_DEADLINE = 2.0


@pytest.fixture(name="store")
def _store(place: AtMongo) -> LimitedStore:
    return place.new_store()


@pytest.fixture(name="own_server")
def _own_server(tmp_path: Path) -> Iterator[MongoServer]:
    server = MongoServer(tmp_path)
    yield server
    server.stop()


class Commands(monitoring.CommandListener):
    """What PyMongo sends to a server."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Note a command."""
        self.sent.append(dict(event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Note nothing."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Note nothing."""


def _document(place: AtMongo, kind: str, name: str) -> dict[str, Any]:
    found = place.database[f"{place.prefix}{kind}"].find_one({"_id": name})
    assert found is not None
    return dict(found)


def test_each_answer_is_what_a_majority_has(
    place: AtMongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change is in the journal of a majority, each read confirmed by one."""
    commands = Commands()
    monkeypatch.setattr("unsticky.stores.mongodb.server._Counter", lambda *_: commands)
    store = place.new_store()
    where, user = make(store), reference()
    store.record(where)
    store.apply(where, (), finish=Move(there := reference(user.bucket), Bind(user, None, b"", 5)))
    store.apply(there, (), finish=Destroy())
    by_name = {name: [c for c in commands.sent if name in c] for name in (*_CHANGES, "aggregate")}
    for name in _CHANGES:
        concerns = [c.get("writeConcern") for c in by_name[name] if "autocommit" not in c]
        concerns += [c["writeConcern"] for c in by_name["commitTransaction"]]
        assert concerns, name
        assert all(concern == {"w": "majority", "j": True} for concern in concerns), name
    levels = [c["readConcern"]["level"] for c in by_name["aggregate"]]
    assert levels == ["linearizable"]


_CHANGES = ("findAndModify", "commitTransaction", "update")

_SOUND = {
    "e": 1,
    "created": Int64(1),
    "ends_at": Int64(0),
    "expires": Int64(2**45),
    "seen": Int64(2**43),
    "fields": {},
}

TRIPS: list[tuple[str, int, Callable[[Session], object]]] = [
    ("untouched", 0, lambda _: None),
    ("read", 1, lambda session: session.get("a")),
    ("unread write", 1, lambda session: session.update(a=2)),
    ("incr", 1, lambda session: session.incr("n")),
    ("take", 1, lambda session: session.map("cart").take()),
    ("read then change", 2, lambda session: (session["a"], session.update(a=2))),
    ("destroy", 1, lambda session: session.destroy()),
    ("clear", 1, lambda session: session.clear()),
    # A transaction: the clock, the documents and the answer looked at, each replaced, the commit.
    ("rotate", 7, lambda session: session.rotate()),
    ("bind", 9, lambda session: session.bind("user")),
]


@pytest.mark.parametrize(("trips", "use"), [t[1:] for t in TRIPS], ids=[t[0] for t in TRIPS])
def test_round_trips(place: AtMongo, trips: int, use: Callable[[Session], object]) -> None:
    """Each use of a stored session costs exactly this many commands."""
    site = make_site(place)
    browser = site.browser(a=1, list=[])
    with browser.visit() as session:  # the first use slides the idle limit, which is one more
        session.get("a")
    store: Any = site.sessions.state.store
    before = store.round_trips
    with browser.visit() as session:
        use(session)
    assert store.round_trips - before == trips


def test_a_refused_change_leaves_all_but_the_clock(place: AtMongo, store: LimitedStore) -> None:
    """A conflict writes nothing that counts."""
    where = make(store)
    before = _document(place, "sessions", where.handle)
    refused = store.write(where, (Write(b"n", b"5", b"other"), Add(b"ma", 1)))
    assert refused == Conflicting({b"n": b"1"})
    assert _document(place, "sessions", where.handle) | {"at": before["at"]} == before


def test_a_refused_creation_leaves_nothing_that_lives(place: AtMongo, store: LimitedStore) -> None:
    """What it leaves is cleaned, and is no session."""
    where = reference()
    refused = store.write(where, (Write(b"n", b"5", b"other"),), create=True)
    assert refused == Conflicting({b"n": None})
    assert set(_document(place, "sessions", where.handle)) == {"_id", "at", "ttl"}
    assert isinstance(store.write(where, (Write(b"n", b"5", None),), create=True), Written)


def test_what_expired_is_cleaned(place: AtMongo, store: LimitedStore) -> None:
    """Each collection has the index that deletes, and each document the time at which."""
    where = make(store)
    for kind in set(COLLECTIONS) - {"users"}:
        indexes = place.database[f"{place.prefix}{kind}"].index_information()
        assert indexes["ttl_1"]["expireAfterSeconds"] == 60, kind
    found = _document(place, "sessions", where.handle)
    assert found["ttl"].timestamp() == pytest.approx(found["expires"] / 1000, abs=1)


def test_a_logout_leaves_the_user_s_index(place: AtMongo, store: LimitedStore) -> None:
    """The index names no session that has ended."""
    where, user = make(store), reference()
    bound = reference(user.bucket)
    store.apply(where, (), finish=Move(bound, Bind(user, None, b"", 5)))
    assert set(_document(place, "users", user.handle)["entries"]) == {bound.handle}
    store.apply(bound, (), finish=Destroy())
    assert _document(place, "users", user.handle)["entries"] == {}


def test_a_newer_release_s_session_is_left_alone(place: AtMongo, store: LimitedStore) -> None:
    """Reading and writing it is refused, and changes nothing."""
    where = make(store)
    collection = place.database[f"{place.prefix}sessions"]
    collection.update_one({"_id": where.handle}, {"$set": {"e": 2}})
    collection.update_one({"_id": where.handle}, {"$set": {"t": 1, "ops": [{"other": 1}]}})
    before = _document(place, "sessions", where.handle)
    with pytest.raises(StoreUnavailable, match="a newer release"):
        store.read(where)
    for create, value in ((False, b"2"), (True, b"2"), (False, None)):
        with pytest.raises(StoreUnavailable, match="a newer release"):
            store.write(where, (Write(b"n", value, UNREAD),), create=create)
    assert _document(place, "sessions", where.handle) == before


@pytest.mark.parametrize(
    "planted",
    [
        {"e": 1, "created": "soon"},
        {"e": 1, "created": Int64(1), "ends_at": Int64(0), "expires": Int64(2), "fields": 5},
        {"whatever": [1, 2], "t": 1},
    ],
)
def test_what_is_no_session_is_set_aside(
    place: AtMongo, store: LimitedStore, planted: dict[str, Any]
) -> None:
    """It is told from a session, kept apart, and the name is free after a while."""
    where = reference()
    place.database[f"{place.prefix}sessions"].insert_one({"_id": where.handle, **planted})
    assert store.read(where) == Unreadable()
    assert store.write(where, (Write(b"n", b"2", UNREAD),), create=True) == Unreadable()
    assert not store.quarantine(where, b"n", b"1", Deadline(_DEADLINE))
    assert store.quarantine(where, b"", b"", Deadline(_DEADLINE))
    assert store.read(where) == Gone("corrupt")
    assert _document(place, "quarantine", where.handle)["document"].items() >= planted.items()


@pytest.mark.parametrize("ops", [5, [1], [{"n": 1}]])
def test_answers_that_cannot_be_read_are_dropped(
    place: AtMongo, store: LimitedStore, ops: object
) -> None:
    """The session itself is sound."""
    where = reference()
    planted = {"_id": where.handle, **_SOUND, "ops": ops}
    place.database[f"{place.prefix}sessions"].insert_one(planted)
    assert store.apply(where, (Add(b"n", 1),)).count == 1
    assert store.apply(where, (Add(b"n", 1),), load=True).record.fields == {b"n": b"2"}


def test_a_damaged_session_stands_in_nobodys_way(place: AtMongo, store: LimitedStore) -> None:
    """Its user logs in, lists and ends the others, and the end of all ends it."""
    user = reference()
    both = [reference(user.bucket) for _ in range(2)]
    for bound in both:
        store.apply(make(store), (), finish=Move(bound, Bind(user, None, b"", 5)))
    sessions = place.database[f"{place.prefix}sessions"]
    sessions.update_one({"_id": both[0].handle}, {"$set": {"created": "soon"}})
    assert [entry.reference for entry in store.sessions(user)] == [both[1]]
    third = reference(user.bucket)
    store.apply(make(store), (), finish=Move(third, Bind(user, None, b"", 5)))
    assert set(store.end_all(user)) == {both[1], third}
    cursor: bytes | None = b"0"
    ended: list[object] = []
    while cursor is not None:
        cursor, some = store.sweep(cursor, Deadline(_DEADLINE))
        ended += some
    assert ended == [both[0]]


def test_limits_that_are_resent_are_not_set_again(store: LimitedStore) -> None:
    """Others were set since."""
    where, first = make(store), operation()
    store.apply(where, (SetLimits(3 * HOUR, None),), first)
    store.apply(where, (SetLimits(HOUR // 4, None),))
    again = store.apply(where, (SetLimits(3 * HOUR, None),), first, load=True)
    assert again.record.idle == store.record(where).idle == HOUR // 4


def test_a_late_cleaning_leaves_a_later_session_in_the_list(
    place: AtMongo, store: LimitedStore
) -> None:
    """The entry of a session that ended is not that of one which was bound in its place."""
    where, user = reference(), reference()
    store.apply(where, (), create=True, finish=Bind(user, None, b"", 5))
    ended = _document(place, "sessions", where.handle) | {"created": Int64(1), "user": user.handle}
    vars(MongoStore)["_leave"](store.store, where, ended, Deadline(_DEADLINE))
    assert [entry.reference for entry in store.sessions(user)] == [where]


def test_too_many_answers_are_refused_and_not_forgotten(
    store: LimitedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forgotten one would let its operation be applied twice."""
    monkeypatch.setattr(pipelines, "MOST_ANSWERS", 6)
    where, first = make(store), operation()
    assert store.apply(where, (Add(b"n", 1),), first).count == 2
    said = [store.write(where, (Add(b"n", 1),)) for _ in range(6)]
    assert [type(outcome) for outcome in said] == [Written] * 4 + [TooLarge] * 2
    assert store.apply(where, (Add(b"n", 1),), first).count == 2


def test_what_mongodb_cannot_hold_is_refused(place: AtMongo) -> None:
    """A document has at most 16 MB."""
    store = place.new_store(caps=Caps(10, 2**30))
    with pytest.raises(StoreUnavailable, match=r"MongoDB cannot hold it|did not answer|refused"):
        store.write(reference(), (Write(b"a", bytes(17 * 2**20), None),), create=True)


def test_a_server_that_hangs_is_answered_in_time(own_server: MongoServer) -> None:
    """A read is refused, a change unknown; afterwards others are refused at once, then it works."""
    store = MongoStore(own_server.url, "t:", CAPS)
    where = reference()
    add = (Add(b"n", 1),)

    def write() -> object:
        return store.write(where, add, operation(), _LIFETIMES, Deadline(_DEADLINE), create=True)

    assert isinstance(write(), Written)
    own_server.pause()
    with at_most(_DEADLINE + 1), pytest.raises(OutcomeUnknown) as unknown:
        write()
    assert unknown.value.cause == "timeout"
    with at_most(0.5), pytest.raises(StoreUnavailable, match="a moment ago"):
        write()
    own_server.resume()
    wait_until(
        lambda: isinstance(write(), Written),
        "the store answers again",
        ignoring=(StoreUnavailable, OutcomeUnknown),
    )
    store.close()


def test_a_login_on_a_server_that_hangs_is_answered_in_time(own_server: MongoServer) -> None:
    """Nothing was committed, and the next call is refused at once."""
    store = MongoStore(own_server.url, "t:", CAPS)
    where, user = reference(), reference()

    def bind() -> object:
        bound = Move(reference(user.bucket), Bind(user, None, b"", 5))
        operation_, within = operation(), Deadline(_DEADLINE)
        return store.write(where, (), operation_, _LIFETIMES, within, create=True, finish=bound)

    assert isinstance(bind(), Written)
    own_server.pause()
    with at_most(_DEADLINE + 1), pytest.raises(StoreUnavailable, match="did not answer"):
        bind()
    with at_most(0.5), pytest.raises(StoreUnavailable, match="a moment ago"):
        bind()
    own_server.resume()
    store.close()


def test_a_server_that_is_gone_is_answered_in_time(own_server: MongoServer) -> None:
    """Nothing is said to be unknown that was never sent; no restart is needed afterwards."""
    store = MongoStore(own_server.url, "t:", CAPS)
    where = reference()

    def read() -> object:
        return store.read(where, _LIFETIMES, Deadline(_DEADLINE))

    read()
    own_server.kill()
    for _ in range(2):
        with at_most(_DEADLINE + 1), pytest.raises(StoreUnavailable):
            read()
    never = MongoStore(own_server.url, "t:", CAPS)
    with at_most(_DEADLINE + 1), pytest.raises(StoreUnavailable, match="cannot reach the store"):
        never.write(where, (), operation(), _LIFETIMES, Deadline(_DEADLINE), create=True)
    own_server.start()
    wait_until(read, "the store answers again", ignoring=StoreUnavailable)
    store.close()
    never.close()


def test_a_standalone_server_is_refused(tmp_path: Path) -> None:
    """It has no majority and no transactions; the message says what to do."""
    server = MongoServer(tmp_path, "--standalone")
    app = Flask("standalone")
    app.config.update(SECRET_KEY="x" * 20, UNSTICKY_STORE=server.url, UNSTICKY_DEADLINE=10)
    sessions = Unsticky(app)
    try:
        with pytest.raises(StoreUnavailable, match=r"standalone server.*--replSet.*rs\.initiate"):
            sessions.ping()
    finally:
        sessions.close()
        server.stop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_connects_for_itself(store: LimitedStore) -> None:
    """Parent and child both go on, as after Gunicorn's preload."""
    where = make(store)
    child = os.fork()
    if child == 0:
        done = isinstance(store.write(where, (Add(b"n", 1),)), Written)
        os._exit(0 if done else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.apply(where, (Add(b"n", 1),)).count == 3


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mongodb://ann:pa/ss@host/shop", "cannot be read.*write / as %2F"),
        ("mongodb://host:port/shop", "cannot be read"),
        ("mongodb://host/shop?w=0", "w=0"),
        ("mongodb+srv://one,two/shop", "cannot be read"),
        ("mongodb+srv://one:27017/shop", "cannot be read"),
        ("mongodb://host/shop?tls=true&tlsCAFile=/missing", "cannot be read"),
        ("mongodb://host/shop?readPreference=secondary", "readPreference"),
    ],
)
def test_a_url_that_cannot_do_is_refused(url: str, said: str) -> None:
    """Before anything is sent, and without the password."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        open_store(url, None, "t:", CAPS)
    assert "pa/ss" not in str(refused.value)


def test_the_log_has_no_password() -> None:
    """The address has the hosts and the database."""
    url = "mongodb://ann:s3cret@one:27017,two:27018/shop?replicaSet=rs0"
    assert open_store(url, None, "t:", CAPS).description == "mongodb://one:27017,two:27018/shop"
    assert (
        open_store("mongodb+srv://ann:s3cret@cluster.example/", None, "t:", CAPS).description
        == "mongodb+srv://cluster.example/unsticky"
    )


def test_what_does_not_go_together_is_refused() -> None:
    """UNSTICKY_WAIT is for Redis."""
    app = Flask("waits")
    app.config.update(SECRET_KEY="x" * 20, UNSTICKY_STORE="mongodb://host/", UNSTICKY_WAIT=1)
    with pytest.raises(ConfigurationError, match="UNSTICKY_WAIT"):
        Unsticky(app)


def test_without_pymongo_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    for name in [n for n in sys.modules if n.startswith("unsticky.stores.mongodb")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymongo", None)
    monkeypatch.setitem(sys.modules, "bson", None)
    with pytest.raises(ConfigurationError, match="PyMongo is not installed: install pymongo"):
        open_store("mongodb://host/", None, "t:", CAPS)
