"""`session.once(name)` and `take(into=…)`: what holds where a worker dies between two steps."""

from dataclasses import replace

import pytest
from unsticky import OutOfRange, SessionError, transaction
from unsticky import session as flask_session
from unsticky.stores.base import (
    Add,
    Caps,
    Destroy,
    Gone,
    Operation,
    Take,
    TooLarge,
    Write,
)

from tests.support.browsers import Browser, Site, make_site, reference_of
from tests.support.stores.places import HOUR, LIFETIMES, AtServer, LimitedStore, Place, reference

DAY = 24 * 3_600_000


def _filled(site: Site, **entries: int) -> Browser:
    """Return a browser with a cart."""
    browser = site.browser(keep=1)
    with browser.visit() as session:
        session.map("cart").update(entries)
    return browser


def _maps(browser: Browser) -> dict[str, dict[object, object]]:
    session = Browser(browser.app, browser.cookie).begin().session
    return {name: dict(session.map(name).items()) for name in session.maps()}


# Taking into another map.


def test_what_is_taken_is_in_the_other_map(site: Site) -> None:
    """All entries change places and are returned; plain keys and other maps stay."""
    browser = _filled(site, tea=2, milk=1)
    with browser.visit() as session:
        session.map("other")["tea"] = 7
    request = browser.begin()
    assert request.session.map("cart").take(into="order") == {"tea": 2, "milk": 1}
    assert request.session.maps() == ["order", "other"]
    assert dict(request.session.map("order").items()) == {"tea": 2, "milk": 1}
    assert dict(request.session.map("cart").items()) == {}
    assert request.end().status == 200
    assert site.stored(browser) == {
        "keep": 1,
        "order": {"tea": 2, "milk": 1},
        "other": {"tea": 7},
    }


def test_entries_of_the_same_key_are_replaced(site: Site) -> None:
    """What arrives takes the place of what was there; other entries there stay."""
    browser = _filled(site, tea=2)
    with browser.visit() as session:
        session.map("order").update({"tea": 9, "jam": 3})
    browser.begin().session.map("cart").take(into="order")
    assert _maps(browser) == {"order": {"tea": 2, "jam": 3}}


def test_taking_nothing_writes_nothing(site: Site) -> None:
    """An empty map gives nothing, whether there is a session or none, and begins none."""
    stranger = site.browser()
    request = stranger.begin()
    assert request.session.map("cart").take(into="order") == {}
    assert request.end().cookie is None
    browser = site.browser(keep=1)
    with browser.visit() as session:
        assert session.map("cart").take(into="order") == {}
        assert session.maps() == []
    assert site.stored(browser) == {"keep": 1}


def test_what_this_request_set_before_is_taken_along(site: Site) -> None:
    """Entries that were set, deleted or changed in place count as if they had been written."""
    browser = _filled(site, tea=2, milk=1)
    request = browser.begin()
    cart = request.session.map("cart")
    cart["tea"] = 5
    del cart["milk"]
    cart["list"] = [1]
    cart["list"].append(2)
    request.session.map("order")["tea"] = 9
    assert cart.take(into="order") == {"tea": 5, "list": [1, 2]}
    assert request.end().status == 200
    assert _maps(browser) == {"order": {"tea": 5, "list": [1, 2]}}


def test_what_is_changed_afterwards_is_written(site: Site) -> None:
    """The moved entries are entries like others: changed in place, they are written so."""
    browser = site.browser()
    with browser.visit() as session:
        session.map("cart")["list"] = [1]
    with browser.visit() as session:
        session.map("cart").take(into="order")
        session.map("order")["list"].append(2)
        session.map("cart")["tea"] = 1
    assert _maps(browser) == {"cart": {"tea": 1}, "order": {"list": [1, 2]}}


def test_a_take_into_another_map_never_conflicts(site: Site) -> None:
    """An add of another request in between is taken along, or stays: here it came first."""
    browser = _filled(site, tea=2)
    request = browser.begin()
    assert dict(request.session.map("cart").items()) == {"tea": 2}
    browser.begin().session.map("cart").incr("tea")
    assert request.session.map("cart").take(into="order") == {"tea": 3}
    browser.begin().session.map("cart").incr("tea")
    assert request.end().status == 200
    assert _maps(browser) == {"cart": {"tea": 1}, "order": {"tea": 3}}


