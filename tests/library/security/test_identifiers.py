"""Requirements 1, 2, 3, 9, 10 and 18: the id is strong, ours, and nowhere but in the cookie."""

import secrets
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unsticky import ConfigurationError
from unsticky.cookie import KeyRing, Reference, Token

from .browser import Browser, identifier
from .conftest import NewApp, Workers
from .valkey import Valkey

Browse = Callable[[Flask], Browser]


def _ring(app: Flask) -> KeyRing:
    ring: KeyRing = app.extensions["unsticky"].state.ring
    return ring


def test_01_an_id_is_256_bits_of_the_systems_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id is 32 bytes asked of the operating system at once (ASVS 5.0 7.2.3: 128 bits)."""
    asked: list[int] = []

    def counted(size: int | None = None) -> bytes:
        asked.append(size or 0)
        return bytes(range(size or 0))

    monkeypatch.setattr(secrets, "token_bytes", counted)
    token = KeyRing((b"secret",), None).mint()
    assert asked == [32]
    assert token.identifier == bytes(range(32))


def test_01_no_id_comes_twice() -> None:
    """A million ids are a million different ones, and so are the names they have in the store."""
    ring = KeyRing((b"secret",), None)
    identifiers, digests = set(), set()
    for _ in range(1_000_000):
        token = ring.mint(0)
        identifiers.add(token.identifier)
        digests.add(token.reference.digest)
    assert len(identifiers) == len(digests) == 1_000_000


def test_02_an_unknown_id_is_not_adopted(new_app: NewApp, store: str, browse: Browse) -> None:
    """A well-signed id that the store does not know yields a new one (OWASP: strict management)."""
    app = new_app(store)
    stranger = _ring(app).mint()
    browser = browse(app)
    browser.cookie = planted = _ring(app).sign(stranger, 0)
    assert browser.post("/set", theme="dark").status == 200
    assert browser.cookie != planted
    assert browser.get("/me").json()["data"] == {"theme": "dark"}
    thief = browse(app)
    thief.cookie = planted
    assert thief.get("/me").json()["data"] == {}


def test_02_an_unknown_id_leaves_no_key(new_app: NewApp, valkey: Valkey, browse: Browse) -> None:
    """The store never holds anything under an id that it was asked for and did not know."""
    app = new_app(valkey.url)
    stranger = _ring(app).mint()
    browser = browse(app)
    browser.cookie = _ring(app).sign(stranger, 0)
    browser.post("/set", theme="dark")
    name = urlsafe_b64encode(stranger.reference.digest)[:22]
    keys = valkey.keys(f"{app.config['SESSION_KEY_PREFIX']}*")
    assert keys
    assert not [key for key in keys if name in key]


def test_02_an_expired_id_is_not_adopted(new_app: NewApp, valkey: Valkey, browse: Browse) -> None:
    """An id whose session expired is as unknown as one that never was."""
    app = new_app(valkey.url)
    browser = browse(app)
    browser.post("/set", theme="dark")
    first = browser.cookie
    (key,) = valkey.keys(f"{app.config['SESSION_KEY_PREFIX']}*:s:*")
    valkey.ask("PEXPIRE", key, 0)
    browser.post("/set", theme="light")
    assert browser.cookie != first
    assert not valkey.ask("EXISTS", key)


_HOSTILE = st.one_of(
    st.text(st.characters(codec="latin-1", exclude_characters=";,\r\n\0"), max_size=200),
    st.text("ABCabc019-_=", min_size=96, max_size=96),
    st.binary(min_size=72, max_size=72).map(lambda raw: urlsafe_b64encode(raw).decode()),
    st.binary(min_size=71, max_size=71).map(lambda raw: urlsafe_b64encode(b"\1" + raw).decode()),
)


@pytest.fixture(name="fuzzed", scope="module")
def _fuzzed(new_app: NewApp, valkey: Valkey) -> Flask:
    return new_app(valkey.url)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=_HOSTILE)
def test_03_a_hostile_id_reaches_no_store(fuzzed: Flask, browse: Browse, value: str) -> None:
    """Whatever was not signed here costs no store call and comes back in no byte of the answer."""
    store = fuzzed.extensions["unsticky"].state.store
    before = store.round_trips
    browser = browse(fuzzed)
    browser.cookie = value
    answer = browser.get("/me")
    assert answer.status == 200
    assert answer.json()["data"] == {}
    assert store.round_trips == before
    if len(value) > 8:
        assert value.encode() not in answer.body
        assert value not in str(answer.headers)


@pytest.mark.parametrize("place", range(0, 96, 5))
def test_03_no_character_of_a_cookie_may_change(fuzzed: Flask, browse: Browse, place: int) -> None:
    """A cookie with one character replaced names no session, wherever that character stands."""
    browser = browse(fuzzed)
    browser.post("/set", theme="dark")
    assert browser.cookie is not None
    other = "A" if browser.cookie[place] != "A" else "B"
    thief = browse(fuzzed)
    thief.cookie = browser.cookie[:place] + other + browser.cookie[place + 1 :]
    before = fuzzed.extensions["unsticky"].state.store.round_trips
    assert thief.get("/me").json()["data"] == {}
    assert fuzzed.extensions["unsticky"].state.store.round_trips == before


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/me?session={}", {}, None),
        ("/me?sid={}", {}, None),
        ("/me/{}", {}, None),
        ("/me", {"X-Session-ID": "{}"}, None),
        ("/me", {"Session": "{}"}, None),
        ("/me", {"Authorization": "Bearer {}"}, None),
        ("/me", {"Content-Type": "application/x-www-form-urlencoded"}, "session={}"),
    ],
)
def test_09_the_cookie_is_the_only_carrier(
    new_app: NewApp,
    store: str,
    browse: Browse,
    path: str,
    headers: dict[str, str],
    body: str | None,
) -> None:
    """An id in the query, the path, a header or a form is ignored (CWE-598)."""
    app = new_app(store)
    browser = browse(app)
    browser.post("/set", theme="dark")
    cookie = browser.cookie or ""
    answer = app.test_client(use_cookies=False).get(
        path.format(cookie),
        headers={name: value.format(cookie) for name, value in headers.items()},
        data=body.format(cookie) if body else None,
    )
    assert b"dark" not in answer.data
    assert "Set-Cookie" not in answer.headers


def test_09_no_body_shows_an_id(new_app: NewApp, store: str, browse: Browse) -> None:
    """No answer's body holds an id, signed or bare, from login to logout and for errors too."""
    app = new_app(store)
    browser = browse(app)
    browser.post("/set", theme="dark")
    browser.post("/login", user="ann")
    browser.get("/me")
    browser.get("/sessions")
    stale = browser.twin()
    browser.post("/rotate")
    assert stale.post("/set", theme="light").status == 409
    browser.post("/logout")
    bodies = b"\n".join(browser.bodies + stale.bodies)
    assert len(browser.issued) == 3
    for cookie in browser.issued:
        for shape in _shapes(cookie):
            assert shape not in bodies


