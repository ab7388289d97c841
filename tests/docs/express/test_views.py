"""The table of what views do with the session."""

from typing import Any

from flask import redirect
from unsticky import session, transact

from tests.docs.express.page import Line, Lines
from tests.docs.express.site import (
    DAY,
    MakeSite,
    cookies_of,
    is_empty,
    log_in,
    send,
    set_value,
    site_at,
)
from tests.support.browsers import cookie_of
from tests.support.stores.places import Memory

_LINES = Lines("In the views")


def test_every_line_is_shown() -> None:
    """No line of the tables is without a test."""
    assert _LINES.not_shown() == set()


@_LINES.shows('req.session.theme = "dark"', "delete req.session.theme")
def test_only_what_changes_is_written(line: Line, make: MakeSite) -> None:
    """A key that another request sets meanwhile stays."""
    site = make({})
    client = site.app.test_client()
    site.visit(client, lambda: session.update(a=1, theme="light"))
    other = send(site.app.test_client(), cookie_of(client))

    def change() -> None:
        line.run()
        site.visit(other, lambda: session.update(a=2))

    assert site.visit(client, change).status_code == 200
    found = site.visit(client, lambda: dict(session)).json
    assert found == ({"a": 2} if "pop" in line.code[0] else {"a": 2, "theme": "dark"})


@_LINES.shows("req.session.views++")
def test_each_view_counts(line: Line, make: MakeSite) -> None:
    """Also if another request counts between."""
    site = make({})
    client = site.app.test_client()
    site.visit(client, line.run)
    other = send(site.app.test_client(), cookie_of(client))

    def count() -> None:
        assert session["views"] == 1
        site.visit(other, line.run)
        line.run()

    assert site.visit(client, count).status_code == 200
    assert site.visit(client, lambda: str(session["views"])).text == "3"


@_LINES.shows("req.session.cart.tea = 2")
def test_a_change_in_place_is_found(line: Line, make: MakeSite) -> None:
    """Nothing announces it."""
    site = make({})
    client = site.app.test_client()
    site.visit(client, lambda: session.update(cart={"tea": 1, "milk": 1}))
    site.visit(client, line.run)
    assert site.visit(client, lambda: session["cart"]).json == {"tea": 2, "milk": 1}


@_LINES.shows("req.session.destroy()")
def test_a_destroyed_session_stays_ended(line: Line, make: MakeSite) -> None:
    """A request that had read it before, and writes after it, is refused."""
    site = make({})
    client = site.app.test_client()
    site.visit(client, lambda: session.update(a=1, b=2))
    cookie = cookie_of(client)
    other = send(site.app.test_client(), cookie)

    def write_late() -> None:
        session["a"] += 1
        site.visit(other, line.run)

    assert site.visit(client, write_late).status_code == 409
    assert site.visit(send(client, cookie), is_empty).text == "True"


@_LINES.shows("req.session.regenerate()", "req.session.regenerate() at a login")
def test_a_new_id(line: Line, make: MakeSite) -> None:
    """With the content at a login, without it otherwise; the old cookie opens nothing."""
    site = make({})
    client = site.app.test_client()
    site.visit(client, set_value)
    old = cookie_of(client)

    def regenerate() -> None:
        line.run()
        session["b"] = 2

    site.visit(client, regenerate)
    assert cookie_of(client) != old
    login = "bind" in line.code[0]
    expected = {"a": 1, "b": 2} if login else {"b": 2}
    assert site.visit(client, lambda: dict(session)).json == expected
    with site.app.app_context():
        assert len(site.sessions.of("ada")) == login
    assert site.visit(send(site.app.test_client(), old), is_empty).text == "True"


@_LINES.shows("req.session.save()")
def test_a_redirect_finds_what_was_saved(line: Line, make: MakeSite) -> None:
    """By the time the answer is there, another process finds it."""
    assert line.code == []
    site, another = make({}), make({})
    client = site.app.test_client()

    def save() -> Any:
        set_value()
        return redirect("/next")

    answer = site.visit(client, save)
    assert (answer.status_code, answer.location) == (302, "/next")
    reader = send(another.app.test_client(), cookie_of(client))
    assert another.visit(reader, is_empty, path="/next", method="GET").text == "False"


