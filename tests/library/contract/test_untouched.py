"""Readers write nothing, and who does not look at the session is not troubled by it."""

from typing import Any

import pytest
from flask import Response
from unsticky import session as flask_session

from tests.support.browsers import Browser, Site, make_site, reference_of
from tests.support.stores.places import AtServer, Place


def cookie_headers(response: Any) -> tuple[list[str], list[str], str | None]:
    """Return Set-Cookie, Vary and Cache-Control."""
    headers = response.headers
    return headers.getlist("Set-Cookie"), headers.getlist("Vary"), headers.get("Cache-Control")


def visit(site: Site, browser: Browser, view: Any) -> Any:
    """Answer a GET by `view`."""
    site.app.add_url_rule("/view", view_func=view, endpoint="view")
    client = browser.client()
    return client.get("/view")


@pytest.mark.parametrize("stored", [True, False], ids=["with a session", "without"])
def test_an_untouched_session_leaves_no_trace(site: Site, *, stored: bool) -> None:
    """Neither Set-Cookie nor Vary nor Cache-Control, and no call of the store."""
    browser = site.browser(**({"a": 1} if stored else {}))
    reads = site.sessions.counters.reads
    response = visit(site, browser, lambda: "page")
    assert cookie_headers(response) == ([], [], None)
    assert site.sessions.counters.reads == reads


def test_flask_login_does_not_touch_it(server_place: AtServer) -> None:
    """Flask-Login looks for `_remember` on every response: that look costs and says nothing."""
    flask_login = pytest.importorskip("flask_login")
    site = make_site(server_place)
    flask_login.LoginManager(site.app).user_loader(lambda _: None)
    browser = site.browser(a=1)
    before = server_place.server.calls()
    assert cookie_headers(visit(site, browser, lambda: "page")) == ([], [], None)
    assert server_place.server.calls() == before


def test_reading_without_a_cookie_only_varies(site: Site) -> None:
    """There is nothing to read: no call, no cookie; the answer depends on the cookie, though."""
    response = visit(site, site.browser(), lambda: str(flask_session.get("a")))
    assert cookie_headers(response) == ([], ["Cookie"], None)
    assert site.sessions.counters.reads == 0


def test_reading_a_session_keeps_shared_caches_away(site: Site) -> None:
    """The answer varies by cookie and is private; no cookie is sent."""
    response = visit(site, site.browser(a=1), lambda: str(flask_session.get("a")))
    assert cookie_headers(response) == ([], ["Cookie"], "private")


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("no-store", "no-store"),
        ("private, max-age=5", "private, max-age=5"),
        ("public, max-age=60", "max-age=60, private"),
        ("max-age=60", "max-age=60, private"),
    ],
)
def test_the_applications_own_cache_control_is_narrowed(site: Site, given: str, made: str) -> None:
    """What the view said stays as far as it keeps shared caches away."""

    def view() -> Response:
        flask_session.get("a")
        return Response("page", headers={"Cache-Control": given})

    response = visit(site, site.browser(a=1), view)
    directives = {part.strip() for part in response.headers["Cache-Control"].split(",")}
    assert directives == {part.strip() for part in made.split(",")}


@pytest.mark.parametrize("vary", ["Accept-Encoding", "X-Cookie-Consent", "Accept, Cookie", "*"])
def test_vary_names_the_cookie_whatever_else_it_names(site: Site, vary: str) -> None:
    """The cookie is among what the answer varies by, once."""

    def view() -> Response:
        flask_session.get("a")
        return Response("page", headers={"Vary": vary})

    response = visit(site, site.browser(a=1), view)
    named = [part.strip() for part in ",".join(response.headers.getlist("Vary")).split(",")]
    assert named.count("Cookie") == 1 or named == ["*"]


def test_setting_an_id_is_never_stored_by_a_cache(site: Site) -> None:
    """The answer that sends a cookie says no-store, whatever the view said."""

    def view() -> Response:
        flask_session["a"] = 1
        return Response("page", headers={"Cache-Control": "public, max-age=60"})

    cookies, vary, control = cookie_headers(visit(site, site.browser(), view))
    assert len(cookies) == 1
    assert (vary, control) == (["Cookie"], "no-store")


def test_permanent_alone_stores_nothing(site: Site) -> None:
    """Saying how long a session would live does not make one."""

    def view() -> str:
        flask_session.permanent = True
        return "page"

    assert visit(site, site.browser(), view).headers.getlist("Set-Cookie") == []
    assert site.sessions.counters.created == 0


def test_a_reader_writes_no_data(server_place: AtServer) -> None:
    """Reading changes nothing but `seen` and the expiry, and within a step not even these."""
    site = make_site(server_place)
    browser = site.browser(a=[1], b={"x": 1})
    where = reference_of(browser.begin().session)
    raw, key = server_place.server.raw, server_place.key(where)
    first = raw.hgetall(key)
    site.stored(browser)
    second = raw.hgetall(key)
    assert {k: v for k, v in second.items() if k != b"\0s"} == first
    site.stored(browser)
    assert raw.hgetall(key) == second


def test_the_cookie_of_a_permanent_session_is_sent_when_the_store_slid_it(site: Site) -> None:
    """It is renewed exactly then, with the idle limit as its age, and not within the same step."""
    browser = site.browser()
    request = browser.begin()
    request.session.permanent = True
    request.session["a"] = 1
    assert "Max-Age=2678400" in request.end().headers["Set-Cookie"]
    for expected in (True, False):
        request = browser.begin()
        request.session.get("a")
        answer = request.end()
        assert (answer.cookie is not None) == expected
    if answer.cookie is not None:
        assert "Max-Age=2678400" in answer.headers["Set-Cookie"]


def test_without_refresh_the_cookie_is_sent_once(place: Place) -> None:
    """SESSION_REFRESH_EACH_REQUEST off: the cookie of a permanent session is not renewed."""
    site = make_site(place, SESSION_REFRESH_EACH_REQUEST=False)
    browser = site.browser()
    request = browser.begin()
    request.session.permanent = True
    request.session["a"] = 1
    assert request.end().cookie
    request = browser.begin()
    request.session.get("a")
    assert request.end().cookie is None


def test_a_session_of_the_browser_is_not_renewed(site: Site) -> None:
    """A session that is not permanent has a cookie without an age, sent once."""
    browser = site.browser()
    request = browser.begin()
    request.session["a"] = 1
    line = request.end().headers["Set-Cookie"]
    assert "Max-Age" not in line
    assert "Expires" not in line
    request = browser.begin()
    request.session.get("a")
    assert request.end().cookie is None
