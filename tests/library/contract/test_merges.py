"""Two requests that changed the same: what is merged, what conflicts, what runs again."""

import logging
import uuid
from typing import Any

import pytest
from flask import Response, flash, get_flashed_messages
from unsticky import ABSENT
from unsticky import session as flask_session
from unsticky.limits import MOST_FLASHES

from tests.support.browsers import Answer, Browser, Site, cookie_of, make_site
from tests.support.stores.places import Place


def race(site: Site, browser: Browser, mine: dict[str, Any], theirs: dict[str, Any]) -> Answer:
    """Load, let another request write `theirs`, then write `mine`; ABSENT deletes."""
    request = browser.begin()
    dict(request.session)
    other = Browser(site.app, browser.cookie).begin()
    for session, changes in ((other.session, theirs), (request.session, mine)):
        for name, value in changes.items():
            session.get(name)
            if value is ABSENT:
                session.pop(name, None)
            else:
                session[name] = value
    assert other.end().status == 200
    return request.end()


ID = uuid.UUID(int=1)


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}),
        ({"a": 1}, {"a": 1, "x": 1}, {"a": 1, "y": 1}, {"a": 1, "x": 1, "y": 1}),
        ({"a": 1, "b": 1}, {"b": 1}, {"a": 1, "b": 2}, {"b": 2}),
        ({"d": {"a": 1, "b": 1}}, {"d": {"a": 2, "b": 1}}, {"d": {"a": 1}}, {"d": {"a": 2}}),
        ({"a": 1, "b": 1}, {"b": 1}, {"b": 1}, {"b": 1}),
        ({"a": "x"}, {"a": "y"}, {"a": "y"}, {"a": "y"}),
        ({"a": "x"}, {"a": ID}, {"a": ID}, {"a": ID}),
        ("x", "y", "y", "y"),
        (True, False, False, False),
        ("x", None, None, None),
    ],
)
def test_what_merges(site: Site, base: Any, mine: Any, theirs: Any, merged: Any) -> None:
    """Dicts leaf by leaf, deletions on both sides, and equal values that nothing was added to."""
    browser = site.browser(field=base)
    answer = race(site, browser, {"field": mine}, {"field": theirs})
    assert (answer.status, answer.code) == (200, "")
    assert site.stored(browser) == {"field": merged}


@pytest.mark.parametrize(
    ("base", "mine", "theirs"),
    [
        (1, 2, 3),
        (1, 2, 2),
        (1.0, 2.0, 2.0),
        ([1], [1, 2], [1, 3]),
        ([1], [1, 2], [1, 2]),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"b": 1}),
        ({"a": 1, "b": 1}, {"b": 1}, {"a": 2, "b": 1}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 3]}),
        ("x", "y", "z"),
        ("x", ABSENT, "z"),
        ("x", "z", ABSENT),
        ({"a": 1}, {"a": 1, "b": 1}, ABSENT),
    ],
)
def test_what_conflicts(site: Site, base: Any, mine: Any, theirs: Any) -> None:
    """A true conflict is answered with 409, and no field at all was written."""
    browser = site.browser(field=base, keep=1)
    answer = race(site, browser, {"field": mine, "another": 1}, {"field": theirs})
    assert (answer.status, answer.code) == (409, "session-conflict")
    assert "field" in answer.detail
    expected = {"field": theirs, "keep": 1} if theirs is not ABSENT else {"keep": 1}
    assert site.stored(browser) == expected


def test_the_first_of_two_new_values_stays(site: Site) -> None:
    """A token that neither tab had and both made is one token, the first; nothing conflicts."""
    browser = site.browser(keep=1)
    answer = race(site, browser, {"csrf_token": "mine"}, {"csrf_token": "theirs"})
    assert answer.status == 200
    assert site.stored(browser) == {"keep": 1, "csrf_token": "theirs"}


@pytest.mark.parametrize("name", ["_fresh", "_permanent", "_id", "_remember"])
def test_what_extensions_set_by_themselves_never_conflicts(site: Site, name: str) -> None:
    """Of two values for a field that Flask or Flask-Login writes, the last one wins."""
    browser = site.browser(**{name: "base"})
    assert race(site, browser, {name: "mine"}, {name: "theirs"}).status == 200
    assert site.stored(browser) == {name: "mine"}


