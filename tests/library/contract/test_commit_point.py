"""The end of a request: one commit, an answer that says what came of it, no change afterwards."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Response, abort, redirect
from flask.typing import ResponseReturnValue
from unsticky import SessionError, Unserializable, interface
from unsticky import session as flask_session
from unsticky.errors import StoreUnavailable
from unsticky.session import current_session
from unsticky.unit_of_work import UnitOfWork
from werkzeug.wrappers import Response as AnyResponse

from tests.support.browsers import Browser, Site, cookie_of, make_site
from tests.support.stores.places import Place


def interfere(site: Site, browser: Browser, **fields: Any) -> None:
    """Let another request of the same browser write."""
    with Browser(site.app, browser.cookie).visit() as session:
        for name, value in fields.items():
            session.get(name)
            session[name] = value


class _Conflicting:
    """A site whose view conflicts, and answers with what a test gives."""

    def __init__(self, place: Place, response: Response, **settings: Any) -> None:
        self.site = make_site(place, **settings)
        browser = self.site.browser(field=1)
        self.client = browser.client()

        @self.site.app.post("/")
        def view() -> Response:
            flask_session["field"] += 1
            interfere(self.site, browser, field=5)
            return response


def test_a_withdrawn_answer_leaves_no_description_of_itself(place: Place) -> None:
    """The conflict replaces status, body and what described them; request id and CORS stay."""
    response = Response(
        "secret", 201, {"Location": "/there", "ETag": '"x"', "Content-Language": "en"}
    )
    response.headers["X-Request-ID"] = "r1"
    response.headers["Access-Control-Allow-Origin"] = "https://example.org"
    answer = _Conflicting(place, response).client.post("/")
    assert answer.status_code == 409
    assert answer.content_type == "application/problem+json"
    assert answer.get_json()["code"] == "session-conflict"
    assert not {"Location", "ETag", "Content-Language"} & set(answer.headers.keys())
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert answer.headers["X-Request-ID"] == "r1"
    assert answer.headers["Access-Control-Allow-Origin"] == "https://example.org"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_withdrawn_stream_is_closed_and_never_sent(place: Place) -> None:
    """The old body is closed without having been asked for anything; on_close ran once."""
    told: list[str] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            told.append("sent")
            return iter([b"secret"])

        def close(self) -> None:
            told.append("closed")

    response = Response(Body())
    response.call_on_close(lambda: told.append("on_close"))
    with _Conflicting(place, response).client.post("/") as answer:
        assert answer.status_code == 409
    assert told == ["closed", "on_close"]


def test_a_redirect_waits_for_the_commit(site: Site) -> None:
    """What the view stored is there before the browser is sent on."""

    @site.app.post("/")
    def view() -> AnyResponse:
        flask_session["a"] = 1
        return redirect("/next")

    client = site.app.test_client()
    assert client.post("/").status_code == 302
    assert site.stored(Browser(site.app, cookie_of(client))) == {"a": 1}


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_every_status_commits(site: Site, status: int) -> None:
    """As in Flask, what was set is stored whatever the view answered."""

    @site.app.post("/")
    def view() -> ResponseReturnValue:
        flask_session["a"] = 1
        if status >= 400:
            abort(status)
        return "", status

    client = site.app.test_client()
    assert client.post("/").status_code == status
    assert site.stored(Browser(site.app, cookie_of(client))) == {"a": 1}


@pytest.mark.parametrize("touched", [True, False], ids=["touched before", "untouched before"])
def test_a_change_while_streaming_is_refused(site: Site, *, touched: bool) -> None:
    """The response was made: changing the session raises instead of being lost silently."""
    browser = site.browser(a=1)
    raised: list[type[BaseException]] = []

    @site.app.get("/")
    def view() -> Response:
        held: Any = current_session()
        if touched:
            held.get("a")

        def stream() -> Iterator[str]:
            if touched:
                yield str(held["a"])
            for change in (
                lambda: held.update(a=2),
                lambda: held.incr("n"),
                lambda: held.map("m").take(),
                held.rotate,
                held.destroy,
                lambda: held.bind("user"),
            ):
                try:
                    change()
                except SessionError as error:
                    raised.append(type(error))
            yield "."

        return Response(stream())

    client = browser.client()
    assert client.get("/").text == ("1." if touched else ".")
    assert len(raised) == 6
    assert site.stored(browser) == {"a": 1}


class _Faulty:
    """A site with a view that puts into its session what cannot be stored.

    Attributes:
        handled: what the application's own handler of errors saw.
    """

    def __init__(self, place: Place, *, testing: bool) -> None:
        self.site = make_site(place)
        self.handled: list[int] = []
        app = self.site.app
        app.testing = testing
        app.add_url_rule("/set", view_func=self._set, methods=["POST"])
        app.add_url_rule("/in-place", view_func=self._in_place, methods=["POST"])
        app.register_error_handler(500, self._handle)
        self.client = app.test_client()
        with self.client.session_transaction() as session:
            session["a"] = {"x": [1]}

    def _set(self) -> str:
        flask_session["a"] = {"x": object()}
        return "fine"

    def _in_place(self) -> str:
        flask_session["b"] = 2
        flask_session["a"]["x"].append(object())
        return "fine"

    def _handle(self, _: Exception) -> tuple[str, int]:
        self.handled.append(1)
        flask_session["seen"] = "an error page"
        return "own page", 500


@pytest.mark.parametrize(
    ("path", "where"), [("/set", "session['a']['x']"), ("/in-place", "a['x'][1]")]
)
def test_what_cannot_be_stored_is_an_error_of_the_application(
    place: Place, caplog: pytest.LogCaptureFixture, path: str, where: str
) -> None:
    """It is logged with its path and a trace, and the application's own page answers."""
    faulty = _Faulty(place, testing=False)
    answer = faulty.client.post(path)
    assert (answer.status_code, answer.text, faulty.handled) == (500, "own page", [1])
    assert f"{where} is a builtins.object, which cannot be stored" in caplog.text
    assert "Traceback" in caplog.text
    with faulty.client.session_transaction() as session:
        assert dict(session) == {"a": {"x": [1]}, "seen": "an error page"}


