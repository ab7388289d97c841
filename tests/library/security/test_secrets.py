"""Requirement 20: secrets rotate without losing a session."""

import itertools
from typing import Any

import pytest
from flask import Flask
from unsticky.cookie import KeyRing

from .conftest import NewApp
from .test_identifiers import Browse, _ring

_PEPPER = "a pepper that is no secret key"
_numbers = itertools.count()


def test_20_a_rotation_loses_no_session(new_app: NewApp, store: str, browse: Browse) -> None:
    """Old cookies are accepted and signed again; without the old key they still count."""
    shared = {"SESSION_KEY_PREFIX": "rotating:", "UNSTICKY_PEPPER": _PEPPER}
    first = new_app(store, SECRET_KEY="old", **shared)
    both = new_app(store, SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"], **shared)
    last = new_app(store, SECRET_KEY="new", **shared)
    for app in (both, last):
        app.extensions["unsticky"].state.store = first.extensions["unsticky"].state.store
    browser = browse(first)
    browser.post("/login", user="ann")
    browser.get("/me")
    signed_before = browser.cookie
    kept = browser.twin()

    browser.go_to(both)
    assert browser.get("/me").json()["user"] == "ann"
    assert browser.cookie != signed_before
    again = browser.get("/me")
    assert again.headers["Set-Cookie"] is None  # once is enough

    browser.go_to(last)
    kept.go_to(last)
    assert browser.get("/me").json()["user"] == "ann"
    assert kept.get("/me").json()["user"] is None  # it missed the whole rotation


def test_20_earlier_secrets_may_come_from_the_environment(
    new_app: NewApp, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application that names none gets those of SECRET_KEY_FALLBACKS; its own win."""
    for given in ("old older", "old\n\nolder\n"):
        monkeypatch.setenv("SECRET_KEY_FALLBACKS", given)
        assert new_app(store).config["SECRET_KEY_FALLBACKS"] == ["old", "older"]
    monkeypatch.setenv("SECRET_KEY_FALLBACKS", "a key of words\n")
    assert new_app(store).config["SECRET_KEY_FALLBACKS"] == ["a key of words"]
    own = new_app(store, SECRET_KEY_FALLBACKS=["mine"])
    assert own.config["SECRET_KEY_FALLBACKS"] == ["mine"]


def test_20_a_forged_signature_is_refused(new_app: NewApp, store: str, browse: Browse) -> None:
    """An id that exists, signed with a key that is not in the ring, names no session."""
    app = new_app(store)
    browser = browse(app)
    browser.post("/login", user="ann")
    token = _ring(app).verify(browser.cookie or "")
    assert token is not None
    forger = browse(app)
    forger.cookie = KeyRing((b"guessed",), None).sign(token, 0)
    assert forger.get("/me").json()["user"] is None
    assert forger.get("/me").headers["Set-Cookie"] is None


def test_20_the_pepper_does_not_rotate_with_the_secret() -> None:
    """The name of a session in the store depends on the pepper, and on no secret."""
    rings = [
        KeyRing((b"old",), _PEPPER.encode()),
        KeyRing((b"new", b"old"), _PEPPER.encode()),
        KeyRing((b"old",), b"another pepper of its own"),
        KeyRing((b"old",), None),
    ]
    cookie = rings[0].sign(rings[0].mint(7), 0)
    names = [token.reference if (token := ring.verify(cookie)) else None for ring in rings]
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_20_the_same_secret_elsewhere_signs_nothing_here(
    new_app: NewApp, store: str, browse: Browse
) -> None:
    """Flask's own signed cookie made with the very same SECRET_KEY is no session's cookie."""
    from flask.sessions import SecureCookieSessionInterface

    app = new_app(store)
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    browser = browse(app)
    browser.cookie = serializer.dumps({"user": "ann"})
    assert browser.get("/me").json()["data"] == {}


@pytest.fixture(name="stages")
def _stages(new_app: NewApp, store: str) -> list[Flask]:
    """The application before, during and after the exchange of its pepper: four deployments."""
    shared: dict[str, Any] = {"SECRET_KEY": "key", "SESSION_KEY_PREFIX": f"p{next(_numbers)}:"}
    peppers: list[tuple[str, list[str]]] = [
        ("", []),
        ("", [_PEPPER]),
        (_PEPPER, [""]),
        (_PEPPER, []),
    ]
    apps = [
        new_app(store, UNSTICKY_PEPPER=pepper, UNSTICKY_PEPPER_FALLBACKS=earlier, **shared)
        for pepper, earlier in peppers
    ]
    for app in apps[1:]:
        app.extensions["unsticky"].state.store = apps[0].extensions["unsticky"].state.store
    return apps


def test_20_a_pepper_rotation_loses_no_session(stages: list[Flask], browse: Browse) -> None:
    """Sessions stay under their pepper until a login; workers of two stages serve both."""
    before, accepting, using, after = stages
    ann, tablet = browse(before), browse(before)
    tablet.post("/login", user="ann")
    ann.post("/add")
    ann.post("/login", user="ann")
    for app in (accepting, using, accepting, using):
        ann.go_to(app)
        assert ann.get("/me").json()["user"] == "ann"
        assert ann.post("/rotate").json()["handle"] == ann.get("/me").json()["handle"]
        ann.post("/add")
    assert ann.post("/add").json()["count"] == 6

    phone = browse(using)
    phone.post("/login", user="ann")
    phone.go_to(accepting)
    assert len(phone.get("/sessions").json()) == 3
    ann.post("/login", user="ann")
    tablet.go_to(using)
    assert tablet.post("/rotate").status == 200
    tablet.go_to(after)
    # It did not log in again. What `revoke_all` would not find must not live on.
    assert tablet.get("/me").json()["user"] is None
    for browser in (ann, phone):
        browser.go_to(after)
        assert browser.get("/me").json()["user"] == "ann"
    assert ann.post("/add").json()["count"] == 7


def test_20_the_end_of_a_session_holds_under_both_peppers(
    stages: list[Flask], browse: Browse
) -> None:
    """A logout, a rotation and a revocation end what either pepper names, and revive nothing."""
    before, accepting, using, _ = stages
    ann, bob = browse(before), browse(using)
    for browser, user in ((ann, "ann"), (bob, "bob")):
        browser.post("/set", seen=1)
        late = browser.twin()
        browser.post("/login", user=user)
        for app in (accepting, using):
            late.go_to(app)
            # The cookie from before the login: the browser has a newer one, which stays.
            assert late.get("/me").headers["Set-Cookie"] is None
            assert late.post("/set", lost=1).status == 409
    elsewhere = browse(accepting)
    elsewhere.post("/login", user="ann")
    twins = [browser.twin() for browser in (ann, bob)]
    bob.post("/logout")
    with using.app_context():
        assert using.extensions["unsticky"].revoke_all("ann") == 2
    for browser in (*twins, elsewhere):
        for app in (accepting, using):
            browser.go_to(app)
            assert browser.get("/me").json()["user"] is None
