"""Requirements 8, 11 and 12: the cookie's attributes, and who may keep the answer."""

from http.cookies import Morsel, SimpleCookie
from typing import Any

import pytest
from unsticky import ConfigurationError

from tests.support.http.wire import Answer

from .conftest import NewApp
from .test_identifiers import Browse
from .tls import OverTls, _over_tls  # noqa: F401 (a fixture: pytest finds it by its name here)

_HOST = {"SESSION_COOKIE_NAME": "__Host-sid", "SESSION_COOKIE_SECURE": True}


def _morsel(answer: Answer, name: str = "__Host-sid") -> "Morsel[str]":
    (line,) = answer.headers.get_all("Set-Cookie", [])
    return SimpleCookie(line)[name]


def _expect_host_cookie(answer: Answer) -> None:
    morsel = _morsel(answer)
    assert morsel["secure"] is True
    assert morsel["httponly"] is True
    assert morsel["samesite"] == "Lax"
    assert morsel["path"] == "/"
    assert not morsel["domain"]


def test_08_attributes_are_the_same_on_set_refresh_and_delete(
    new_app: NewApp, store: str, browse: Browse
) -> None:
    """Secure, HttpOnly, SameSite, Path=/ and no Domain, whenever the cookie is spoken of."""
    app = new_app(store, **_HOST)
    browser = browse(app)
    made = browser.post("/set", theme="dark", permanent=True)
    refreshed = browser.get("/me")  # the first use slides a permanent session
    moved = browser.post("/rotate")
    bound = browser.post("/login", user="ann")
    deleted = browser.post("/logout")
    for answer in (made, refreshed, moved, bound, deleted):
        _expect_host_cookie(answer)
    assert _morsel(refreshed)["max-age"]
    assert _morsel(deleted).value == ""
    assert _morsel(deleted)["max-age"] == "0"
    assert browser.cookie is None


@pytest.mark.parametrize(
    "config",
    [
        {"SESSION_COOKIE_NAME": "__Host-sid"},
        {**_HOST, "SESSION_COOKIE_DOMAIN": "example.org"},
        {**_HOST, "SESSION_COOKIE_PATH": "/shop"},
        {**_HOST, "APPLICATION_ROOT": "/shop"},
        {"SESSION_COOKIE_NAME": "__host-sid"},
        {"SESSION_COOKIE_NAME": "__Secure-sid"},
        {"SESSION_COOKIE_NAME": "__SECURE-sid"},
        {"SESSION_COOKIE_SAMESITE": "None"},
        {"SESSION_COOKIE_PARTITIONED": True},
        {"SESSION_COOKIE_SAMESITE": "sometimes"},
        {**_HOST, "SESSION_COOKIE_PATH": "/;Domain=example.org"},
    ],
)
def test_08_a_contradictory_configuration_refuses_to_start(
    new_app: NewApp, store: str, config: dict[str, Any]
) -> None:
    """What browsers would drop is refused when the application is made (RFC 6265bis 4.1.3)."""
    with pytest.raises(ConfigurationError, match="SESSION_COOKIE_"):
        new_app(store, **config)


def test_08_attributes_seen_through_nginx_and_tls(
    new_app: NewApp, store: str, over_tls: OverTls
) -> None:
    """The same attributes arrive at a browser behind nginx over TLS."""
    browser = over_tls(new_app(store, **_HOST))
    answers = [
        browser.post("/set", theme="dark", permanent=True),
        browser.get("/me"),
        browser.post("/rotate"),
        browser.post("/login", user="ann"),
        browser.post("/logout"),
    ]
    for answer in answers:
        _expect_host_cookie(answer)
        assert answer.headers["Strict-Transport-Security"]
    assert _morsel(answers[-1]).value == ""
    assert browser.cookie is None


def test_11_answers_that_set_an_id_are_stored_by_nobody(
    new_app: NewApp, store: str, browse: Browse
) -> None:
    """Whatever sets or deletes an id says no-store, and names Cookie in Vary."""
    browser = browse(new_app(store))
    made = browser.post("/set", theme="dark", permanent=True)
    refreshed = browser.get("/me")
    moved = browser.post("/rotate")
    bound = browser.post("/login", user="ann")
    deleted = browser.post("/logout")
    for answer in (made, refreshed, moved, bound, deleted):
        assert answer.headers["Set-Cookie"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Vary"] == "Cookie"


def test_11_answers_that_read_a_session_are_private(
    new_app: NewApp, store: str, browse: Browse
) -> None:
    """Whatever a session went into says private, and names Cookie in Vary."""
    browser = browse(new_app(store))
    browser.post("/set", theme="dark")
    answer = browser.get("/me")
    assert answer.headers["Set-Cookie"] is None
    assert answer.headers["Cache-Control"] == "private"
    assert answer.headers["Vary"] == "Cookie"


def test_11_a_session_read_without_a_cookie_is_not_shared(
    new_app: NewApp, store: str, browse: Browse
) -> None:
    """The page for those without a session is cached apart from the pages of those with one."""
    answer = browse(new_app(store)).get("/me")
    assert answer.headers["Vary"] == "Cookie"
    assert answer.headers["Set-Cookie"] is None


@pytest.mark.parametrize("known", [False, True])
def test_11_an_untouched_page_stays_cacheable(
    new_app: NewApp, store: str, browse: Browse, *, known: bool
) -> None:
    """A page that never looks at the session has neither Set-Cookie nor Vary, cookie or not."""
    browser = browse(new_app(store))
    if known:
        browser.post("/set", theme="dark")
    answer = browser.get("/untouched")
    for header in ("Set-Cookie", "Vary", "Cache-Control"):
        assert answer.headers[header] is None


def test_11_a_public_answer_is_made_private(new_app: NewApp, store: str, browse: Browse) -> None:
    """A view that says public and yet reads the session is overruled."""
    app = new_app(store)

    @app.get("/public")
    def public() -> tuple[str, dict[str, str]]:
        from flask import session

        return str(session.get("theme")), {"Cache-Control": "public, max-age=3600"}

    browser = browse(app)
    browser.post("/set", theme="dark")
    control = browser.get("/public").headers["Cache-Control"]
    assert "private" in control
    assert "public" not in control


def test_12_logout_clears_what_the_browser_stored(
    new_app: NewApp, store: str, browse: Browse
) -> None:
    """A logout, and nothing else, says Clear-Site-Data: "cache", "storage", never "cookies"."""
    client = browse(new_app(store, UNSTICKY_CLEAR_SITE_DATA=True))
    others = [client.post("/login", user="ann"), client.post("/set", x=1), client.get("/me")]
    logout = client.post("/logout")
    assert logout.headers["Clear-Site-Data"] == '"cache", "storage"'
    others += [client.post("/logout"), client.get("/me")]
    assert [answer.headers.get("Clear-Site-Data") for answer in others] == [None] * 5


def test_12_a_logout_that_failed_clears_nothing(new_app: NewApp, browse: Browse) -> None:
    """Where the store could not be asked the browser keeps its pages and its cookie."""
    client = browse(new_app("redis://127.0.0.1:1/0", UNSTICKY_CLEAR_SITE_DATA=True))
    signed = browse(new_app("memory://"))
    signed.post("/login", user="ann")
    client.cookie = signed.cookie
    logout = client.post("/logout")
    assert logout.status == 503
    assert (logout.headers.get("Clear-Site-Data"), logout.headers.get("Set-Cookie")) == (None, None)