def test_10_name_and_value_fit_every_browser(new_app: NewApp, store: str, browse: Browse) -> None:
    """With the longest name allowed, the latest deadline and a full session: at most 4096 bytes."""
    app = new_app(
        store,
        SESSION_COOKIE_NAME="n" * 256,
        SECRET_KEY="k" * 1000,
        SECRET_KEY_FALLBACKS=["f" * 1000] * 5,
        UNSTICKY_ABSOLUTE_LIFETIME=10**9,
        UNSTICKY_MAX_BYTES=10**6,
    )
    browser = browse(app)
    assert browser.post("/login", user="u" * 10_000, label="l" * 10_000).status == 200
    assert browser.post("/set", filling="x" * 900_000).status == 200
    assert len(app.config["SESSION_COOKIE_NAME"]) + len(browser.issued[-1]) <= 4096
    ring, reference = _ring(app), Reference(1023, b"\xff" * 16)
    assert len(ring.sign(Token(b"\xff" * 32, reference), 2**40 - 1)) == 96


@pytest.mark.parametrize("name", ["n" * 4000, "a b", "a;b", "a=b", "a\r\nb", "ä"])
def test_10_a_name_that_browsers_would_refuse_is_refused_at_start(
    new_app: NewApp, store: str, name: str
) -> None:
    """A cookie name that is no RFC 6265 token, or too long to leave room, does not start."""
    with pytest.raises(ConfigurationError, match="SESSION_COOKIE_NAME"):
        new_app(store, SESSION_COOKIE_NAME=name)


def test_18_raw_ids_are_nowhere(workers: Workers, valkey: Valkey) -> None:
    """No dump of the store and no log holds an issued id in any spelling (CVE-2019-16782)."""
    issued = []
    for number in range(8):
        browser = workers.browser()
        browser.post("/set", theme="dark")
        browser.post("/login", user=f"secret-{number}", label="a browser")
        browser.get("/me")
        browser.get("/sessions")
        stale = browser.twin()
        browser.post("/rotate")
        stale.post("/set", theme="light")
        stale.get("/me", Referer=f"https://localhost/{number}")
        browser.post("/add")
        if number % 2:
            browser.post("/logout")
            browser.post("/set", theme="again")
        issued += browser.issued
    assert len(set(issued)) == 28
    haystack = _dump(valkey) + workers.output() + workers.audit.read_bytes()
    assert b"session_created" in haystack
    assert b"POST /rotate" in haystack or b'"/rotate"' in haystack
    found = [shape for cookie in issued for shape in _shapes(cookie) if shape in haystack]
    assert found == []


def _dump(valkey: Valkey) -> bytes:
    """Return everything a thief of the store's host would have: keys, values, files, logs."""
    parts = []
    for key in valkey.keys("*"):
        parts += [key, valkey.ask("DUMP", key) or b""]
        if valkey.ask("TYPE", key) == b"hash":
            parts += [part for pair in valkey.hash(key).items() for part in pair]
        else:
            parts.append(valkey.ask("GET", key) or b"")
    files = [path for path in Path(valkey.folder).rglob("*") if path.is_file()]
    assert any("aof" in path.name for path in files)
    return b"\n".join([*parts, *(path.read_bytes() for path in files)])


def _shapes(cookie: str) -> list[bytes]:
    """Return every spelling in which an id could lie around."""
    raw = identifier(cookie)
    assert urlsafe_b64decode(cookie)[8:40] == raw
    shapes = [cookie.encode()]
    for part in (raw, raw[:16], raw[16:]):
        shapes += [part, part.hex().encode(), part.hex().upper().encode()]
        for alphabet in (b64encode, urlsafe_b64encode):
            # Wherever it stands in a longer text: what does not depend on its neighbours.
            whole = 4 * ((len(part) - 2) // 3)
            shapes += [
                alphabet(bytes(shift) + part)[4 if shift else 0 :][:whole] for shift in range(3)
            ]
    return shapes
