"""Sessions that a request emptied: requests in flight begin them again, and nothing else does."""

from collections.abc import Callable
from operator import methodcaller
from typing import Any

import pytest
from unsticky import Conflict, Session
from unsticky.unit_of_work import commit

from tests.support.browsers import Browser, InFlight, Site, make_site, transacting, unit_of
from tests.support.stores.places import Place

Act = Callable[[Session], object]


_rotate, _clear = methodcaller("rotate"), methodcaller("clear")
_bind, _unbind = methodcaller("bind", "7"), methodcaller("unbind", "lang")


def _begin(site: Site, cookie: str | None, count: int) -> list[InFlight]:
    return [Browser(site.app, cookie).begin() for _ in range(count)]


def _emptied(site: Site, cookie: str | None) -> InFlight:
    """Return a request that has emptied its session, which held `a`, and goes on."""
    request = Browser(site.app, cookie).begin()
    request.session.pop("a")
    commit(unit_of(request.session))
    return request


def _found_emptied(site: Site, cookie: str | None) -> InFlight:
    """Return a request that looked at its session after another one had emptied it."""
    _emptied(site, cookie).end()
    request = Browser(site.app, cookie).begin()
    assert request.session.get("a") is None
    return request


Met = tuple[str | None, InFlight, InFlight]


@pytest.fixture(name="met", params=[_emptied, _found_emptied])
def _met(site: Site, request: pytest.FixtureRequest) -> Met:
    """Return an old cookie, a request in flight with it, and one that met it as emptied."""
    old = site.browser(a=1).cookie
    (late,) = _begin(site, old, 1)
    return old, late, request.param(site, old)


def test_all_who_begin_it_again_begin_the_same(site: Site, met: Met) -> None:
    """Also if another request was first: both changes are there, where both cookies lead."""
    _, late, request = met
    late.session.map("cart")["p5"] = "p5"
    assert late.end().status == 200
    request.session.map("cart")["p4"] = "p4"
    assert request.end().status == 200
    for browser in (late.browser, request.browser):
        assert site.stored(browser) == {"cart": {"p4": "p4", "p5": "p5"}}


@pytest.mark.parametrize("act", [_rotate, _bind])
def test_what_was_begun_again_and_moved_is_gone(site: Site, met: Met, act: Act) -> None:
    """A request that knew it as emptied is refused, and leaves the cookie of the new id alone."""
    _, late, request = met
    late.session["b"] = 2
    commit(unit_of(late.session))
    act(late.session)
    late.end()
    request.session["c"] = 3
    answer = request.end()
    assert (answer.status, answer.code, answer.cookie) == (409, "session-gone", None)
    assert site.stored(late.browser) == {"b": 2}


def test_after_what_was_begun_again_has_ended_a_new_one_begins(site: Site, met: Met) -> None:
    """As after any session that ended before a request saw it."""
    old, late, request = met
    late.session["b"] = 2
    commit(unit_of(late.session))
    late.session.clear()
    late.end()
    request.session["c"] = 3
    assert request.end().status == 200
    assert site.stored(request.browser) == {"c": 3}
    assert site.stored(Browser(site.app, old)) is None


def test_a_login_there_is_no_session_beside_others(site: Site, met: Met) -> None:
    """Requests in flight begin none under the old id, whose cookie would replace the login's."""
    _, late, request = met
    request.session.bind("7")
    assert request.end().cookie
    late.session["b"] = 2
    answer = late.end()
    assert (answer.status, answer.cookie) == (409, None)
    assert Browser(site.app, request.browser.cookie).begin().session.user == "7"


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("act", [_rotate, _unbind, _clear])
def test_an_emptied_id_is_given_up_like_any_other(
    site: Site, act: Act, *, looks: bool, in_transaction: bool
) -> None:
    """A login by hand gives a new id: who planted the cookie, and emptied it, is not logged in."""
    planted = site.browser(a=1).cookie
    _emptied(site, planted).end()
    request = Browser(site.app, planted).begin()
    if looks:
        assert request.session.get("user_id") is None
    unit = unit_of(request.session)
    if in_transaction:
        unit.begin_transaction()
    act(request.session)
    request.session["user_id"] = 7
    if in_transaction:
        commit(unit)
        unit.end_transaction()
    assert request.end().status == 200
    assert site.stored(request.browser) == {"user_id": 7}
    assert site.stored(Browser(site.app, planted)) is None


@pytest.mark.parametrize("act", [_rotate, _unbind, _clear, _bind])
def test_what_gives_up_the_id_meets_who_began_it_again(site: Site, met: Met, act: Act) -> None:
    """The old id is dead then, and what was in the session is where it went, or ended with it."""
    old, late, request = met
    late.session["b"] = 2
    late.end()
    act(request.session)
    assert request.end().status == 200
    assert site.stored(Browser(site.app, old)) is None
    assert site.stored(request.browser) == (None if act is _clear else {"b": 2})


def _takes(session: Session) -> dict[str, Any]:
    return session.map("cart").take()


