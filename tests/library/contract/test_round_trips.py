"""What each use of a session costs in round trips, counted at the server."""

from collections.abc import Callable

import pytest
from unsticky import Session

from tests.support.browsers import make_site, reference_of
from tests.support.stores.places import AtServer


def _once(session: Session) -> None:
    session.once("key")
    session.incr("n")


BIND = -1
"""What a bind costs at that kind of server."""

USES: list[tuple[str, int, Callable[[Session], object]]] = [
    ("untouched", 0, lambda _: None),
    ("permanent as it is", 0, lambda session: setattr(session, "permanent", False)),
    ("permanent turned on", 1, lambda session: setattr(session, "permanent", True)),
    ("limits alone", 1, lambda session: session.set_lifetime(idle=60)),
    ("handle alone", 0, lambda session: session.handle),
    ("read", 1, lambda session: session.get("a")),
    ("read twice", 1, lambda session: (session.get("a"), dict(session))),
    ("read a map", 1, lambda session: list(session.map("cart").items())),
    ("unread write", 1, lambda session: session.update(a=2)),
    ("unread writes", 1, lambda session: session.update(a=2, b=3)),
    ("write what is there", 1, lambda session: (session["a"], session.update(a=1))),
    ("incr", 1, lambda session: session.incr("n")),
    ("incr then read", 1, lambda session: (session.incr("n"), session["a"])),
    ("map incr then read", 1, lambda session: (session.map("m").incr("x"), dict(session))),
    ("take", 1, lambda session: session.map("cart").take()),
    ("take into", 1, lambda session: session.map("cart").take(into="order")),
    ("once, incr", 1, _once),
    ("maps", 1, lambda session: session.maps()),
    ("read then change", 2, lambda session: (session["a"], session.update(a=2))),
    ("read then change in place", 2, lambda session: session["list"].append(1)),
    ("rotate", 1, lambda session: session.rotate()),
    ("bind", BIND, lambda session: session.bind("user")),
    ("unbind", 1, lambda session: session.unbind("a")),
    ("unbind the last", 2, lambda session: session.unbind("a", "list")),
    ("pop the last", 2, lambda session: (session.pop("a"), session.pop("list"))),
    ("user", 1, lambda session: session.user),
    ("incr after a set", 2, lambda session: (session.update(n=1), session.incr("n"))),
    ("destroy", 1, lambda session: session.destroy()),
    ("clear", 1, lambda session: session.clear()),
]


@pytest.mark.parametrize(("trips", "use"), [use[1:] for use in USES], ids=[use[0] for use in USES])
def test_round_trips_of_a_stored_session(
    server_place: AtServer, trips: int, use: Callable[[Session], object]
) -> None:
    """Each use of a stored session costs exactly this many calls at the server."""
    site = make_site(server_place)
    for _ in range(2):  # the server has all scripts from now on: create, read, write
        browser = site.browser(a=1, list=[])
        site.stored(browser)
        with browser.visit() as session:
            session["a"] = 1
    request = browser.begin()
    before = server_place.server.calls()
    use(request.session)
    assert request.end().status == 200
    expected = server_place.bind_trips if trips == BIND else trips
    assert server_place.server.calls() - before == expected


NEW_USES: list[tuple[str, int, Callable[[Session], object]]] = [
    ("untouched", 0, lambda _: None),
    ("read", 0, lambda session: session.get("a")),
    ("permanent alone", 0, lambda session: setattr(session, "permanent", True)),
    ("write", 1, lambda session: session.update(a=1)),
    ("read then write", 1, lambda session: (session.get("a"), session.update(a=1))),
    ("incr", 1, lambda session: session.incr("n")),
    ("take", 0, lambda session: session.map("cart").take()),
    ("take into", 0, lambda session: session.map("cart").take(into="order")),
    ("once alone", 0, lambda session: session.once("key")),
    ("rotate", 0, lambda session: session.rotate()),
    ("bind", BIND, lambda session: session.bind("user")),
    ("destroy", 0, lambda session: session.destroy()),
]


@pytest.mark.parametrize(
    ("trips", "use"), [use[1:] for use in NEW_USES], ids=[use[0] for use in NEW_USES]
)
def test_round_trips_without_a_cookie(
    server_place: AtServer, trips: int, use: Callable[[Session], object]
) -> None:
    """Without a cookie only what creates a session costs a trip, and one."""
    site = make_site(server_place)
    site.browser(a=1)
    request = site.browser().begin()
    before = server_place.server.calls()
    use(request.session)
    answer = request.end()
    expected = server_place.bind_trips if trips == BIND else trips
    assert server_place.server.calls() - before == expected
    assert bool(answer.cookie) == (trips != 0)


def test_a_slide_costs_one_more_trip_once(server_place: AtServer) -> None:
    """A new session has not been seen: its first read slides its idle limit, in a second trip."""
    site = make_site(server_place)
    browser = site.browser(a=1)
    for trips in (2, 1, 1):
        request = browser.begin()
        before = server_place.server.calls()
        assert request.session["a"] == 1
        assert request.end().status == 200
        assert server_place.server.calls() - before == trips


def test_round_trips_of_an_unknown_id(server_place: AtServer) -> None:
    """An unknown id costs one round trip to find out, and one to begin a session."""
    site = make_site(server_place)
    browser = site.browser(a=1)
    site.stored(browser)
    where = reference_of(browser.begin().session)
    server_place.expire(where)
    request = browser.begin()
    before = server_place.server.calls()
    request.session["a"] = 2
    assert request.end().cookie
    assert server_place.server.calls() - before == 2


def test_a_merge_costs_one_more_trip(server_place: AtServer) -> None:
    """Loading, the write that conflicts, and the merged one: three."""
    site = make_site(server_place)
    browser = site.browser(prefs={"a": 1, "b": 1})
    site.stored(browser)
    request = browser.begin()
    before = server_place.server.calls()
    request.session["prefs"]["a"] = 2
    with browser.visit() as other:
        other["prefs"]["b"] = 2
    between = server_place.server.calls() - before
    assert between == 3
    assert request.end().status == 200
    assert server_place.server.calls() - before - between == 2


def test_the_stores_own_count_agrees(server_place: AtServer) -> None:
    """What the library counts as trips is what the server saw."""
    site = make_site(server_place)
    store = site.sessions.state.store
    browser = site.browser(a=1)
    site.stored(browser)
    ours, theirs = store.round_trips, server_place.server.calls()  # type: ignore[attr-defined]  # (of stores with servers)
    for _ in range(3):
        with browser.visit() as session:
            session["a"] += 1
    assert store.round_trips - ours == server_place.server.calls() - theirs == 6  # type: ignore[attr-defined]
