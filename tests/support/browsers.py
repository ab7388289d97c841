"""Browsers, and their requests, which a test steps by hand through Flask's session interface."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from flask import Flask, Response
from flask.testing import FlaskClient
from unsticky import Session, Unsticky
from unsticky.cookie import Reference
from unsticky.unit_of_work import UnitOfWork, commit

from tests.support.stores.places import Place
from tests.support.waiting import PATIENCE

COOKIE = "session"


@dataclass
class Browser:
    """Someone with a cookie jar.

    Args:
        app: the application that is visited.
        cookie: the session cookie's value, None where there is none.
    """

    app: Flask
    cookie: str | None = None

    def begin(self, *, method: str = "POST") -> "InFlight":
        """Send a request with the cookie that is in the jar now; it is answered by `end`."""
        headers = {"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}
        request = self.app.test_request_context("/", method=method, headers=headers).request
        opened: Any = self.app.session_interface.open_session(self.app, request)
        assert isinstance(opened, Session)
        return InFlight(self, opened)

    @contextmanager
    def visit(self) -> Iterator[Session]:
        """Send a request that must succeed; the block is its view."""
        request = self.begin()
        yield request.session
        assert request.end().status == 200

    def client(self) -> FlaskClient:
        """Return a client of Flask's with the cookie that is in the jar now."""
        client = self.app.test_client()
        if self.cookie:
            client.set_cookie(COOKIE, self.cookie)
        return client


@dataclass
class InFlight:
    """A request under way.

    Args:
        browser: who sent it.
        session: what its view sees.
        response: what its view answers.
    """

    browser: Browser
    session: Session
    response: Response = field(default_factory=lambda: Response("fine"))

    def end(self) -> "Answer":
        """Make the response, and put its cookie into the jar."""
        app: Any = self.browser.app
        app.session_interface.save_session(app, self.session, self.response)
        answer = Answer(self.response)
        if answer.cookie is not None:
            self.browser.cookie = answer.cookie or None
        return answer


class Answer:
    """What a request was answered.

    Args:
        response: the response.
    """

    def __init__(self, response: Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.body = response.get_data(as_text=True)
        document: Any = response.get_json(silent=True) if self.status != 200 else None
        self.code: str = document["code"] if document else ""
        self.detail: str = document.get("detail", "") if document else ""
        values = [SimpleCookie(line).get(COOKIE) for line in response.headers.getlist("Set-Cookie")]
        found = [morsel.value for morsel in values if morsel is not None]
        # None where it was left alone, empty where it was deleted.
        self.cookie: str | None = found[-1] if found else None


@dataclass
class Site:
    """An application whose sessions are kept at a place."""

    app: Flask
    sessions: Unsticky
    place: Place

    def browser(self, **fields: Any) -> Browser:
        """Return a browser whose session holds these plain keys; without any it has none."""
        browser = Browser(self.app)
        if fields:
            request = browser.begin()
            request.session.update(fields)
            assert request.end().cookie
        return browser

    def stored(self, browser: Browser) -> dict[str, Any] | None:
        """Return what a browser's session holds, its maps as dicts; None where it has none."""
        session = Browser(self.app, browser.cookie).begin().session
        held: dict[str, Any] = dict(session)
        held |= {name: dict(session.map(name).items()) for name in session.maps()}
        return held if session.handle is not None and held else None


def cookie_of(client: FlaskClient) -> str:
    """Return the session's cookie of a client that has one."""
    cookie = client.get_cookie(COOKIE)
    assert cookie
    return cookie.value


def unit_of(session: Any) -> UnitOfWork:
    """Return the unit of work behind a session, which applications do not see."""
    unit: UnitOfWork = session._unit  # noqa: SLF001
    return unit


@contextmanager
def transacting(session: Any) -> Iterator[None]:
    """Run the block as a transaction that commits."""
    unit = unit_of(session)
    unit.begin_transaction()
    yield
    commit(unit)
    unit.end_transaction()


def reference_of(session: Any) -> Reference:
    """Return where a session that exists is in the store."""
    token = unit_of(session).token
    assert token is not None
    return token.reference


def spend_deadline(session: Any) -> None:
    """Leave no time for the store, as after a request that waited long for it."""
    unit_of(session).stored.deadline.remaining = 0


def make_site(place: Place, **settings: Any) -> Site:
    """Make an application whose sessions are kept at `place`."""
    app = Flask("site")
    app.testing = True
    # A request of many steps takes a second on a busy machine, at fakeredis above all.
    return Site(app, place.serve(app, **{"UNSTICKY_DEADLINE": PATIENCE, **settings}), place)