def test_flashed_messages_of_two_requests_all_stay(site: Site) -> None:
    """What both flash is there, what one showed is gone."""
    browser = site.browser(_flashes=[("message", "old")])
    mine, theirs = [("message", "mine")], [("message", "old"), ("message", "theirs")]
    assert race(site, browser, {"_flashes": mine}, {"_flashes": theirs}).status == 200
    assert site.stored(browser) == {"_flashes": [("message", "theirs"), ("message", "mine")]}


def test_only_the_newest_flashes_stay(site: Site) -> None:
    """A client that never looks at a page does not fill its session with messages."""

    @site.app.post("/flash/<int:number>")
    def flash_it(number: int) -> str:
        flash(str(number))
        return ""

    @site.app.get("/shown")
    def shown() -> list[Any]:
        return [*get_flashed_messages()]

    client = site.app.test_client()
    for number in range(MOST_FLASHES + 5):
        client.post(f"/flash/{number}")
    assert client.get("/shown").json == [str(n) for n in range(5, MOST_FLASHES + 5)]


def test_merged_flashes_have_the_same_limit(site: Site) -> None:
    """What two requests flash at once is merged to the newest messages."""
    many = [("message", str(number)) for number in range(MOST_FLASHES)]
    browser = site.browser(_flashes=many)
    mine, theirs = [*many, ("message", "mine")], [*many[1:], ("message", "theirs")]
    assert race(site, browser, {"_flashes": mine}, {"_flashes": theirs}).status == 200
    kept = [*many[2:], ("message", "theirs"), ("message", "mine")]
    assert site.stored(browser) == {"_flashes": kept}


def test_flask_s_own_flashes_survive_each_other(site: Site) -> None:
    """`flash` in a request that another one's `flash` crosses loses neither message."""
    client = site.app.test_client()

    @site.app.post("/outer")
    def outer() -> str:
        flash("outer")
        cookies = {"Cookie": f"session={client.get_cookie('session').value}"}  # type: ignore[union-attr]
        site.app.test_client(use_cookies=False).post("/inner", headers=cookies)
        return ""

    @site.app.post("/inner")
    def inner() -> str:
        flash("inner")
        return ""

    @site.app.get("/show")
    def show() -> list[Any]:
        return list(get_flashed_messages())

    client.post("/inner")
    client.post("/outer")
    assert client.get("/show").json == ["inner", "inner", "outer"]
    assert client.get("/show").json == []


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("last", [2]),
        ("first", [3]),
        ("append", [3, 2]),
        (lambda base, mine, theirs: [*base, *mine, *theirs], [1, 2, 3]),
        (lambda *_: ABSENT, None),
    ],
)
def test_a_rule_of_the_applications_own(place: Place, rule: Any, kept: Any) -> None:
    """`UNSTICKY_MERGE` settles a field that would conflict; a rule may also delete it."""
    site = make_site(place, UNSTICKY_MERGE={"field": rule})
    browser = site.browser(field=[1], keep=1)
    assert race(site, browser, {"field": [2]}, {"field": [3]}).status == 200
    stored = site.stored(browser)
    assert stored is not None
    assert stored.get("field") == kept