def _pops(session: Session) -> Any:
    return session.map("cart").pop("tea")


def _takes_and_begins_again(session: Session) -> Any:
    taken = session.map("cart").take()
    session.clear()
    session["ordered"] = taken
    return taken


@pytest.mark.parametrize("act", [_takes, _pops, _takes_and_begins_again])
def test_one_of_two_transactions_gets_the_last_thing(site: Site, act: Act) -> None:
    """What a transaction read is compared, also where the other one emptied the session."""
    browser = Browser(site.app)
    with browser.visit() as first:
        first.map("cart")["tea"] = 1
    one, other = _begin(site, browser.cookie, 2)
    unit = unit_of(one.session)
    unit.begin_transaction()
    assert act(one.session)
    other.session.map("cart").take()
    other.end()
    with pytest.raises(Conflict):
        commit(unit)
    unit.roll_back()
    unit.end_transaction()
    assert one.end().status == 200
    assert site.stored(Browser(site.app, browser.cookie)) is None


def test_what_was_changed_from_what_is_gone_conflicts(site: Site) -> None:
    """A request that read a value does not begin the session again with what it made of it."""
    old = site.browser(a=1).cookie
    request, other = _begin(site, old, 2)
    request.session["a"] += 1
    other.session.pop("a")
    assert other.end().status == 200
    assert request.end().status == 409
    assert site.stored(Browser(site.app, old)) is None


def test_two_requests_may_remove_the_last_thing(site: Site) -> None:
    """Outside of transactions: what both deleted is no conflict."""
    requests = _begin(site, site.browser(a=1).cookie, 2)
    for request in requests:
        request.session.pop("a")
    assert [request.end().status for request in requests] == [200, 200]


def _named(site: Site, cookie: str | None, name: str) -> InFlight:
    """Return a request that a proxy names, and may send again."""
    headers = {"X-Request-ID": name, "Cookie": f"session={cookie}"}
    sent = site.app.test_request_context("/", method="POST", headers=headers).request
    opened: Any = site.app.session_interface.open_session(site.app, sent)
    return InFlight(Browser(site.app, cookie), opened)


def test_what_began_it_again_is_not_done_twice(place: Place) -> None:
    """A request that began it again and is sent once more finds its operation made."""
    site = make_site(place, UNSTICKY_REQUEST_ID_HEADER="X-Request-ID")
    old = site.browser(a=1).cookie
    _emptied(site, old).end()
    for _ in range(2):
        request = _named(site, old, "r1")
        assert request.session.incr("n", 2) == 2
        request.end()
    assert site.stored(Browser(site.app, old)) == {"n": 2}


def test_who_emptied_it_and_is_sent_again_does_nothing_twice(place: Place) -> None:
    """What it added and took is not added again; what another request put there stays."""
    # Without an absolute limit: a session that begins in a later second would renew the cookie.
    site = make_site(
        place, UNSTICKY_REQUEST_ID_HEADER="X-Request-ID", UNSTICKY_ABSOLUTE_LIFETIME=None
    )
    first = Browser(site.app).begin()
    first.session.map("cart")["tea"] = 1
    first.end()
    old = first.browser.cookie
    (late,) = _begin(site, old, 1)
    for again in range(2):
        request = _named(site, old, "r1")
        assert request.session.map("cart").incr("tea") == 2
        assert request.session.map("cart").take() == {"tea": 2}
        assert request.end().status == 200
        assert site.stored(Browser(site.app, old)) is None, again
    late.session["b"] = 2
    late.end()
    request = _named(site, old, "r1")
    assert request.session.map("cart").incr("tea") == 2
    assert request.session.map("cart").take() == {"tea": 2}
    assert request.end().cookie is None
    assert site.stored(Browser(site.app, old)) == {"b": 2}


def test_a_transaction_sees_who_began_it_again(site: Site) -> None:
    """After a conflict it runs on fresh state, and does not conflict for ever."""
    old = site.browser(a=1).cookie
    (late,) = _begin(site, old, 1)
    request = _emptied(site, old)
    late.session["n"] = 5
    late.end()
    with transacting(request.session):
        request.session["n"] = request.session["n"] + 1
    answer = request.end()
    assert answer.cookie
    assert site.stored(request.browser) == {"n": 6}


def test_a_request_that_takes_it_up_again_leaves_the_cookie(place: Place) -> None:
    """Whether another request began the session again is not known, so no cookie is deleted."""
    site = make_site(place, UNSTICKY_ABSOLUTE_LIFETIME=None)
    old = site.browser(a=1).cookie
    (late,) = _begin(site, old, 1)
    request = _emptied(site, old)
    unit = unit_of(request.session)
    unit.begin_transaction()
    request.session.clear()
    late.session["b"] = 2
    assert late.end().cookie
    unit.roll_back()
    unit.end_transaction()
    assert request.end().cookie is None
    assert site.stored(Browser(site.app, old)) == {"b": 2}
