"""The tables of express-session's options, and the whole configuration."""

import ast
import logging
import re
from types import FunctionType
from typing import Any

import pytest
from flask import Flask
from unsticky import ConfigurationError, Unsticky, session

from tests.docs.express.page import PAGE, Line, Lines
from tests.docs.express.site import (
    DAY,
    MakeSite,
    Site,
    cookies_of,
    is_empty,
    log_in,
    send,
    set_value,
    site_at,
)
from tests.support.browsers import cookie_of
from tests.support.pages import blocks
from tests.support.stores.places import Memory
from tests.support.stores.servers import Server

_LINES = Lines("express-session")


def test_every_line_is_shown() -> None:
    """No line of the tables is without a test."""
    assert _LINES.not_shown() == set()


def test_the_whole_configuration(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line of the example is in a table, and its translation does what it says."""
    original, ours = blocks("The configuration", "js", "python", page=PAGE)
    known = {
        name.removeprefix("cookie.")
        for line in Lines("express-session", "Its cookie", "connect-redis").by_name.values()
        for name in line.express
    }
    lines = re.findall(r"^ +(\w+: .+),$", original.text, re.MULTILINE)
    assert len(lines) == 6
    assert set(lines) <= known

    monkeypatch.setenv("UNSTICKY_STORE", server.url)  # in place of the page's server
    app = Flask("site")
    names: dict[str, Any] = {"app": app, "Unsticky": Unsticky}
    FunctionType(compile(ours.text, str(PAGE), "exec"), names)()
    site = Site(app, names["sessions"])
    (cookie,) = cookies_of(site.visit(app.test_client(), set_value))
    assert cookie.startswith("sid=")
    assert "HttpOnly" in cookie
    assert server.keys()
    assert server.keys() == server.keys("sess : *")
    site.sessions.close()


@_LINES.shows('secret: "one"')
def test_the_secret_signs(line: Line, make: MakeSite) -> None:
    """An application with another secret does not find the session, which is there."""
    site, other = make(line.settings), make({"SECRET_KEY": "another"})
    client = site.app.test_client()
    site.visit(client, set_value)
    assert site.visit(client, is_empty).text == "False"
    stranger = send(other.app.test_client(), cookie_of(client))
    assert other.visit(stranger, is_empty).text == "True"


@_LINES.shows('secret: ["new", "old"]')
def test_old_secrets_are_replaced(line: Line, make: MakeSite) -> None:
    """A cookie of the old secret comes back under the new one, which then suffices."""
    new, old = ast.literal_eval(line.express[0].removeprefix("secret: "))
    before, both, after = (
        make({"SECRET_KEY": old}),
        make(line.settings),
        make({"SECRET_KEY": new}),
    )
    client = before.app.test_client()
    before.visit(client, set_value)
    client = send(both.app.test_client(), cookie_of(client))
    assert len(cookies_of(both.visit(client, is_empty))) == 1
    assert cookies_of(both.visit(client, is_empty)) == []
    client = send(after.app.test_client(), cookie_of(client))
    assert after.visit(client, is_empty).text == "False"


@_LINES.shows('key: "sid", name: "sid"')
def test_the_cookies_name(line: Line, make: MakeSite) -> None:
    """The cookie has the name, else Flask's."""
    for site, name in ((make(line.settings), "sid"), (make({}), "session")):
        (cookie,) = cookies_of(site.visit(site.app.test_client(), set_value))
        assert cookie.startswith(f"{name}=")


@_LINES.shows("resave: false", "resave: true")
def test_who_reads_writes_nothing(line: Line, make: MakeSite, server: Server) -> None:
    """Not even if another request changes the session meanwhile, whose change stays."""
    del line
    site = make({})
    client = site.app.test_client()
    site.visit(client, set_value)
    site.visit(client, is_empty)  # notes the time of the use
    other = send(site.app.test_client(), cookie_of(client))

    def read_slowly() -> None:
        assert session["a"] == 1
        site.visit(other, lambda: session.update(a=2))
        assert session["a"] == 1

    (key,) = server.keys("*:s:*")
    before, commits = server.hash(key), site.sessions.counters.commits
    site.visit(client, is_empty)
    assert server.hash(key) == before
    assert site.sessions.counters.commits == commits
    site.visit(client, read_slowly)
    assert site.sessions.counters.commits == commits + 1
    assert site.visit(client, lambda: str(session["a"])).text == "2"


@_LINES.shows("saveUninitialized: false", "saveUninitialized: true")
def test_an_empty_session_is_not_stored(line: Line, make: MakeSite, server: Server) -> None:
    """Neither key nor cookie, until there is a value."""
    del line
    site = make({})
    client = site.app.test_client()
    assert cookies_of(site.visit(client, is_empty)) == []
    assert server.keys() == []
    assert len(cookies_of(site.visit(client, set_value))) == 1
    assert len(server.keys("*:s:*")) == 1


@_LINES.shows("rolling: true", "rolling: false")
def test_the_cookie_is_sent_again(line: Line, place: Memory) -> None:
    """Once in a 20th of the lifetime, or never; the server counts from the last use."""
    site = site_at(place, line.settings | {"PERMANENT_SESSION_LIFETIME": 10 * 86_400})
    client = site.app.test_client()

    def log_in_for_long() -> None:
        log_in()
        session.permanent = True

    site.visit(client, log_in_for_long)
    site.visit(client, is_empty)
    sent = []
    for _ in range(30):
        place.let_pass(DAY // 4)
        answer = site.visit(client, is_empty)
        assert answer.text == "False"
        sent.append(len(cookies_of(answer)))
    # Every second time: twelve hours are a 20th of ten days.
    assert sum(sent) == (15 if line.express == ["rolling: true"] else 0)
    client = send(site.app.test_client(), cookie_of(client))
    place.let_pass(9 * DAY)
    assert site.visit(client, is_empty).text == "False"


@_LINES.shows('unset: "destroy"')
def test_clearing_ends_the_session(line: Line, make: MakeSite) -> None:
    """Its cookie is deleted, and opens nothing afterwards."""
    site = make({})
    client = site.app.test_client()
    site.visit(client, set_value)
    cookie = cookie_of(client)
    site.visit(client, line.run)
    assert client.get_cookie("session") is None
    assert site.visit(send(client, cookie), is_empty).text == "True"


@_LINES.shows('unset: "keep"')
def test_what_a_view_changed_is_written(line: Line, make: MakeSite) -> None:
    """Also with an error of the application's own."""
    assert line.code == []
    site = make({})
    client = site.app.test_client()

    def fail() -> tuple[str, int]:
        set_value()
        return "broken", 500

    assert site.visit(client, fail).status_code == 500
    assert site.visit(client, is_empty).text == "False"


@_LINES.shows("genid")
def test_ids_are_random(line: Line, make: MakeSite) -> None:
    """Two visitors have other ids of 32 bytes; a visitor's own id is not used."""
    assert line.settings == {}
    site = make({})
    ring = site.sessions.state.ring
    chosen = send(site.app.test_client(), "chosen")
    found = set()
    for client in (chosen, site.app.test_client()):
        site.visit(client, set_value)
        token = ring.verify(cookie_of(client))
        assert token is not None
        assert len(token.identifier) == 32
        found.add(token.identifier)
    assert len(found) == 2


@_LINES.shows("proxy: true")
def test_no_header_decides_about_secure(line: Line, make: MakeSite) -> None:
    """The setting does, whatever a proxy says of the connection."""
    for settings, secure in ((line.settings, True), ({}, False)):
        site = make(settings)
        for scheme in ("http", "https"):
            headers = {"X-Forwarded-Proto": scheme}
            (cookie,) = cookies_of(site.visit(site.app.test_client(), set_value, headers=headers))
            assert ("Secure" in cookie) == secure


@_LINES.shows("no store")
def test_memory_serves_one_process(
    line: Line, make: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    """It warns if it is nobody's choice, and refuses several processes."""
    for settings, level in ((line.settings, logging.INFO), ({"UNSTICKY_STORE": None}, 30)):
        caplog.clear()
        with caplog.at_level(logging.INFO, "unsticky"):
            site = make(settings)
        (record,) = caplog.records
        assert record.levelno == level
        assert "sessions are kept by memory://" in record.getMessage()
        client = site.app.test_client()
        site.visit(client, set_value)
        assert site.visit(client, is_empty).text == "False"
        site.app.testing = True
        with pytest.raises(ConfigurationError, match="cannot serve several processes"):
            site.visit(client, set_value, environ_overrides={"wsgi.multiprocess": True})


@_LINES.shows("store: new RedisStore({ client })")
def test_redis_keeps_the_sessions(line: Line, make: MakeSite, server: Server) -> None:
    """At the URL, or at a ready client's server; without an answer there is no other store."""
    there = make(line.settings).sessions.state.store
    assert there.description in line.settings["UNSTICKY_STORE"]
    ready = make({"UNSTICKY_STORE": None, "SESSION_REDIS": server.raw})
    ready.visit(ready.app.test_client(), set_value)
    assert len(server.keys("*:s:*")) == 1
    away = make({"UNSTICKY_STORE": "redis://127.0.0.1:1"})
    assert away.visit(away.app.test_client(), set_value).status_code == 503