def test_overwriting_is_counted_and_named(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """With `UNSTICKY_CONFLICT="overwrite"` the last one wins, and log and counters say so."""
    site = make_site(place, UNSTICKY_CONFLICT="overwrite")
    browser = site.browser(field=1)
    with caplog.at_level(logging.WARNING, "unsticky"):
        assert race(site, browser, {"field": 2}, {"field": 3}).status == 200
    assert site.stored(browser) == {"field": 2}
    assert site.sessions.counters.overwritten == 1
    assert "field" in caplog.text


def test_conflicts_are_counted_by_view_and_field(place: Place) -> None:
    """Each contested field counts once for its view; an entry's key, perhaps personal, does not."""
    site = make_site(place)
    browser = site.browser(field=1, other=1)
    assert race(site, browser, {"field": 2, "other": 2}, {"field": 3, "other": 3}).status == 409
    assert race(site, browser, {"field": 4}, {"field": 5}).status == 409
    counted = site.sessions.state.conflicts
    assert {field: number for (_view, field), number in counted.items()} == {
        "field": 2,
        "other": 1,
    }
    assert site.sessions.counters.conflicts == 2


def test_a_blind_write_is_the_last_word(site: Site) -> None:
    """A field set by a request that read nothing is not compared: the last one stands."""
    browser = site.browser(field=1)
    request = browser.begin()
    request.session["field"] = 2
    race(site, browser, {"field": 3}, {})
    assert request.end().status == 200
    assert site.stored(browser) == {"field": 2}


def test_merging_gives_up_after_five_rounds(site: Site) -> None:
    """A field that others change in every round is answered with a conflict, not for ever."""
    browser = site.browser(field={"a": 0})
    store = site.sessions.state.store
    write, rounds = store.write, []

    def contested(*args: Any, **kwargs: Any) -> Any:
        rounds.append(1)
        if len(rounds) % 2:  # each commit of the request is preceded by another's
            with Browser(site.app, browser.cookie).visit() as other:
                other["field"][f"b{len(rounds)}"] = 1
        return write(*args, **kwargs)

    request = browser.begin()
    request.session["field"]["a"] = 1
    store.write = contested  # type: ignore[method-assign]
    answer = request.end()
    store.write = write  # type: ignore[method-assign]
    assert (answer.status, answer.code) == (409, "session-conflict")
    assert len(rounds) == 12
    stored = site.stored(browser)
    assert stored is not None
    assert stored["field"]["a"] == 0


class _Interrupted:
    """A site whose view is interrupted by another request of the same browser, some times."""

    def __init__(self, place: Place, times: int) -> None:
        self.site = make_site(place)
        self.browser = self.site.browser(field=0, seen=0)
        self.client = self.site.app.test_client()
        assert self.browser.cookie
        self.client.set_cookie("session", self.browser.cookie)
        self.times = times
        self.runs = 0

    def interrupt(self) -> None:
        """Let another request change the field."""
        self.runs += 1
        if self.runs <= self.times:
            other = Browser(self.site.app, self.browser.cookie).begin()
            other.session["field"] += 10
            other.end()


@pytest.mark.parametrize(("times", "status"), [(0, 200), (1, 200), (3, 200), (4, 409)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_get_that_conflicts_runs_again(
    place: Place, method: str, times: int, status: int
) -> None:
    """Up to three times more, on fresh state, and its atomic operations count once."""
    world = _Interrupted(place, times)

    @world.site.app.get("/")
    def view() -> Response:
        flask_session.incr("seen")
        flask_session["field"] += 1
        world.interrupt()
        return Response(str(flask_session["field"]))

    answer = world.client.open("/", method=method)
    assert answer.status_code == status
    assert world.runs == min(times, 3) + 1
    stored = world.site.stored(world.browser)
    assert stored == {"field": 10 * times + (status == 200), "seen": 1}
    if method == "GET" and status == 200:
        assert answer.text == str(10 * times + 1)


def test_a_post_that_conflicts_does_not_run_again(place: Place) -> None:
    """An unsafe method is answered with 409 after its only run."""
    world = _Interrupted(place, 1)

    @world.site.app.post("/")
    def view() -> str:
        flask_session["field"] += 1
        world.interrupt()
        return ""

    assert world.client.post("/").status_code == 409
    assert world.runs == 1
    assert world.site.stored(world.browser) == {"field": 10, "seen": 0}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_login_that_conflicts_is_none(place: Place, method: str) -> None:
    """What the request changed before is written with the bind: all of it, or nothing.

    A GET, as with a remember cookie, is run again.
    """
    world = _Interrupted(place, 1)

    @world.site.app.route("/", methods=[method])
    def view() -> str:
        flask_session["field"] += 1
        world.interrupt()
        flask_session.bind("user")
        return ""

    answer = world.client.open("/", method=method)
    again = method == "GET"
    assert (answer.status_code, world.runs) == ((200, 2) if again else (409, 1))
    assert ("Set-Cookie" in answer.headers) == again
    assert len(world.site.sessions.of("user")) == again
    stored = {"field": 11 if again else 10, "seen": 0}
    assert world.site.stored(Browser(world.site.app, cookie_of(world.client))) == stored


def test_a_get_whose_new_value_would_yield_runs_again(site: Site) -> None:
    """A token rendered into a page must be the one that is stored: the page is made again."""
    browser = site.browser(keep=1)
    client = browser.client()
    runs = []

    @site.app.get("/")
    def view() -> str:
        runs.append(1)
        token = flask_session.setdefault("csrf_token", f"mine {len(runs)}")
        if len(runs) == 1:
            with Browser(site.app, browser.cookie).visit() as other:
                other["csrf_token"] = "theirs"
        return str(token)

    assert client.get("/").text == "theirs"
    assert len(runs) == 2
