"""`@transaction`: all that was read still holds when all that was changed is written."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import abort, request
from unsticky import Conflict, OutOfRange, Session, session, transact, transaction

from tests.support.browsers import Browser, Site, make_site, reference_of
from tests.support.stores.places import Place


class _World:
    """A site with one view in a transaction, and someone who interferes in its first runs."""

    def __init__(
        self,
        place: Place,
        body: Callable[[Session], object],
        *,
        interfere: Callable[[Session], object] | None = None,
        times: int = 1,
        retries: int = 5,
        **fields: Any,
    ) -> None:
        self.site: Site = make_site(place)
        self.browser = self.site.browser(**fields)
        self.client = self.browser.client()
        self.runs = 0

        @self.site.app.route("/", methods=["GET", "POST"])
        @transaction(retries=retries)
        def view() -> str:
            self.runs += 1

            answer = body(session)
            if interfere is not None and self.runs <= times:
                with Browser(self.site.app, self.browser.cookie).visit() as other:
                    interfere(other)
            return str(answer)

    def post(self) -> int:
        """Run it, and keep its cookie."""
        status = self.client.post("/").status_code
        cookie = self.client.get_cookie("session")
        self.browser = Browser(self.site.app, cookie.value if cookie else None)
        return status

    def stored(self) -> dict[str, Any] | None:
        """Return what the browser's session holds now."""
        return self.site.stored(self.browser)


def test_read_modify_write_loses_nothing(place: Place) -> None:
    """A plain counter that another request changed is read again and added to."""

    def body(session: Session) -> None:
        session["n"] = session["n"] + 1

    world = _World(place, body, interfere=body, times=3, n=0)
    assert world.post() == 200
    assert world.runs == 4
    assert world.stored() == {"n": 4}


def test_what_was_only_read_is_compared_too(place: Place) -> None:
    """A decision taken on a field that changed is taken again: no write skew."""

    def body(session: Session) -> None:
        session["sold"] = session["stock"] > 0

    world = _World(place, body, interfere=lambda other: other.update(stock=0), stock=1)
    assert world.post() == 200
    assert world.stored() == {"stock": 0, "sold": False}


@pytest.mark.parametrize(
    ("count", "delta", "bounds"),
    [(1, -2, {"minimum": 0}), (1, 2, {"maximum": 2}), (10**15 - 1, 1, {})],
)
def test_adding_beyond_bounds_is_refused(
    place: Place, count: int, delta: int, bounds: dict[str, int]
) -> None:
    """In a transaction, too, a sum beyond its bounds is refused, and the counter stays."""

    def body(session: Session) -> None:
        with pytest.raises(OutOfRange):
            session.incr("n", delta, **bounds)

    world = _World(place, body, n=count)
    assert world.post() == 200
    assert world.stored() == {"n": count}


def test_absence_that_was_read_is_compared(place: Place) -> None:
    """A field that was not there when the view looked, and then was, makes it look again."""

    def body(session: Session) -> None:
        session["first"] = "owner" not in session

    world = _World(place, body, interfere=lambda other: other.update(owner="they"), keep=1)
    assert world.post() == 200
    assert world.stored() == {"keep": 1, "owner": "they", "first": False}


def test_a_new_entry_of_a_map_that_was_listed_is_noticed(place: Place) -> None:
    """The view counted the entries; one more came; it counts again."""

    def body(session: Session) -> None:
        session["count"] = len(session.map("cart"))

    world = _World(place, body, interfere=lambda other: other.map("cart").incr("tea"), keep=1)
    assert world.post() == 200
    assert world.stored() == {"keep": 1, "cart": {"tea": 1}, "count": 1}


def test_a_dict_that_was_read_is_not_merged(place: Place) -> None:
    """A value computed from one entry of a dict into another follows the entry as it is now."""

    def body(session: Session) -> None:
        session["d"]["double"] = session["d"]["x"] * 2

    def interfere(other: Session) -> None:
        other["d"]["x"] = 5

    world = _World(place, body, interfere=interfere, d={"x": 1})
    assert world.post() == 200
    assert world.stored() == {"d": {"x": 5, "double": 10}}


def test_operations_wait_for_the_commit(place: Place) -> None:
    """`incr` and `take` of runs that were withdrawn never happened."""

    def body(session: Session) -> None:
        session.incr("n")
        session.map("cart").take()
        session["x"] = session["y"]

    def interfere(other: Session) -> None:
        other["y"] += 1
        other.map("cart").incr("tea")

    world = _World(place, body, interfere=interfere, times=2, y=0)
    assert world.post() == 200
    assert world.stored() == {"n": 1, "y": 2, "x": 2}


def test_a_transaction_that_gives_up_writes_nothing(place: Place) -> None:
    """After the last run 409, and nothing that the view set is stored: read fields count, too."""

    def body(session: Session) -> None:
        session["mine"] = session["y"]

    def interfere(other: Session) -> None:
        other["y"] += 1

    world = _World(place, body, interfere=interfere, times=9, retries=2, y=0)
    assert world.post() == 409
    assert world.runs == 3
    assert world.stored() == {"y": 3}


def test_a_view_that_raises_changes_nothing(place: Place) -> None:
    """An abort in the middle of a transaction rolls it back whole."""

    def body(session: Session) -> None:
        session["x"] = 2
        session.incr("n")
        session.rotate()
        abort(418)

    world = _World(place, body, x=1)
    assert world.post() == 418
    assert world.stored() == {"x": 1}


