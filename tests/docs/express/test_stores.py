"""The tables of connect-redis and connect-mongo."""

from datetime import UTC, datetime
from decimal import Decimal
from secrets import token_hex
from typing import Any

import pytest
from unsticky import ConfigurationError, Unserializable, session

from tests.docs.express.page import Line, Lines
from tests.docs.express.site import DAY, HOUR, MakeSite, is_empty, log_in, set_value, site_at
from tests.support.browsers import cookie_of
from tests.support.stores.places import Memory
from tests.support.stores.servers import Server

_LINES = Lines("connect-redis", "connect-mongo")

# The store for MongoDB is being written. Its tests belong here, and then this set goes.
_WITH_MONGODB = {
    'mongoUrl: "mongodb://127.0.0.1/app"',
    'dbName: "app"',
    'collectionName: "sessions"',
    'autoRemove: "native"',
    'autoRemove: "interval", autoRemove: "disabled"',
    "writeOperationOptions",
}


def test_every_line_is_shown() -> None:
    """No line of the tables is without a test."""
    assert _LINES.not_shown() == _WITH_MONGODB


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
