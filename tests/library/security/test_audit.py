"""Requirement 21: the life of a session is told, with handle and request id."""

import logging
from typing import Any

import pytest
from flask import Flask
from unsticky.cookie import KeyRing

from .browser import Browser
from .conftest import NewApp
from .test_identifiers import Browse, _ring, _shapes


@pytest.fixture(name="told")
def _told(caplog: pytest.LogCaptureFixture) -> "Told":
    caplog.set_level(logging.INFO, "unsticky.audit")
    return Told(caplog)


class Told:
    """What the audit log said since it was last asked."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def since(self) -> list[dict[str, Any]]:
        """Return the facts of each line, and forget them."""
        facts = [
            record.__dict__["unsticky"]
            for record in self._caplog.records
            if record.name == "unsticky.audit"
        ]
        self._caplog.clear()
        return facts

    @property
    def text(self) -> str:
        """All lines."""
        return self._caplog.text


def _send(browser: Browser, path: str, request_id: str, **values: Any) -> Any:
    answer = browser.send("POST", path, values, {"X-Request-ID": request_id})
    return answer.json() if answer.body else None


def test_21_each_step_of_a_life_is_told(
    new_app: NewApp, store: str, browse: Browse, told: Told
) -> None:
    """Create, renew, revoke and destroy: one line each, with handle and request id."""
    app = new_app(store)
    browser, other = browse(app), browse(app)

    made = _send(browser, "/set", "r-1", theme="dark")
    first = browser.get("/me").json()["handle"]
    assert made == {"handle": None}
    assert told.since() == [{"event": "session_created", "handle": first, "request_id": "r-1"}]

    second = _send(browser, "/login", "r-2", user="ann")["handle"]
    assert told.since() == [
        {
            "event": "session_rotated",
            "handle": second,
            "request_id": "r-2",
            "previous": first,
            "user": "ann",
        }
    ]

    third = _send(other, "/login", "r-3", user="ann")["handle"]
    told.since()
    _send(browser, "/revoke", "r-4", handle=third)
    assert told.since() == [
        {
            "event": "session_revoked",
            "handle": third,
            "request_id": "r-4",
            "reason": "revoked",
            "user": "ann",
        }
    ]

    _send(other, "/login", "r-5", user="ann")
    told.since()
    _send(browser, "/revoke-others", "r-6")
    (line,) = told.since()
    assert (line["event"], line["request_id"]) == ("session_revoked", "r-6")
    assert line["user"] == "ann"

    _send(browser, "/logout", "r-7")
    assert told.since() == [
        {"event": "session_destroyed", "handle": second, "request_id": "r-7", "user": "ann"}
    ]


def test_21_a_late_writer_is_told(new_app: NewApp, store: str, browse: Browse, told: Told) -> None:
    """A write that would have revived a dead session is told, with how the session ended."""
    browser = browse(new_app(store))
    browser.post("/set", theme="dark")
    late = browser.twin()
    handle = browser.get("/me").json()["handle"]
    browser.post("/rotate")
    told.since()
    _send(late, "/set", "r-9", theme="light")
    assert told.since() == [
        {
            "event": "session_revival_prevented",
            "handle": handle,
            "request_id": "r-9",
            "kind": "rotated",
        }
    ]


def test_21_an_expired_cookie_is_told(
    new_app: NewApp, store: str, browse: Browse, told: Told
) -> None:
    """A cookie past its absolute limit is told as expired, and is no alarm."""
    app = new_app(store)
    browser = browse(app)
    token = _ring(app).mint()
    browser.cookie = _ring(app).sign(token, 1)
    _send(browser, "/rotate", "r-1")
    expected = {
        "event": "session_expired",
        "handle": token.reference.handle,
        "request_id": "r-1",
        "kind": "absolute",
    }
    assert told.since() == [expected]
    assert app.extensions["unsticky"].counters.unknown_ids == 0


def test_21_fifty_unknown_ids_raise_the_alarm(
    new_app: NewApp, store: str, browse: Browse, told: Told
) -> None:
    """Each cookie that was not signed here is counted and told: someone may be guessing."""
    app = new_app(store)
    for _ in range(50):
        browser = browse(app)
        browser.cookie = KeyRing((b"another secret",), None).sign(_ring(app).mint(), 0)
        browser.get("/me")
    assert app.extensions["unsticky"].counters.unknown_ids == 50
    assert [line["event"] for line in told.since()] == ["unknown_id"] * 50


def test_21_an_idle_session_is_told_as_expired(
    new_app: NewApp, store: str, browse: Browse, told: Told
) -> None:
    """A cookie that was signed here, and whose session is not there any more, is no alarm."""
    app = new_app(store)
    browser = browse(app)
    token = _ring(app).mint()
    browser.cookie = _ring(app).sign(token, 0)
    browser.get("/me")
    (line,) = told.since()
    assert (line["event"], line["kind"]) == ("session_expired", "idle")
    assert line["handle"] == token.reference.handle
    assert app.extensions["unsticky"].counters.unknown_ids == 0


@pytest.mark.parametrize("request_id", ["a b", 'a"b', "a\x1b[31mb", "x" * 129, "ä"])
def test_21_a_request_id_cannot_forge_a_line(
    new_app: NewApp, store: str, browse: Browse, told: Told, request_id: str
) -> None:
    """A request id that is not fit for a log line is left out of it (CWE-117)."""
    _send(browse(new_app(store)), "/set", request_id, theme="dark")
    (line,) = told.since()
    assert line["request_id"] == ""


def test_21_no_line_holds_an_id(new_app: NewApp, store: str, browse: Browse, told: Told) -> None:
    """Whatever is told, the id is not in it."""
    app: Flask = new_app(store)
    browser = browse(app)
    browser.post("/set", theme="dark")
    browser.post("/login", user="ann")
    browser.post("/rotate")
    browser.post("/logout")
    for cookie in browser.issued:
        for shape in _shapes(cookie):
            assert shape.decode("latin-1") not in told.text