def test_taking_in_a_transaction(site: Site) -> None:
    """The transaction's commit moves what it read; an add in between makes it run again."""
    browser = _filled(site, tea=2)
    seen: list[dict[object, object]] = []

    @site.app.post("/")
    @transaction(retries=2)
    def view() -> str:
        held = flask_session
        seen.append(held.map("cart").take(into="order"))
        assert dict(held.map("order").items()) == seen[-1]
        if len(seen) == 1:
            browser.begin().session.map("cart").incr("tea")
        return "done"

    client = browser.client()
    assert client.post("/").status_code == 200
    assert seen == [{"tea": 2}, {"tea": 3}]
    assert _maps(browser) == {"order": {"tea": 3}}


def test_into_needs_another_map(site: Site) -> None:
    """The map itself and the name of a plain key are refused before anything happens."""
    browser = _filled(site, tea=2)
    cart = browser.begin().session.map("cart")
    with pytest.raises(ValueError, match="into itself"):
        cart.take(into="cart")
    assert len(cart) == 1
    with pytest.raises(TypeError, match="plain key"):
        cart.take(into="keep")
    assert _maps(browser) == {"cart": {"tea": 2}}


def test_a_full_session_can_take_into_another_map(place: Place) -> None:
    """Moving adds no field, so that a session at its cap of fields can; longer names count."""
    store = place.new_store(caps=Caps(fields=3, bytes=20))
    where = reference()
    fields = tuple(Write(b"a" + name, b"1234", None) for name in (b"1", b"2", b"3"))
    store.apply(where, fields, create=True)
    moved = store.apply(where, (Take(b"a", b"b"),), load=True)
    assert moved.record.fields == {b"b1": b"1234", b"b2": b"1234", b"b3": b"1234"}
    longer = store.write(where, (Take(b"b", b"ccc"),))
    assert longer == TooLarge("bytes", 24, 20)
    assert place.new_store().read(where) == moved.record._replace(
        seen=place.new_store().record(where).seen, slid=False
    )


def test_what_is_replaced_makes_room(place: Place) -> None:
    """An entry that takes another's place leaves a field, and its bytes, for what comes with it."""
    store = place.new_store(caps=Caps(fields=3, bytes=18))
    where = reference()
    fields = tuple(Write(name, b"1234", None) for name in (b"a1", b"b1", b"c1"))
    store.apply(where, fields, create=True)
    changes = (Take(b"a", b"b"), Write(b"d1", b"4321", None))
    written = store.apply(where, changes, load=True)
    assert written.record.fields == {b"b1": b"1234", b"c1": b"1234", b"d1": b"4321"}


# Once.


def test_the_same_name_and_operations_happen_once(site: Site) -> None:
    """A second request gets the first one's results, whatever came between, and changes nothing."""
    browser = _filled(site, tea=2)

    def run() -> tuple[object, ...]:
        request = browser.begin()
        session = request.session
        session.get("keep")
        session.once("key")
        answers = (
            session.incr("n", 5),
            session.incr("n", 5),
            session.map("cart").take(into="order"),
            session.map("order").take(),
        )
        assert request.end().status == 200
        return answers

    first = run()
    assert first == (5, 10, {"tea": 2}, {"tea": 2})
    with browser.visit() as session:
        session.map("cart")["jam"] = 1
        session.incr("n")
    assert run() == first
    assert site.stored(browser) == {"keep": 1, "n": 11, "cart": {"jam": 1}}


def test_a_run_that_got_half_way_is_completed(site: Site) -> None:
    """What the first request did not come to is done by the second."""
    browser = site.browser(keep=1)
    dying = browser.begin().session
    dying.once("key")
    dying.incr("a")
    session = browser.begin().session
    session.once("key")
    assert (session.incr("a"), session.incr("b")) == (1, 1)
    assert site.stored(browser) == {"keep": 1, "a": 1, "b": 1}


def test_operations_before_the_name_are_the_requests_own(site: Site) -> None:
    """However many they are, those after it are recognised; without a name nothing is."""
    browser = site.browser(keep=1)
    for visits in (1, 2, 3):
        session = browser.begin().session
        for _ in range(visits):
            session.incr("visits")
        session.once("key")
        session.once("key")  # said again it changes nothing
        assert session.incr("n") == 1
    assert site.stored(browser) == {"keep": 1, "n": 1, "visits": 6}


def test_another_name_argument_or_session_is_another_operation(site: Site) -> None:
    """The same is recognised wherever it comes among the others, and no other is."""
    browser, other = site.browser(keep=1), site.browser(keep=1)
    session = browser.begin().session
    session.once("key")
    session.incr("n")
    session = browser.begin().session
    session.once("other key")
    assert session.incr("n") == 2
    session = browser.begin().session
    session.once("key")
    assert session.incr("n", 3) == 5
    assert session.incr("n") == 1
    assert session.incr("n") == 6
    session = other.begin().session
    session.once("key")
    assert session.incr("n") == 1


