"""What counts as reading a field, and that no write is dropped where something was read."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from unsticky import Conflict, Session, SessionError, transaction
from unsticky import session as flask_session
from unsticky.unit_of_work import commit

from tests.support.browsers import Answer, Browser, Site, cookie_of, make_site, unit_of
from tests.support.stores.places import Place


def race(
    site: Site,
    browser: Browser,
    before: Callable[[Session], Any],
    theirs: Callable[[Session], Any],
    mine: Callable[[Session], Any],
) -> Answer:
    """Let a request do `before`, another one of the same browser `theirs`, and the first `mine`."""
    request = browser.begin()
    before(request.session)
    with Browser(site.app, browser.cookie).visit() as other:
        theirs(other)
    mine(request.session)
    return request.end()


def set_to(value: Any) -> Callable[[Session], Any]:
    """Return what sets the field."""
    return lambda session: session.update(field=value)


READS: dict[str, Callable[[Session], Any]] = {
    "get": lambda session: session.get("field"),
    "index": lambda session: session["field"],
    "in": lambda session: "field" in session,
    "setdefault": lambda session: session.setdefault("field", 0),
    "pop": lambda session: session.pop("field"),
    "del": lambda session: session.__delitem__("field"),
    "items": lambda session: list(session.items()),
    "values": lambda session: list(session.values()),
    "dict": dict,
    "copy": lambda session: session.copy(),
    "or": lambda session: session | {},
    "equality": lambda session: session == {},
}


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_what_was_read_is_compared(site: Site, read: Callable[[Session], Any]) -> None:
    """Whatever looked at the field: what another request wrote there since is not overwritten."""
    browser = site.browser(field=1, keep=1)
    answer = race(site, browser, read, set_to(5), set_to(2))
    assert (answer.status, answer.code) == (409, "session-conflict")
    assert site.stored(browser) == {"field": 5, "keep": 1}


LOOKS: dict[str, Callable[[Session], Any]] = {
    "another field": lambda session: session.get("keep"),
    "length": len,
    "names": list,
    "keys": lambda session: list(session.keys()),
    "truth": bool,
    "maps": lambda session: session.maps(),
    "user": lambda session: session.user,
    "a map": lambda session: session.map("field map").get("field"),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_what_was_not_read_is_not_compared(site: Site, look: Callable[[Session], Any]) -> None:
    """The session was loaded, the field was not looked at: the last write wins."""
    browser = site.browser(field=1, keep=1)
    assert race(site, browser, look, set_to(5), set_to(2)).status == 200
    assert site.stored(browser) == {"field": 2, "keep": 1}


def test_the_recipe_of_the_last_activity_never_conflicts(site: Site) -> None:
    """A time stamp that every request sets and none reads: the last is kept, without a 409."""
    browser = site.browser(user="ann")
    for _ in range(5):
        requests = [Browser(site.app, browser.cookie).begin() for _ in range(6)]
        for number, request in enumerate(requests):
            assert request.session["user"] == "ann"
            request.session["last_activity"] = number
        assert [request.end().status for request in requests] == [200] * 6
    assert site.stored(browser) == {"user": "ann", "last_activity": 5}


def test_a_strict_field_is_compared_although_nobody_read_it(place: Place) -> None:
    """For a value that follows from other fields: its rule makes every write of it a read."""
    site = make_site(place, UNSTICKY_MERGE={"field": "strict"})
    browser = site.browser(field=1)
    request = browser.begin()
    request.session["field"] = 2
    with Browser(site.app, browser.cookie).visit() as session:
        session["field"] = 5
    assert request.end().status == 409
    assert site.stored(browser) == {"field": 5}


@pytest.mark.parametrize(
    ("mine", "theirs", "merged"),
    [
        ({"x": 1}, {"y": 1}, {"x": 1, "y": 1}),
        ({"d": {"x": 1}}, {"d": {"y": 1}}, {"d": {"x": 1, "y": 1}}),
        ("same", "same", "same"),
        (1, 1, None),
        (1, 2, None),
        ({"x": 1}, {"x": 1}, None),
        ([1], [2], None),
    ],
)
def test_two_first_values_conflict_or_merge(
    site: Site, mine: Any, theirs: Any, merged: Any
) -> None:
    """Read as absent and set by both: neither write is dropped (None: the second meets a 409)."""
    browser = site.browser(keep=1)
    answer = race(
        site,
        browser,
        lambda session: session.get("field"),
        lambda session: session.update(field=session.get("field") or theirs),
        set_to(mine),
    )
    assert answer.status == (200 if merged is not None else 409)
    assert site.stored(browser) == {"keep": 1, "field": theirs if merged is None else merged}


def test_a_counter_made_by_hand_loses_nothing(site: Site) -> None:
    """Two first `visits = get(visits, 0) + 1` at once: one is refused, none is dropped."""
    browser = site.browser(keep=1)

    def count(session: Session) -> None:
        session["field"] = session.get("field", 0) + 1

    assert race(site, browser, count, count, lambda _: None).status == 409
    assert site.stored(browser) == {"keep": 1, "field": 1}


@pytest.mark.parametrize("into", [None, "order"])
def test_a_take_compares_what_it_replaces(site: Site, into: str | None) -> None:
    """What was set from something read is not taken over what another request added since."""
    browser = site.browser(keep=1)
    with browser.visit() as session:
        session.map("cart").incr("tea")
    request = browser.begin()
    cart = request.session.map("cart")
    cart["tea"] = cart["tea"] + 1
    with Browser(site.app, browser.cookie).visit() as other:
        assert other.map("cart").incr("tea", 10) == 11
    with pytest.raises(Conflict):
        cart.take(into=into)
    assert site.stored(browser) == {"keep": 1, "cart": {"tea": 11}}


def test_a_take_takes_what_was_set_before(site: Site) -> None:
    """Set, deleted and added entries are there, or not, when all are taken."""
    browser = site.browser(keep=1)
    request = browser.begin()
    cart = request.session.map("cart")
    cart.incr("milk", 3)
    cart["tea"] = 2
    cart["list"] = [1]
    cart["list"].append(2)
    del cart["milk"]
    assert cart.take() == {"list": [1, 2], "tea": 2}
    cart["tea"] = 7
    assert request.end().status == 200
    assert site.stored(browser) == {"keep": 1, "cart": {"tea": 7}}


def test_an_addition_after_an_assignment_is_atomic(site: Site) -> None:
    """`incr` answers what is stored: what another request adds afterwards is added to it."""
    browser = site.browser(keep=1)
    request = browser.begin()
    request.session["field"] = 5
    assert request.session.incr("field") == 6
    with Browser(site.app, browser.cookie).visit() as other:
        assert other.incr("field", 10) == 16
    assert request.end().status == 200
    assert site.stored(browser) == {"keep": 1, "field": 16}


TRANSACTION_LOOKS: dict[str, Callable[[Session], Any]] = {
    "names": list,
    "length": len,
    "truth": bool,
    "maps": lambda session: session.maps(),
    "names of a map": lambda session: list(session.map("cart")),
}


@pytest.mark.parametrize("look", TRANSACTION_LOOKS.values(), ids=TRANSACTION_LOOKS.keys())
def test_a_transaction_compares_every_look(site: Site, look: Callable[[Session], Any]) -> None:
    """One name replaced by another, so that their number stays: the view runs again."""
    client = site.app.test_client()
    runs: list[int] = []

    def replace(cookie: str) -> None:
        other = Browser(site.app, cookie).begin()
        del other.session["field"]
        del other.session.map("cart")["tea"]
        other.session["another"] = 1
        other.session.map("cart")["milk"] = 1
        other.session.map("second")["x"] = 1
        assert other.end().status == 200

    @site.app.post("/")
    @transaction()
    def view() -> str:
        runs.append(1)
        look(flask_session)
        flask_session["seen"] = len(runs)
        if len(runs) == 1:
            replace(cookie_of(client))
        return ""

    with client.session_transaction() as session:
        assert isinstance(session, Session)
        session["field"] = 1
        session.map("cart")["tea"] = 1
    assert client.post("/").status_code == 200
    assert len(runs) == 2


def test_a_value_changed_after_an_inner_commit_is_written(site: Site) -> None:
    """A mutable value that was set unread, written by an atomic step, then changed in place."""
    browser = site.browser(keep=1)
    request = browser.begin()
    held: dict[str, int] = {}
    request.session.map("cart")["tea"] = held
    assert request.session.map("other").take() == {}
    request.session.map("cart").incr("n")
    held["x"] = 1
    request.session["list"] = items = [1]
    commit(unit_of(request.session))
    items.append(2)
    held["y"] = 2
    assert request.end().status == 200
    assert site.stored(browser) == {
        "keep": 1,
        "list": [1, 2],
        "cart": {"n": 1, "tea": {"x": 1, "y": 2}},
    }


def test_a_merged_value_that_was_read_must_be_read_again(site: Site) -> None:
    """Whatever in it the view made itself, or twice, the merge changes no object of the view's."""
    browser = site.browser(field={"a": {"x": 1}, "b": {}})
    request = browser.begin()
    held = request.session["field"]
    held["b"] = held["a"]
    with Browser(site.app, browser.cookie).visit() as other:
        other["field"]["a"]["x"] = 2
    commit(unit_of(request.session))
    assert held == {"a": {"x": 1}, "b": {"x": 1}}
    assert request.session["field"] == {"a": {"x": 2}, "b": {"x": 1}}
    held["later"] = 1
    with pytest.raises(SessionError, match="Read it from the session again"):
        request.end()
    assert site.stored(browser) == {"field": {"a": {"x": 2}, "b": {"x": 1}}}