@pytest.mark.parametrize("path", ["/set", "/in-place"])
def test_what_cannot_be_stored_is_raised_in_tests(place: Place, path: str) -> None:
    """In testing and in debug it comes out of the request as an exception."""
    faulty = _Faulty(place, testing=True)
    with pytest.raises(Unserializable):
        faulty.client.post(path)


def test_a_fault_at_the_commit_is_raised(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask makes its answer to a fault of the library; what could not be written is dropped."""
    browser = site.browser(a=1)
    request = browser.begin()

    def broken(_: UnitOfWork) -> None:
        raise RuntimeError("a fault")

    request.session["a"] = 2
    with monkeypatch.context() as patch:
        patch.setattr(interface, "commit", broken)
        with pytest.raises(RuntimeError, match="a fault"):
            request.end()
    request.session["b"] = 3
    assert request.end().status == 200
    assert site.stored(browser) == {"a": 1, "b": 3}


def test_a_failing_store_at_the_commit_is_answered(site: Site) -> None:
    """503 with Retry-After, and the cookie is left alone."""
    browser = site.browser(a=1)
    request = browser.begin()
    request.session["a"] = 2

    def unavailable(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    site.sessions.state.store.write = unavailable  # type: ignore[assignment, method-assign]
    answer = request.end()
    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert answer.cookie is None


def test_the_applications_own_error_page(site: Site) -> None:
    """`on_error` makes the answer, also where the response was made already."""
    app: Any = site.app
    app.session_interface._on_error = lambda error: Response(f"own {error.code}", error.status)  # noqa: SLF001  (what Unsticky(on_error=) sets)
    browser = site.browser(field=1)
    request = browser.begin()
    request.session["field"] += 1
    interfere(site, browser, field=5)
    answer = request.end()
    assert (answer.status, answer.body) == (409, "own session-conflict")


def test_session_transaction_of_the_test_client(site: Site) -> None:
    """Flask's own way for tests to prepare and look at a session works, outside any request."""

    @site.app.get("/")
    def view() -> str:
        return str(flask_session["a"])

    client = site.app.test_client()
    with client.session_transaction() as session:
        session["a"] = 41
    with client.session_transaction() as session:
        session["a"] += 1
    assert client.get("/").text == "42"
    with client.session_transaction() as session:
        assert dict(session) == {"a": 42}
        session.clear()
    with client.session_transaction() as session:
        assert dict(session) == {}


def test_what_is_set_after_clearing_begins_a_new_session(site: Site) -> None:
    """`clear` destroys; what is set afterwards is stored under a new id, in the same request."""
    browser = site.browser(a=1)
    old = Browser(site.app, browser.cookie)
    request = browser.begin()
    request.session.clear()
    request.session["b"] = 2
    assert request.end().cookie not in {None, "", old.cookie}
    assert site.stored(browser) == {"b": 2}
    assert site.stored(old) is None


def test_logging_out_deletes_the_cookie(site: Site) -> None:
    """A destroyed session's cookie is deleted, by the request that destroyed it."""
    browser = site.browser(a=1)
    old = Browser(site.app, browser.cookie)
    request = browser.begin()
    request.session.destroy()
    answer = request.end()
    assert answer.cookie == ""
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    again = old.begin()
    again.session.destroy()
    assert again.end().cookie is None
