"""The session after the response was made: read as before, and shown messages go."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import (
    Response,
    flash,
    get_flashed_messages,
    send_file,
    stream_template_string,
    stream_with_context,
)
from flask.testing import FlaskClient
from unsticky import StoreUnavailable
from unsticky import session as flask_session
from unsticky.session import current_session

from tests.support.browsers import Browser, Site, make_site, reference_of, spend_deadline
from tests.support.stores.places import AtServer, Place


def visitor(site: Site, **fields: Any) -> FlaskClient:
    """Return a client whose session holds these plain keys."""
    client = site.app.test_client()
    with client.session_transaction() as session:
        session.update(fields)
    return client


@pytest.mark.parametrize("first", [True, False], ids=["set here", "set before"])
@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "not loaded"])
def test_a_stream_reads(site: Site, *, first: bool, loaded: bool) -> None:
    """What the request set, and what was there, also where the view had not looked."""

    @site.app.get("/")
    def view() -> Response:
        if first:
            flask_session["a"] = 1
        if loaded:
            flask_session.get("b")
        return Response(
            stream_with_context(
                f"{flask_session['a']} {flask_session['b']} {sorted(flask_session)}" for _ in "x"
            )
        )

    client = visitor(site, b=2) if first else visitor(site, a=1, b=2)
    answer = client.get("/")
    assert answer.text == "1 2 ['a', 'b']"


def test_a_stream_says_that_it_is_private(site: Site) -> None:
    """Its headers are gone before it reads the session: it is kept from shared caches at once."""
    site.app.add_url_rule(
        "/", "stream", lambda: Response(stream_with_context(str(flask_session["a"]) for _ in "x"))
    )
    client = visitor(site, a=1)
    answer = client.get("/")
    assert (answer.text, answer.headers["Cache-Control"], answer.headers["Vary"]) == (
        "1",
        "private",
        "Cookie",
    )


def test_a_file_is_no_such_stream(site: Site) -> None:
    """It reads no session, and stays cacheable for everyone."""
    site.app.add_url_rule("/", "file", lambda: send_file(__file__))
    with visitor(site, a=1).get("/") as answer:
        assert "Vary" not in answer.headers
        assert "private" not in answer.headers["Cache-Control"]


def test_messages_shown_in_a_stream_are_shown_once(site: Site) -> None:
    """`stream_template` takes them when the response is under way; another tab's stays."""
    template = "{% for message in get_flashed_messages() %}<{{ message }}>{% endfor %}"

    @site.app.get("/")
    def view() -> Response:
        return Response(stream_template_string(template))

    @site.app.post("/flash/<text>")
    def say(text: str) -> str:
        flash(text)
        return ""

    client = visitor(site, keep=1)
    client.post("/flash/one")
    assert client.get("/").text == "<one>"
    client.post("/flash/two")
    assert client.get("/").text == "<two>"
    assert client.get("/").text == ""


def test_messages_that_cannot_be_removed_stay(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """The store fails while the page is under way: the page is whole, the message comes again."""
    store = site.sessions.state.store
    write = store.write

    @site.app.get("/")
    def view() -> Response:
        return Response(stream_with_context(str(get_flashed_messages()) for _ in "x"))

    client = visitor(site, keep=1, _flashes=[("message", "one")])

    def fails(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    store.write = fails  # type: ignore[assignment, method-assign]
    assert client.get("/").text == "['one']"
    assert "messages stay" in caplog.text
    store.write = write  # type: ignore[method-assign]
    assert client.get("/").text == "['one']"
    assert client.get("/").text == "[]"


@pytest.mark.parametrize("touched", [True, False])
def test_a_teardown_reads(site: Site, *, touched: bool) -> None:
    """A function that runs after the request finds the session, whether the view looked or not."""
    seen: list[Any] = []

    @site.app.get("/")
    def view() -> str:
        if touched:
            flask_session["b"] = 2
        return "fine"

    @site.app.teardown_request
    def after(_: BaseException | None) -> None:
        seen.append(dict(flask_session))

    client = visitor(site, a=1)
    seen.clear()
    assert client.get("/").text == "fine"
    assert seen == [{"a": 1, "b": 2} if touched else {"a": 1}]


def test_a_test_client_keeps_the_session_in_reach(site: Site) -> None:
    """`with client:`, Flask's way to look at a request's session after it."""

    @site.app.get("/")
    def view() -> str:
        flask_session["a"] = 1
        flash("hello")
        return ""

    with site.app.test_client() as client:
        client.get("/")
        assert flask_session["a"] == 1
        assert flask_session.modified
        assert get_flashed_messages() == ["hello"]
        client.get("/nowhere")
        assert flask_session["a"] == 1
        assert not flask_session.modified


def test_a_late_read_does_not_slide(server_place: AtServer) -> None:
    """Only what comes before the response is a use of the session."""
    site = make_site(server_place)
    browser = site.browser(a=1)
    where = reference_of(Browser(site.app, browser.cookie).begin().session)
    key = server_place.key(where)
    server_place.server.raw.hdel(key, b"\0s")
    request = browser.begin()
    request.end()
    assert request.session["a"] == 1
    assert server_place.server.raw.hget(key, b"\0s") is None


def test_reads_in_a_stream_go_on_when_it_is_long(place: Place) -> None:
    """A stream may outlast the time that the request had for the store."""
    site = make_site(place, UNSTICKY_DEADLINE=0.2)

    @site.app.get("/")
    def view() -> Response:
        session: Any = current_session()
        spend_deadline(session)

        def stream() -> Iterator[str]:
            yield str(session["a"])

        return Response(stream())

    assert visitor(site, a=1).get("/").text == "1"
