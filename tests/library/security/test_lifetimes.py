"""Requirements 6 and 7: both limits are the server's, whatever the client kept."""

import time
from collections.abc import Callable

from flask import Flask
from unsticky.limits import MAX_FIELDS, Lifetimes
from unsticky.stores.base import Caps
from unsticky.stores.memory import MemoryStore

from tests.support.waiting import wait_until

from .conftest import NewApp
from .test_identifiers import Browse
from .valkey import Valkey


def _with_clock(app: Flask) -> Callable[[float], None]:
    """Give the application a memory store whose clock the test moves; return what moves it."""
    state = app.extensions["unsticky"].state
    now = [time.time()]
    caps = Caps(MAX_FIELDS, state.config.max_bytes)
    state.store = MemoryStore(caps, lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def test_06_a_kept_cookie_is_refused_after_the_idle_limit(new_app: NewApp, browse: Browse) -> None:
    """A cookie used again after the idle limit finds nothing, and within it everything."""
    app = new_app("memory://", PERMANENT_SESSION_LIFETIME=1000)
    advance = _with_clock(app)
    browser = browse(app)
    browser.post("/login", user="ann")
    for _ in range(3):
        advance(900)
        assert browser.get("/me").json()["user"] == "ann"
    kept = browser.cookie
    advance(1001)
    browser.cookie = kept
    assert browser.get("/me").json()["data"] == {}


def test_06_the_store_itself_forgets(new_app: NewApp, valkey: Valkey, browse: Browse) -> None:
    """The idle limit holds in the store's own clock, with nobody asking in between."""
    app = new_app(valkey.url, PERMANENT_SESSION_LIFETIME=1)
    browser = browse(app)

    def returned() -> bool:
        browser.post("/login", user="ann")
        return bool(browser.get("/me").json()["user"] == "ann")

    wait_until(returned, "a visit within the limit of a second")
    prefix = app.config["SESSION_KEY_PREFIX"]
    wait_until(
        lambda: not [key for key in valkey.keys(f"{prefix}*:s:*") if _lives(valkey, key)],
        "no key that lives",
    )
    assert browser.get("/me").json()["data"] == {}


def test_06_a_session_seen_once_is_forgotten_soon(new_app: NewApp, browse: Browse) -> None:
    """A session that never came back, such as a crawler's, is gone after its own shorter limit."""
    app = new_app("memory://", UNSTICKY_UNUSED_LIFETIME=60)
    advance = _with_clock(app)
    browser = browse(app)
    browser.post("/set", theme="dark")
    advance(61)
    assert browser.get("/me").json()["data"] == {}


def test_07_pinging_does_not_pass_the_absolute_limit(new_app: NewApp, browse: Browse) -> None:
    """A session used all the time ends at its absolute limit all the same (ASVS 5.0 7.3.2)."""
    app = new_app("memory://", PERMANENT_SESSION_LIFETIME=100, UNSTICKY_ABSOLUTE_LIFETIME=1000)
    advance = _with_clock(app)
    browser = browse(app)
    browser.post("/login", user="ann")
    for _ in range(19):
        advance(50)
        assert browser.get("/me").json()["user"] == "ann"
    advance(51)
    assert browser.get("/me").json()["data"] == {}


def test_07_neither_rotating_nor_writing_renews_it(new_app: NewApp, browse: Browse) -> None:
    """Rotation and writes keep the absolute limit; only a new login starts it afresh."""
    app = new_app("memory://", UNSTICKY_ABSOLUTE_LIFETIME=1000, PERMANENT_SESSION_LIFETIME=1000)
    advance = _with_clock(app)
    browser, again = browse(app), browse(app)
    browser.post("/login", user="ann")
    again.post("/login", user="bob")
    advance(600)
    browser.post("/rotate")
    browser.post("/set", theme="dark")
    again.post("/login", user="bob")
    advance(401)
    assert browser.get("/me").json()["data"] == {}
    assert again.get("/me").json()["user"] == "bob"


def test_07_the_store_never_keeps_more_than_is_left(
    new_app: NewApp, valkey: Valkey, browse: Browse
) -> None:
    """A key's time to live never exceeds what is left of either limit."""
    app = new_app(valkey.url, PERMANENT_SESSION_LIFETIME=1000, UNSTICKY_ABSOLUTE_LIFETIME=1000)
    state = app.extensions["unsticky"].state
    # An absolute limit shorter than the idle one, which the configuration would even out.
    lifetimes = Lifetimes(idle=1_000_000, absolute=50_000, unused=1_000_000)
    state._lifetimes = (  # noqa: SLF001 (see above)
        app.permanent_session_lifetime,
        lifetimes,
    )
    browser = browse(app)
    prefix = app.config["SESSION_KEY_PREFIX"]
    for path in ("/set", "/login", "/rotate", "/set"):
        browser.post(path, user="ann")
        browser.get("/me")
        keys = [key for key in valkey.keys(f"{prefix}*:s:*") if _lives(valkey, key)]
        assert keys
        assert all(0 < valkey.ask("PTTL", key) <= 50_000 for key in keys)


def test_07_a_cookie_past_its_deadline_costs_nothing(
    new_app: NewApp, valkey: Valkey, browse: Browse
) -> None:
    """The deadline in the signed cookie ends it without a store call and without an alarm."""
    app = new_app(valkey.url)
    sessions = app.extensions["unsticky"]
    browser = browse(app)
    ring = sessions.state.ring
    browser.cookie = ring.sign(ring.mint(), int(time.time()) - 3600)
    before = sessions.state.store.round_trips
    assert browser.get("/me").json()["data"] == {}
    assert sessions.state.store.round_trips == before
    assert sessions.counters.unknown_ids == 0


def _lives(valkey: Valkey, key: bytes) -> bool:
    return b"\0m" in valkey.hash(key)