def test_a_merged_value_that_was_assigned_must_be_read_again(site: Site) -> None:
    """The application's own object is never changed; changing it after the merge is an error."""
    browser = site.browser(keep=1)
    request = browser.begin()
    constant = {"mine": 1}
    request.session.setdefault("field", constant)
    with Browser(site.app, browser.cookie).visit() as other:
        other.setdefault("field", {})["theirs"] = 1
    commit(unit_of(request.session))
    assert constant == {"mine": 1}
    assert request.session["field"] == {"mine": 1, "theirs": 1}
    constant["later"] = 1
    with pytest.raises(SessionError, match="Read it from the session again"):
        request.end()


def test_a_value_read_before_a_transaction_cannot_change_in_it(site: Site) -> None:
    """The transaction starts afresh and would lose the change, so it says so."""
    client = site.app.test_client()

    @site.app.post("/")
    def view() -> str:
        held = flask_session["field"]

        @transaction()
        def inside() -> str:
            held["x"] = 1
            flask_session["other"] = 1
            return ""

        with pytest.raises(SessionError, match="field: changed through an object"):
            inside()
        return ""

    with client.session_transaction() as session:
        session["field"] = {}
    assert client.post("/").status_code == 200


def test_the_log_names_the_field_that_conflicts(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """A conflict is not only answered: its line says which field, and what would settle it."""
    browser = site.browser(last_seen=1)
    answer = race(
        site,
        browser,
        lambda session: session.get("last_seen"),
        lambda session: session.update(last_seen=5),
        lambda session: session.update(last_seen=2),
    )
    assert answer.status == 409
    assert "UNSTICKY_MERGE={'last_seen': 'last'}" in caplog.text


def test_an_object_from_before_a_transaction_may_be_assigned_in_it(site: Site) -> None:
    """It is the session's again, and written."""
    client = site.app.test_client()

    @site.app.post("/")
    def view() -> str:
        held = flask_session.get("field", {})

        @transaction()
        def inside() -> str:
            held["x"] = 1
            flask_session["field"] = held
            return ""

        inside()
        held["y"] = 2
        return ""

    client.post("/")
    with client.session_transaction() as session:
        assert session["field"] == {"x": 1, "y": 2}


def test_an_object_from_before_a_transaction_cannot_change_after_it(site: Site) -> None:
    """Nor one that a transaction read which was taken back."""
    client = site.app.test_client()

    @site.app.post("/<when>")
    def view(when: str) -> str:
        held: list[Any] = [flask_session["field"]]

        @transaction()
        def inside() -> str:
            held.append(flask_session["field"])
            flask_session["other"] = 1
            if when == "taken back":
                raise ZeroDivisionError
            return ""

        with suppress(ZeroDivisionError):
            inside()
        held[when == "taken back"]["x"] = 1
        return ""

    with client.session_transaction() as session:
        session["field"] = {}
    for when in ("before", "taken back"):
        with pytest.raises(SessionError, match="field: changed through an object"):
            client.post(f"/{when}")


def test_a_transaction_that_raised_changes_nothing(site: Site) -> None:
    """Neither limits nor permanence; what waited before it still does."""
    client = site.app.test_client()

    @site.app.post("/")
    def view() -> str:
        session = flask_session
        session.set_lifetime(idle=4000)

        @transaction()
        def inside() -> str:
            session.set_lifetime(idle=5000)
            session.permanent = True
            raise ZeroDivisionError

        with suppress(ZeroDivisionError):
            inside()
        session["begun"] = 1
        return ""

    answer = client.post("/")
    assert "Max-Age" not in answer.headers["Set-Cookie"]
    request = Browser(site.app, cookie_of(client)).begin()
    assert dict(request.session) == {"begun": 1}
    record = unit_of(request.session).record
    assert record is not None
    assert record.idle == 4_000_000


def test_a_name_in_the_middle_of_a_request_swallows_nothing(site: Site) -> None:
    """The same write before and after `once` is two writes."""
    request = site.browser(keep=1).begin()
    cart = request.session.map("cart")
    for name in ("", "", "key", "other key"):
        if name:
            request.session.once(name)
        cart["tea"] = 1
        assert cart.take() == {"tea": 1}


def test_what_was_taken_into_another_map_is_not_there_any_more(site: Site) -> None:
    """Also where it was set unread in the same request, mutable or not."""
    browser = site.browser(keep=1)
    request = browser.begin()
    cart = request.session.map("cart")
    cart["list"], cart["tea"] = [1], 100
    assert cart.take(into="order") == {"list": [1], "tea": 100}
    assert "tea" not in cart
    assert request.end().status == 200
    assert site.stored(browser) == {"keep": 1, "order": {"list": [1], "tea": 100}}


def test_what_was_written_unread_is_read_as_written(site: Site) -> None:
    """Another request changed it before the load: adding to it conflicts, and nothing is lost."""
    browser = site.browser(m=1, keep=1)
    request = browser.begin()
    request.session["m"] = 100
    commit(unit_of(request.session))
    with Browser(site.app, browser.cookie).visit() as other:
        other["m"] += 5
    assert request.session["keep"] == 1
    assert request.session["m"] == 100
    request.session["m"] += 1
    assert request.end().status == 409
    assert site.stored(browser) == {"m": 105, "keep": 1}


def test_what_was_set_before_a_transaction_is_there_after_it(site: Site) -> None:
    """In the request that began the session, too."""
    request = Browser(site.app).begin()
    unit = unit_of(request.session)
    request.session["before"] = {"x": 1}
    commit(unit)
    unit.begin_transaction()
    request.session["inside"] = 1
    commit(unit)
    unit.end_transaction()
    assert request.session["before"] == {"x": 1}
    assert dict(request.session) == {"before": {"x": 1}, "inside": 1}


def test_a_transaction_compares_what_it_set_to_what_was_there(site: Site) -> None:
    """Nothing is written for it, and another request's change of it is no part of the view."""
    browser = site.browser(field=2, keep=1)
    request = browser.begin()
    unit = unit_of(request.session)
    unit.begin_transaction()
    assert request.session["keep"] == 1
    request.session["field"] = 2
    request.session["seen"] = 1
    with Browser(site.app, browser.cookie).visit() as other:
        other["field"] = 400
    with pytest.raises(Conflict):
        commit(unit)


def test_clearing_twice_compares_what_was_read_before(site: Site) -> None:
    """In a transaction; the second `clear` forgets nothing."""
    browser = site.browser(field=2)
    request = browser.begin()
    unit = unit_of(request.session)
    unit.begin_transaction()
    assert request.session["field"] == 2
    request.session.clear()
    request.session.clear()
    with Browser(site.app, browser.cookie).visit() as other:
        other["field"] = 3
    with pytest.raises(Conflict):
        commit(unit)
    assert site.stored(browser) == {"field": 3}


def test_a_take_that_conflicts_in_its_target_writes_nothing(site: Site) -> None:
    """Entries set before, in source and target, are written together or not at all."""
    browser = site.browser(keep=1)
    with browser.visit() as session:
        session.map("order")["x"] = 1
    request = browser.begin()
    request.session.map("order")["x"] += 1
    request.session.map("cart")["tea"] = 1
    with Browser(site.app, browser.cookie).visit() as other:
        other.map("order")["x"] = 5
    with pytest.raises(Conflict):
        request.session.map("cart").take(into="order")
    assert site.stored(browser) == {"keep": 1, "order": {"x": 5}}