@_LINES.shows("req.session.reload()")
def test_a_function_runs_again_with_what_is_there(line: Line, make: MakeSite) -> None:
    """Its second run sees what the other request wrote."""
    site = make({})
    client = site.app.test_client()
    site.visit(client, set_value)
    other = send(site.app.test_client(), cookie_of(client))
    read = []

    def function() -> None:
        read.append(session["a"])
        if len(read) == 1:
            site.visit(other, lambda: session.update(a=5))
        session["a"] += 1

    assert site.visit(client, lambda: line.run(transact=transact, function=function)).text == ""
    assert read == [1, 5]
    assert site.visit(client, lambda: str(session["a"])).text == "6"


@_LINES.shows("req.session.id, req.sessionID")
def test_the_handle_opens_nothing(line: Line, make: MakeSite) -> None:
    """It stays the same from request to request, and is no cookie."""
    site = make({})
    client = site.app.test_client()
    site.visit(client, set_value)
    handle = site.visit(client, line.run).text
    assert handle
    assert site.visit(client, line.run).text == handle
    assert handle not in cookie_of(client)
    assert site.visit(send(site.app.test_client(), handle), is_empty).text == "True"


@_LINES.shows("req.session.cookie.maxAge = 2592000000")
def test_a_session_with_an_age_of_its_own(line: Line, place: Memory) -> None:
    """In its cookie and in the store; other sessions keep the application's."""
    site = site_at(place, {"PERMANENT_SESSION_LIFETIME": 3600})
    client, other = site.app.test_client(), site.app.test_client()

    def remember() -> None:
        log_in()
        line.run()

    (cookie,) = cookies_of(site.visit(client, remember))
    assert "Max-Age=2592000" in cookie
    site.visit(other, log_in)
    place.let_pass(29 * DAY)
    assert site.visit(client, is_empty).text == "False"
    assert site.visit(other, is_empty).text == "True"


@_LINES.shows("req.sessionStore.destroy(id)", "req.sessionStore.clear()", "req.sessionStore.all()")
def test_sessions_of_others(line: Line, make: MakeSite) -> None:
    """One session by its handle, all sessions, the list of a user's."""
    site = make({})
    clients = [site.app.test_client() for _ in range(3)]
    for client in clients[:2]:
        site.visit(client, log_in)
    site.visit(clients[2], set_value)
    handle = site.visit(clients[0], lambda: session.handle).text
    with site.app.app_context():
        answer = line.run(sessions=site.sessions, handle=handle)
    ended = [site.visit(client, is_empty).text == "True" for client in clients]
    if line.code[0].startswith("sessions.of"):
        assert handle in {info.handle for info in answer}
        assert len(answer) == 2
        assert ended == [False] * 3
    else:
        assert ended == ([True] * 3 if "everyone" in line.code[0] else [True, False, False])


@_LINES.shows("req.session.touch()")
def test_each_use_counts(line: Line, place: Memory) -> None:
    """A session that is read, or written, every half limit outlives the limit."""
    assert line.code == []
    site = site_at(place, {"PERMANENT_SESSION_LIFETIME": 86_400})
    for use in (is_empty, lambda: session.update(b=2)):
        client = site.app.test_client()
        site.visit(client, log_in)
        for _ in range(4):
            place.let_pass(DAY // 2)
            site.visit(client, use)
        assert site.visit(client, is_empty).text == "False"


@_LINES.shows("req.session.cookie.expires = false")
def test_a_cookie_that_ends_with_the_browser(line: Line, make: MakeSite) -> None:
    """Of a session that was permanent before."""
    site = make({})
    client = site.app.test_client()

    def begin() -> None:
        set_value()
        session.permanent = True

    (cookie,) = cookies_of(site.visit(client, begin))
    assert "Max-Age" in cookie
    (cookie,) = cookies_of(site.visit(client, line.run))
    assert "Max-Age" not in cookie
    assert "Expires" not in cookie
