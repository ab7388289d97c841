"""Corners that reviews and fuzzing found, each held where it is now."""

from typing import Any

import pytest
from unsticky import SessionError, SessionGone, transaction
from unsticky import session as flask_session
from unsticky.fields import entry_field, map_prefix, plain_field
from unsticky.stores.base import Move, Written

from tests.support.browsers import Browser, Site, make_site, reference_of
from tests.support.stores.places import LimitedStore, Place, operation, reference


def permanent(site: Site) -> Browser:
    """Return a browser with a permanent session."""
    browser = site.browser()
    request = browser.begin()
    request.session.permanent = True
    request.session["a"] = 1
    assert request.end().cookie
    return browser


def test_a_gone_session_s_cookie_is_not_renewed(site: Site) -> None:
    """A slid the session and was then told that it is gone: the browser's newer cookie stays."""
    browser = permanent(site)
    request = Browser(site.app, browser.cookie).begin()
    request.session.get("a")
    request.session["a"] = 2
    other = browser.begin()
    other.session.rotate()
    assert other.end().cookie
    answer = request.end()
    assert (answer.code, answer.cookie) == ("session-gone", None)


@pytest.mark.parametrize("use", ["rotate", "bind", "write then bind"])
def test_a_permanent_session_stays_permanent_when_it_moves(place: Place, use: str) -> None:
    """The new cookie has an age, although the view did not read the session."""
    browser = permanent(make_site(place))
    request = browser.begin()
    if use == "write then bind":
        request.session["b"] = 2
    if use == "rotate":
        request.session.rotate()
    else:
        request.session.bind("user")
    assert "Max-Age=2678400" in request.end().headers["Set-Cookie"]


@pytest.mark.parametrize("use", ["incr", "write"])
def test_a_slide_without_a_read_renews_the_cookie(place: Place, use: str) -> None:
    """The cookie is sent again when the store slid a permanent session, whatever slid it."""
    browser = permanent(make_site(place))
    request = browser.begin()
    if use == "incr":
        request.session.incr("n")
    else:
        request.session["b"] = 2
    assert "Max-Age=2678400" in request.end().headers["Set-Cookie"]


def test_a_resent_move_never_answers_for_another_successor(store: LimitedStore) -> None:
    """The same request sent again mints another id: nothing is said to live where nothing is."""
    where = reference()
    store.write(where, (), create=True)
    name, first, second = operation(), reference(), reference()
    store.apply(where, (), name, finish=Move(first))
    assert not isinstance(store.write(where, (), name, finish=Move(second)), Written)


def test_taking_includes_what_was_changed_in_place(site: Site) -> None:
    """What the view made of an entry is what it takes."""
    browser = site.browser(keep=1)
    with browser.visit() as session:
        session.map("cart")["list"] = [1]
    request = browser.begin()
    cart = request.session.map("cart")
    cart["list"].append(2)
    assert cart.take() == {"list": [1, 2]}
    assert request.end().status == 200
    assert site.stored(browser) == {"keep": 1}


def test_taking_an_unreadable_entry_sets_the_session_aside(place: Place) -> None:
    """Planted bytes among the entries are quarantined, not a fault that removed the others."""
    site = make_site(place)
    browser = site.browser(keep=1)
    request = browser.begin()
    request.session.map("cart").update({"tea": 1, "milk": 2})
    where = reference_of(request.session)
    request.end()
    place.plant(where, entry_field(map_prefix("cart"), "tea"), b"\xc1")
    request = browser.begin()
    with pytest.raises(SessionGone, match="corrupt"):
        request.session.map("cart").take()


def test_an_unreadable_field_met_in_a_merge_is_set_aside(place: Place) -> None:
    """Of several contested fields it is the unreadable one whose session is quarantined."""
    site = make_site(place)
    browser = site.browser(a={"x": 1}, b={"x": 1})
    request = browser.begin()
    request.session["a"]["x"] = 2
    request.session["b"]["y"] = 2
    where = reference_of(request.session)
    with Browser(site.app, browser.cookie).visit() as other:
        other["a"]["z"] = 1
    place.plant(where, plain_field("b"), b"\xc1")
    answer = request.end()
    assert (answer.code, site.sessions.counters.quarantined) == ("session-gone", 1)


def test_permanence_set_after_the_response_is_refused(place: Place) -> None:
    """Like every other change that comes too late."""
    browser = permanent(make_site(place))
    request = browser.begin()
    request.session.get("a")
    request.end()
    with pytest.raises(SessionError):
        request.session.permanent = False


def test_a_transaction_within_a_transaction_is_one(site: Site) -> None:
    """A view that calls another one's function: nothing is committed before the outer one ends."""
    browser = site.browser(keep=1)
    client = browser.client()

    @transaction()
    def inner() -> str:
        flask_session["inner"] = 1
        return ""

    @site.app.post("/")
    @transaction()
    def outer() -> str:
        flask_session["outer"] = 1
        inner()
        seen: Any = site.stored(browser)
        assert seen == {"keep": 1}
        flask_session.incr("n")
        return ""

    response = client.post("/")
    assert response.status_code == 200
    assert site.stored(browser) == {"keep": 1, "outer": 1, "inner": 1, "n": 1}


def test_an_ended_session_stays_ended_under_its_own_name(site: Site) -> None:
    """Told once how the session ended, the request is told the same again, and may log out."""
    browser = site.browser(n=1)
    request = browser.begin()
    request.session.get("n")
    where = reference_of(request.session)
    site.sessions.revoke(where.handle)
    for _ in range(2):
        with pytest.raises(SessionGone, match="revoked"):
            request.session.incr("n")
    request.session.destroy()
    assert request.end().cookie is None