def test_what_was_changed_before_the_view_stays(place: Place) -> None:
    """What a before_request handler set is no part of the transaction, and is not lost to it."""

    def body(session: Session) -> None:
        session["x"] = session.get("locale")

    world = _World(place, body, keep=1)

    @world.site.app.before_request
    def remember() -> None:
        if request.method == "POST":
            session["locale"] = "de"

    assert world.post() == 200
    assert world.stored() == {"keep": 1, "locale": "de", "x": "de"}


@pytest.mark.parametrize("operation", ["rotate", "bind"])
def test_a_move_and_the_changes_are_one_step(place: Place, operation: str) -> None:
    """In a transaction the session moves with what the view set, when nothing interfered."""

    def body(session: Session) -> None:
        session["x"] = session["y"]
        if operation == "rotate":
            session.rotate()
        else:
            session.bind("user", label="here")

    world = _World(place, body, interfere=lambda other: other.update(y=1), y=0)
    old = world.browser
    assert world.post() == 200
    assert world.runs == 2
    assert world.stored() == {"x": 1, "y": 1}
    assert world.site.stored(old) is None
    assert len(world.site.sessions.of("user")) == (operation == "bind")


def test_rotating_after_binding_keeps_the_binding(place: Place) -> None:
    """Both in one transaction: the session is the user's."""

    def body(session: Session) -> None:
        session.bind("user")
        session.rotate()

    world = _World(place, body, x=1)
    assert world.post() == 200
    assert len(world.site.sessions.of("user")) == 1
    assert world.stored() == {"x": 1}


def test_clearing_before_binding_carries_nothing_over(place: Place) -> None:
    """The anonymous session's data is not in the one that the login begins."""

    def body(session: Session) -> None:
        session.clear()
        session.bind("user")
        session["fresh"] = True

    world = _World(place, body, secret="old")
    old = world.browser
    assert world.post() == 200
    assert world.stored() == {"fresh": True}
    assert world.site.stored(old) is None
    assert len(world.site.sessions.of("user")) == 1


def test_destroying_is_compared(place: Place) -> None:
    """A session is not ended on a decision whose grounds have changed."""

    def body(session: Session) -> None:
        if session["y"] == 0:
            session.destroy()

    world = _World(place, body, interfere=lambda other: other.update(y=1), y=0)
    assert world.post() == 200
    assert world.stored() == {"y": 1}


@pytest.mark.parametrize("operation", ["destroy", "rotate"])
def test_ending_or_rotating_nothing_creates_nothing(place: Place, operation: str) -> None:
    """A session that has expired is neither ended nor moved, and no new one begins."""
    world = _World(place, lambda session: getattr(session, operation)(), x=1)
    where = reference_of(world.browser.begin().session)
    place.expire(where)
    answer = world.client.post("/")
    assert answer.status_code == 200
    assert "session=ey" not in str(answer.headers.getlist("Set-Cookie"))
    assert not any(
        line.startswith("session=") and not line.startswith("session=;")
        for line in answer.headers.getlist("Set-Cookie")
    )
    assert world.site.sessions.counters.created == 1


def test_a_function_returns_what_its_last_run_returned(site: Site) -> None:
    """`transact` takes any function, runs it again on a conflict, and returns its value."""
    browser = site.browser(n=1)
    runs = []

    def doubled() -> tuple[int, int]:
        before = session["n"]
        session["n"] = before * 2
        runs.append(before)
        if len(runs) == 1:
            with browser.visit() as other:
                other["n"] = 5
        return before, session["n"]

    @site.app.post("/")
    def view() -> str:
        session["set before"] = True
        before, after = transact(doubled)
        return f"{before} {after}"

    assert browser.client().post("/").text == "5 10"
    assert runs == [1, 5]
    assert site.stored(browser) == {"n": 10, "set before": True}


def test_a_function_that_conflicts_for_ever_changes_nothing(site: Site) -> None:
    """After its retries `transact` raises Conflict, and the view may go on without the change."""
    browser = site.browser(n=0)
    runs = []

    def added() -> None:
        session["n"] += 1
        runs.append(1)
        with browser.visit() as other:
            other["n"] = -len(runs)

    @site.app.post("/")
    def view() -> str:
        with pytest.raises(Conflict):
            transact(added, retries=2)
        session["after"] = True
        return "went on"

    assert browser.client().post("/").text == "went on"
    assert len(runs) == 3
    assert site.stored(browser) == {"n": -3, "after": True}


def test_a_function_that_raises_changes_nothing(site: Site) -> None:
    """What it set is dropped, and the error is the caller's."""
    browser = site.browser(n=0)

    def failing() -> None:
        session["n"] = 1
        raise KeyError("no")

    @site.app.post("/")
    def view() -> str:
        with pytest.raises(KeyError, match="no"):
            transact(failing)
        return ""

    assert browser.client().post("/").status_code == 200
    assert site.stored(browser) == {"n": 0}


def test_a_transaction_inside_another_is_part_of_it(site: Site) -> None:
    """The inner function's changes are dropped with the outer one's."""
    browser = site.browser(n=0)

    def inner() -> int:
        return session.incr("n")

    def outer() -> None:
        assert transact(inner) == 1
        raise KeyError("no")

    @site.app.post("/")
    def view() -> str:
        with pytest.raises(KeyError, match="no"):
            transact(outer)
        return ""

    assert browser.client().post("/").status_code == 200
    assert site.stored(browser) == {"n": 0}