def test_an_operation_refused_by_its_bounds_may_succeed_later(site: Site) -> None:
    """Its bounds kept it from happening, so it has not happened yet."""
    browser = site.browser(keep=1)
    for outcome in (None, 3):
        session = browser.begin().session
        session.once("key")
        if outcome is None:
            with pytest.raises(OutOfRange):
                session.incr("n", 3, maximum=2)
        else:
            assert session.incr("n", 3, maximum=3) == outcome
    assert site.stored(browser) == {"keep": 1, "n": 3}


def test_a_transaction_cannot_be_named(site: Site) -> None:
    """What follows from what was read is not the same again, so the name is refused there."""

    @site.app.post("/")
    @transaction()
    def view() -> str:
        with pytest.raises(SessionError, match="outside of @transaction"):
            flask_session.once("key")
        return "refused"

    assert site.app.test_client().post("/").text == "refused"


def test_after_the_response_nothing_is_named(site: Site) -> None:
    """A name comes too late once the response was made."""
    request = site.browser(keep=1).begin()
    request.end()
    with pytest.raises(SessionError, match="response was made"):
        request.session.once("key")


def test_the_result_of_a_dead_session_is_no_answer(site: Site) -> None:
    """Once the session was destroyed, the same operation finds it dead; nothing is revived."""
    browser = site.browser(keep=1)
    session = browser.begin().session
    session.once("key")
    session.incr("n")
    late = Browser(site.app, browser.cookie).begin()
    late.session.get("keep")
    with browser.visit() as session:
        session.destroy()
    late.session.once("key")
    with pytest.raises(SessionError, match="destroyed"):
        late.session.incr("n")


def test_results_are_kept_as_long_as_asked(place: Place) -> None:
    """A result is the answer while it is kept, and then the operation is a new one."""
    store, where = place.new_store(), reference()
    store.write(where, (Write(b"n", b"1", None),), create=True)
    short, long = Operation(b"short", 1, 50), Operation(b"long", 1, DAY)
    assert store.apply(where, (Add(b"n", 1),), short).count == 2
    assert store.apply(where, (Add(b"x", 1),), long).count == 1
    # Memory forgets once a second of its clock.
    place.let_pass(60 if isinstance(place, AtServer) else 60_000)
    assert store.apply(where, (Add(b"n", 1),), short).count == 3
    assert store.apply(where, (Add(b"x", 1),), long).count == 1


def test_a_named_result_is_kept_for_a_day_beside_its_session(server_place: AtServer) -> None:
    """The server holds it in the session's own slot, for 24 hours or until the session ends."""
    site = make_site(server_place)
    browser = site.browser(keep=1)
    session = browser.begin().session
    raw = server_place.server.raw
    before = set(raw.scan_iter(f"{server_place.prefix}*", count=10_000))
    session.once("key")
    session.incr("n")
    where = reference_of(session)
    pattern = f"{server_place.prefix}{{{where.bucket}}}:*"
    (key,) = set(raw.scan_iter(pattern, count=10_000)) - before
    assert DAY - 5_000 < raw.pttl(key) <= DAY
    session.rotate()
    assert not raw.exists(key)


def test_an_old_result_is_a_use_of_the_session(place: Place) -> None:
    """A repeat hours later slides the session's idle limit as any use does."""
    store, where = place.new_store(replace(LIFETIMES, unused=HOUR)), reference()
    store.write(where, (Write(b"n", b"1", None),), create=True)
    name = Operation(b"key", 1, DAY)
    store.apply(where, (Add(b"n", 1),), name)
    again = store.apply(where, (Add(b"n", 1),), name)
    assert again.results == (2,)
    if isinstance(place, AtServer):
        # The clock of a server cannot be moved: what it knows of the last use can.
        place.plant(where, b"\0s", b"%013d" % (place.now() - 3_500_000))
        place.server.raw.pexpire(place.key(where), 100_000)
    else:
        place.let_pass(3_500_000)
    later = store.apply(where, (Add(b"n", 1),), name, load=True)
    assert (later.results, later.record.slid) == ((2,), True)
    assert later.record.fields == {b"n": b"2"}
    if isinstance(place, AtServer):
        assert place.server.raw.pttl(place.key(where)) > 3_000_000
    else:
        place.let_pass(3_500_000)
        store.record(where)


def test_a_named_end_is_answered_as_done(store: LimitedStore) -> None:
    """A finish tells how the session ended, also when it is sent again."""
    where = reference()
    store.write(where, (Write(b"n", b"1", None),), create=True)
    name = Operation(b"key", 1, DAY)
    for _ in range(2):
        store.apply(where, (), name, finish=Destroy())
    assert store.read(where) == Gone("destroyed")
