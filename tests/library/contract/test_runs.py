"""What one run of a request is: a GET that conflicts, a resend, an event of a web socket."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from unsticky import Conflict, SessionError
from unsticky import session as flask_session
from unsticky.session import current_session
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from tests.support.browsers import Browser, Site, cookie_of, make_site, reference_of
from tests.support.stores.places import Place


class Interrupted:
    """A site whose GET of `/` conflicts in its first run.

    Attributes:
        runs: how often the view ran.
    """

    def __init__(self, place: Place, **settings: Any) -> None:
        self.site = make_site(place, **settings)
        self.runs = 0
        self.client = self.site.app.test_client()
        with self.client.session_transaction() as session:
            session["field"] = 0

    def view(self) -> str:
        """Redeem something, then write what another request wrote in the meantime."""
        self.runs += 1
        flask_session["field"] += 1
        if self.runs == 1:
            with Browser(self.site.app, cookie_of(self.client)).visit() as other:
                other["field"] = 10
        return ""


@pytest.mark.parametrize(
    ("path", "again"),
    [
        ("/", True),
        ("/?page=2&codec=x", True),
        ("/?code=abc&state=xyz", False),
        ("/?state=xyz", False),
        ("/?token=t", False),
        ("/?ticket=ST-1", False),
    ],
)
def test_a_get_that_redeems_is_not_run_again(place: Place, path: str, *, again: bool) -> None:
    """An OAuth callback's code is good for one run: the conflict is answered."""
    world = Interrupted(place)
    world.site.app.add_url_rule("/", "view", world.view)
    assert world.client.get(path).status_code == (200 if again else 409)
    assert world.runs == (2 if again else 1)


@pytest.mark.parametrize("how", ["view", "application", "body"])
def test_a_get_with_effects_is_not_run_again(place: Place, how: str) -> None:
    """Said for a view, or for all; and what has a body, which the first run has read."""
    world = Interrupted(place, UNSTICKY_RETRY=how != "application")
    view = world.site.sessions.no_retry(partial(world.view)) if how == "view" else world.view
    world.site.app.add_url_rule("/", "view", view)
    data = {"json": {"a": 1}} if how == "body" else {}
    assert world.client.get("/", **data).status_code == 409
    assert world.runs == 1


def test_a_run_that_counts_other_things_counts_none_twice(place: Place) -> None:
    """The second run makes one more operation before the same one, which is not made again."""
    world = Interrupted(place)

    @world.site.app.get("/")
    def view() -> str:
        session = flask_session
        if world.runs:
            session.incr("second run")
        session.incr("visits")
        session.map("seen").incr("visits")
        session.incr("visits", 2)
        return world.view()

    assert world.client.get("/").status_code == 200
    with world.client.session_transaction() as session:
        assert dict(session) == {"field": 11, "visits": 3, "second run": 1}
        assert session.map("seen")["visits"] == 1  # type: ignore[attr-defined]


class Socket:
    """A connection whose events are handled with the environment of the request that began it.

    It is Flask-SocketIO's way with `manage_session=False`: a context for each event, and the
    session saved into a response that goes nowhere.
    """

    def __init__(self, site: Site, client: FlaskClient) -> None:
        self._app = site.app
        builder = site.app.test_request_context(
            "/socket", headers={"Cookie": f"session={cookie_of(client)}", "X-Request-ID": "r-1"}
        )
        self._environ: dict[str, Any] = builder.request.environ
        site.app.wsgi_app(self._environ, lambda *_: lambda _: None)
        self._environ["flask.app"] = site.app  # as in every request of such an application

    def event(self) -> Iterator[Any]:
        """Give the event's session to the `with` block, and save it."""
        with self._app.request_context(self._environ):
            request.sid = "s1"  # type: ignore[attr-defined]
            session: Any = current_session()
            yield session
            if session.modified:
                response = self._app.response_class()
                self._app.session_interface.save_session(self._app, session, response)


@pytest.fixture(name="connected")
def _connected(place: Place) -> tuple[Site, FlaskClient, Socket]:
    """A site, a browser with a session, and its socket."""
    site = make_site(place, UNSTICKY_REQUEST_ID_HEADER="X-Request-ID")
    site.app.add_url_rule("/socket", "socket", lambda: str(flask_session.get("keep")))
    client = site.app.test_client()
    with client.session_transaction() as session:
        session["keep"] = 1
    return site, client, Socket(site, client)


def test_each_event_of_a_socket_is_an_operation(
    connected: tuple[Site, FlaskClient, Socket],
) -> None:
    """Three additions in three events are three, and so are three equal writes."""
    _, client, socket = connected
    for value in (1, 2, 1):
        for session in socket.event():
            session.incr("n")
            session["value"] = value
    with client.session_transaction() as session:
        assert (session["n"], session["value"]) == (3, 1)


def test_a_conflict_in_an_event_is_raised(connected: tuple[Site, FlaskClient, Socket]) -> None:
    """No response tells the browser, so that the handler must."""
    site, client, socket = connected
    event = socket.event()
    next(event)["keep"] += 1
    other = Browser(site.app, cookie_of(client)).begin()
    other.session["keep"] = 5
    other.end()
    with pytest.raises(Conflict):
        next(event)


