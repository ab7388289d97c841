"""The tables of connect-redis and connect-mongo."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import pytest
from unsticky import ConfigurationError, Unserializable, session

from tests.docs.express.page import Line, Lines
from tests.docs.express.site import DAY, HOUR, MakeSite, Site, is_empty, log_in, set_value, site_at
from tests.support.browsers import cookie_of
from tests.support.stores.mongodb import GivenMongo, MongoServer
from tests.support.stores.places import Memory, deadline
from tests.support.stores.servers import Server, Servers

_LINES = Lines("connect-redis", "connect-mongo")


def test_every_line_is_shown() -> None:
    """No line of the tables is without a test."""
    assert _LINES.not_shown() == set()


@_LINES.shows('prefix: "sess : ", redis_prefix: "sess : "')
def test_the_prefix_of_all_keys(line: Line, make: MakeSite, server: Server) -> None:
    """Those of sessions, of users and of writes; braces are refused."""
    for settings, prefix in ((line.settings, "sess : "), ({}, "unsticky:")):
        server.raw.flushall()
        site = make(settings)
        site.visit(site.app.test_client(), log_in)
        assert len(server.keys()) >= 3
        assert server.keys() == server.keys(f"{prefix}*")
    with pytest.raises(ConfigurationError, match="SESSION_KEY_PREFIX"):
        make({"SESSION_KEY_PREFIX": "{sess}"})


@_LINES.shows("ttl: 86400")
def test_a_session_ends_unused(line: Line, place: Memory) -> None:
    """After the limit if it was in use, after 65 minutes if it was not."""
    site = site_at(place, line.settings)
    user, visitor = site.app.test_client(), site.app.test_client()
    site.visit(user, log_in)
    site.visit(visitor, set_value)
    place.let_pass(66 * 60_000)
    assert site.visit(visitor, is_empty).text == "True"
    for hours, found in ((22, "False"), (25, "True")):
        place.let_pass(hours * HOUR)
        assert site.visit(user, is_empty).text == found


@_LINES.shows("disableTouch: true")
def test_a_session_ends_although_it_is_used(line: Line, place: Memory) -> None:
    """A day after its login."""
    site = site_at(place, line.settings)
    client = site.app.test_client()
    site.visit(client, log_in)
    found = []
    for _ in range(5):
        place.let_pass(5 * HOUR)
        found.append(site.visit(client, is_empty).text)
    assert found == ["False"] * 4 + ["True"]


@_LINES.shows("disableTTL: true")
def test_each_key_has_a_time_to_live(line: Line, make: MakeSite, server: Server) -> None:
    """Those of sessions, of users and of writes, and of what has ended."""
    assert line.settings == {}
    site = make({"PERMANENT_SESSION_LIFETIME": 100 * 365 * 86_400})
    client = site.app.test_client()
    site.visit(client, set_value)
    site.visit(client, log_in)
    stored = server.keys()
    assert len(stored) >= 3
    assert [key for key in stored if server.raw.ttl(key) <= 0] == []


@_LINES.shows("serializer, stringify, serialize")
def test_values_keep_their_types(line: Line, make: MakeSite) -> None:
    """What is stored comes back as it was; an object that cannot be stored is refused."""
    assert line.settings == {}
    values = {
        "date": datetime(2026, 11, 27, tzinfo=UTC),
        "set": {1, 2},
        "bytes": b"\0\xff",
        "decimal": Decimal("0.10"),
    }
    site = make({"TESTING": True})
    client = site.app.test_client()
    site.visit(client, lambda: session.update(values))
    found: dict[str, Any] = {}
    site.visit(client, lambda: found.update(session))
    assert found == values
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in values.items()
    }
    with pytest.raises(Unserializable, match=r"session\['a'\]"):
        site.visit(client, lambda: session.update(a=object()))


@_LINES.shows("touchAfter: 86400")
def test_uses_are_noted_now_and_then(line: Line, place: Memory) -> None:
    """Each use counts, and its time is written at most once in a 20th of the lifetime."""
    del line
    site = site_at(place, {"PERMANENT_SESSION_LIFETIME": 20 * 86_400})
    client = site.app.test_client()
    site.visit(client, log_in)
    site.visit(client, is_empty)

    def seen() -> datetime:
        with site.app.app_context():
            return site.sessions.of("ada")[0].last_seen

    before, noted = seen(), []
    for _ in range(4):
        place.let_pass(DAY // 2)
        site.visit(client, is_empty)
        noted.append((seen() - before).total_seconds() / 86_400)
    assert noted == pytest.approx([0, 1, 1, 2], abs=0.01)


@_LINES.shows("crypto, cryptoAdapter")
def test_content_is_not_encrypted(line: Line, make: MakeSite, server: Server) -> None:
    """Who can read the store reads it, with a pepper, too."""
    assert line.settings == {}
    site = make({"UNSTICKY_PEPPER": token_hex()})
    site.visit(site.app.test_client(), lambda: session.update(a="readable"))
    (key,) = server.keys("*:s:*")
    assert b"readable" in b"".join(server.hash(key).values())


@_LINES.shows("transformId")
def test_the_store_does_not_know_the_id(line: Line, make: MakeSite, server: Server) -> None:
    """Neither the cookie nor the id in it is in any key or value."""
    assert line.settings == {}
    site = make({})
    client = site.app.test_client()
    site.visit(client, log_in)
    token = site.sessions.state.ring.verify(cookie_of(client))
    assert token is not None
    keys = server.keys()
    stored = b"".join(key + server.raw.dump(key) for key in keys)
    assert token.identifier not in stored
    assert cookie_of(client).encode() not in stored


@_LINES.shows('mongoUrl: "mongodb://127.0.0.1/app"', 'dbName: "app"')
def test_the_database(line: Line, make: MakeSite, servers: Servers) -> None:
    """The URL names it."""
    mongo = servers.mongodb()
    with _in_mongodb(mongo, line.settings, make) as (site, database):
        site.visit(site.app.test_client(), set_value)
        assert database["unsticky:sessions"].count_documents({}) == 1


@_LINES.shows('collectionName: "app_sessions"')
def test_the_collections(line: Line, make: MakeSite, servers: Servers) -> None:
    """Their names begin with the prefix."""
    with _in_mongodb(servers.mongodb(), line.settings, make) as (site, database):
        site.visit(site.app.test_client(), log_in)
        assert set(database.list_collection_names()) == {
            f"app_{kind}" for kind in ("sessions", "users", "results", "quarantine")
        }


@_LINES.shows('autoRemove: "native"', 'autoRemove: "interval", autoRemove: "disabled"')
def test_what_expired_is_not_read(line: Line, make: MakeSite, servers: Servers) -> None:
    """Long before the index that always cleans has removed it."""
    assert line.settings == {}
    with _in_mongodb(servers.mongodb(), {}, make) as (site, database):
        client, sessions = site.app.test_client(), database["unsticky:sessions"]
        site.visit(client, set_value)
        assert site.visit(client, is_empty).text == "False"
        sessions.update_many({}, {"$set": {"expires": 0}})
        assert site.visit(client, is_empty).text == "True"
        assert sessions.count_documents({}) == 1
        assert "expireAfterSeconds" in sessions.index_information()["ttl_1"]


@_LINES.shows("writeOperationOptions")
def test_a_majority_has_each_change(line: Line, make: MakeSite, servers: Servers) -> None:
    """In its journal."""
    assert line.settings == {}
    with _in_mongodb(servers.mongodb(), {}, make) as (site, _):
        site.visit(site.app.test_client(), set_value)
        store: Any = site.sessions.state.store
        server = vars(store)["_server"]
        concern = server.run(lambda db: db.concern.document, deadline())
        assert concern == {"w": "majority", "j": True}


@contextmanager
def _in_mongodb(
    mongo: MongoServer | GivenMongo, settings: dict[str, Any], make: MakeSite
) -> Iterator[tuple[Site, Any]]:
    """Give a site with these settings, at this server, and its database, empty at first."""
    given = settings.get("UNSTICKY_STORE", "mongodb://127.0.0.1/app")
    # The name that the line has, and something that no database of the server's owner has.
    database = f"{urlsplit(given).path[1:]}_{token_hex(8)}"
    url = urlsplit(mongo.url)._replace(path=f"/{database}").geturl()
    try:
        yield make(settings | {"UNSTICKY_STORE": url}), mongo.raw[database]
    finally:
        mongo.raw.drop_database(database)