@pytest.mark.parametrize("act", ["bind", "rotate", "begin"])
def test_an_event_cannot_change_the_cookie(
    connected: tuple[Site, FlaskClient, Socket], act: str
) -> None:
    """The browser would not learn of the new id: refused, and the session as it was."""
    _, client, socket = connected
    event = socket.event()
    session = next(event)
    acts = {
        "bind": lambda: session.bind("ann"),
        "rotate": session.rotate,
        "begin": lambda: session.destroy() or session.incr("n"),
    }
    with pytest.raises(SessionError, match="a handler without a response"):
        acts[act]()
    with client.session_transaction() as held:
        assert dict(held) == ({} if act == "begin" else {"keep": 1})


def test_a_logout_in_an_event_ends_the_session(connected: tuple[Site, FlaskClient, Socket]) -> None:
    """Without a response to carry a new id nothing else ends the login for certain."""
    _, client, socket = connected
    for session in socket.event():
        session.unbind("keep")
    with client.session_transaction() as held:
        assert dict(held) == {}


def test_a_request_that_outlasts_the_tombstone_begins_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a minute late it cannot tell a rotated session from none: the cookie stays."""
    site = make_site(place)
    browser = site.browser(a=1)
    late = Browser(site.app, browser.cookie).begin()
    reading = Browser(site.app, browser.cookie).begin()
    request = browser.begin()
    old = reference_of(request.session)
    request.session.bind("ann")
    request.end()
    place.expire(old)  # the tombstone's minute is over
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 60)
    assert dict(reading.session) == {}
    assert reading.end().cookie is None
    late.session["b"] = 2
    answer = late.end()
    assert (answer.status, answer.code, answer.cookie) == (409, "session-gone", None)


def test_what_once_names_are_atomic_operations_alone(site: Site) -> None:
    """Plain keys and transactions do not follow from the name: they are made each time."""
    browser = site.browser(keep=1)
    for round_ in range(2):
        with browser.visit() as session:
            session.once("order")
            assert session.incr("n") == 1
            session["state"] = "ordered"
        if not round_:
            with browser.visit() as other:
                other["state"] = "changed since"
    assert site.stored(browser) == {"keep": 1, "n": 1, "state": "ordered"}


@pytest.mark.parametrize(("first", "second"), [("order-1", "order-11"), ("a", "a\x001"), ("", "1")])
def test_names_do_not_run_into_each_other(site: Site, first: str, second: str) -> None:
    """The eleventh operation of one name is not the first of another."""
    browser = site.browser(keep=1)
    session = browser.begin().session
    session.once(first)
    assert [session.incr("n") for _ in range(11)] == list(range(1, 12))
    session.once(second)
    assert session.incr("n") == 12


def test_an_application_below_another(place: Place) -> None:
    """An application that is mounted in another one's has runs and sessions of its own."""
    site = make_site(place)
    inner = Flask("inner")
    place.serve(inner, SESSION_COOKIE_NAME="inner")
    for app in (site.app, inner):
        app.add_url_rule("/", "n", lambda: str(flask_session.incr("n")))

    site.app.wsgi_app = DispatcherMiddleware(site.app.wsgi_app, {"/in": inner})  # type: ignore[method-assign]
    client = site.app.test_client()
    assert [client.get(path).text for path in ("/", "/in/", "/in/", "/")] == ["1", "1", "2", "2"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_page_that_comes_with_the_cookie_from_before_a_move(site: Site, method: str) -> None:
    """A login or logout moved the session meanwhile: a page is shown, only its writes are dropped.

    A request that asks for a change is told that nothing was changed.
    """
    browser = site.browser(a=1)
    old = Browser(site.app, browser.cookie)
    with browser.visit() as moving:
        moving.bind("ann")
    late = old.begin(method=method)
    late.session.setdefault("csrf_token", "mine")
    answer = late.end()
    assert answer.cookie is None
    assert answer.status == (409 if method == "POST" else 200)
    assert site.stored(browser) == {"a": 1}


def test_a_page_that_saw_the_session_before_it_moved_is_made_again(site: Site) -> None:
    """What it shows of the session is not true any more: the view runs again, and finds none."""
    client = site.app.test_client()
    with client.session_transaction() as session:
        session["a"] = 1
    runs: list[Any] = []

    @site.app.get("/")
    def view() -> str:
        runs.append(flask_session.get("a"))
        flask_session["seen"] = 1
        if len(runs) == 1:
            Browser(site.app, cookie_of(client)).begin().session.rotate()
        return str(runs[-1])

    answer = client.get("/")
    assert (answer.status_code, answer.text) == (200, "None")
    assert runs == [1, None]
    assert "Set-Cookie" not in answer.headers


def test_a_web_socket_cannot_change_the_cookie(site: Site) -> None:
    """Its headers are gone when the view begins, as in Flask-Sock."""
    raised: list[SessionError] = []

    @site.app.get("/", websocket=True)
    def view() -> str:
        with pytest.raises(SessionError, match="a handler without a response") as caught:
            flask_session.incr("n")
        raised.append(caught.value)
        return ""

    site.app.test_client().get("/", headers={"Connection": "Upgrade", "Upgrade": "WebSocket"})
    assert len(raised) == 1
