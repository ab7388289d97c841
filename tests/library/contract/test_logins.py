"""Logins and logouts: as a whole or not at all, whatever fails, and whatever cookies came."""

from typing import Any

import pytest
from flask import Flask, render_template_string
from unsticky import (
    Conflict,
    OutcomeUnknown,
    SessionError,
    SessionGone,
    StaleCredential,
    StoreUnavailable,
    Unserializable,
)
from unsticky import session as flask_session
from unsticky.unit_of_work import commit
from unsticky.unit_of_work.stored_session import StoredSession

from tests.support.browsers import Browser, Site, make_site, transacting, unit_of
from tests.support.stores.places import Place


class Failing:
    """Lets the next write of a site's store fail, before it was made or after."""

    def __init__(self, site: Site, *, made: bool) -> None:
        self._store = site.sessions.state.store
        self._write = self._store.write
        self._made = made
        self._store.write = self.write  # type: ignore[method-assign]

    def write(self, *arguments: Any, **options: Any) -> Any:
        """Fail once."""
        self._store.write = self._write  # type: ignore[method-assign]
        if self._made:
            self._write(*arguments, **options)
            raise OutcomeUnknown("the answer was lost")
        raise StoreUnavailable("gone")


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("act", ["bind", "rotate"])
@pytest.mark.parametrize("caught", [True, False])
def test_a_login_that_fails_leaves_nothing(
    site: Site, *, made: bool, act: str, caught: bool
) -> None:
    """Its fields are not stored under the id from before it, which others may know (CWE-384)."""
    browser = site.browser(keep=1)
    thief = Browser(site.app, browser.cookie)

    @site.app.post("/")
    def view() -> str:
        session = flask_session
        session["_user_id"] = "7"
        Failing(site, made=made)
        try:
            session.bind("7") if act == "bind" else session.rotate()
        except SessionError:
            if not caught:
                raise
            session["tried"] = 1
        return ""

    client = browser.client()
    # Whether the session moved is not known to who caught it: it did, so that more is refused.
    caught_status = 409 if made else 200
    assert client.post("/").status_code == (caught_status if caught else 503)
    held = site.stored(thief)
    assert held in ({"keep": 1, **({"tried": 1} if caught and not made else {})}, None)


def test_a_stale_credential_leaves_nothing_of_the_login(site: Site) -> None:
    """Refused with 401, and the next request is nobody's."""
    site.sessions.revoke_all("7", stamp=2)
    browser = site.browser(keep=1)
    request = browser.begin()
    request.session["_user_id"] = "7"
    with pytest.raises(StaleCredential):
        request.session.bind("7", stamp=1)
    request.end()
    assert site.stored(browser) == {"keep": 1}


@pytest.mark.parametrize("act", ["unbind", "destroy"])
def test_a_logout_that_fails_is_none(site: Site, act: str) -> None:
    """The store fails at the logout: fields and user are as before, and it can be tried again."""
    browser = site.browser(keep=1)
    request = browser.begin()
    request.session["_user_id"] = "7"
    request.session.bind("7")
    request.end()

    def log_out(request: Any) -> None:
        request.session.pop("_user_id")
        request.session.unbind("_user_id") if act == "unbind" else request.session.destroy()

    request = browser.begin()
    dict(request.session)
    Failing(site, made=False)
    with pytest.raises(StoreUnavailable):
        log_out(request)
    request.end()
    assert site.stored(browser) == {"keep": 1, "_user_id": "7"}
    assert browser.begin().session.user == "7"
    request = browser.begin()
    log_out(request)
    request.end()
    assert site.stored(browser) == ({"keep": 1} if act == "unbind" else None)
    assert browser.begin().session.user is None
    assert site.sessions.of("7") == ()


def test_a_logout_holds_whatever_else_conflicts(site: Site) -> None:
    """A parallel request makes this one's other change conflict: logged out all the same."""
    browser = site.browser(keep=1, n=0)
    with browser.visit() as session:
        session["_user_id"] = "7"
        session.bind("7")
    old = Browser(site.app, browser.cookie)
    request = browser.begin()
    request.session["n"] += 1
    with old.visit() as other:
        other["n"] = 5
    request.session.unbind("_user_id")
    with pytest.raises(Conflict):
        commit(unit_of(request.session))
    answer = request.end()
    assert answer.cookie
    assert site.stored(browser) == {"keep": 1, "n": 5}
    assert browser.begin().session.user is None
    assert site.stored(old) is None
    late = old.begin()
    late.session["n"] = 9
    assert late.end().code == "session-gone"


def test_a_logout_names_what_another_request_just_set(site: Site) -> None:
    """In a transaction that had loaded the session before."""
    browser = site.browser(keep=1)
    request = browser.begin()
    unit = unit_of(request.session)
    unit.begin_transaction()
    dict(request.session)
    request.session.unbind("_user_id")
    with Browser(site.app, browser.cookie).visit() as other:
        other["_user_id"] = "7"
    with pytest.raises((Conflict, SessionGone)):
        commit(unit)
    unit.roll_back()
    unit.begin_transaction()
    request.session.unbind("_user_id")
    commit(unit)
    unit.end_transaction()
    request.end()
    assert site.stored(browser) == {"keep": 1}


@pytest.mark.parametrize("end", ["unbind", "destroy", "clear"])
def test_a_login_taken_back_in_the_same_transaction(site: Site, end: str) -> None:
    """Of a browser without a session: nobody is logged in, and nothing is stored."""
    request = Browser(site.app).begin()
    with transacting(request.session):
        request.session["_user_id"] = "7"
        request.session.bind("7")
        getattr(request.session, end)(*(["_user_id"] if end == "unbind" else []))
        assert request.session.user is None
    assert request.end().cookie is None
    assert site.sessions.of("7") == ()


def test_a_logout_without_a_session_begins_none(place: Place) -> None:
    """There is nothing to take from anybody."""
    request = Browser(make_site(place).app).begin()
    request.session.unbind("_user_id")
    assert request.end().cookie is None


def test_a_logout_leaves_no_other_living_cookie(site: Site) -> None:
    """The browser sends two, of two paths: both sessions are ended, so that none takes over."""
    first, second = site.browser(a=1), site.browser(b=2)
    for browser in (first, second):
        with browser.visit() as session:
            session.bind("7")
    both = Browser(site.app, f"{first.cookie}; session={second.cookie}")
    request = both.begin()
    request.session.unbind("x")
    request.end()
    assert site.sessions.of("7") == ()
    assert site.stored(second) is None


def test_of_two_cookies_the_living_one_is_kept_and_moved(site: Site) -> None:
    """What acts on the session without reading it finds out first which one it is."""
    stale, living = site.browser(a=1), site.browser(b=2)
    request = living.begin()
    request.session.bind("7")
    request.end()
    ended = Browser(site.app, stale.cookie).begin()
    ended.session.destroy()
    both = Browser(site.app, f"{stale.cookie}; session={living.cookie}")
    request = both.begin()
    with site.app.app_context():
        assert site.sessions.revoke_all("7", keep=request.session) == 0
    assert request.session.handle == site.sessions.of("7")[0].handle
    request = both.begin()
    request.session.rotate()
    assert len(site.sessions.of("7")) == 1
    assert site.sessions.revoke_all("7") == 1


def test_an_emptied_session_ends(site: Site) -> None:
    """As in Flask: popping the last key deletes the cookie, and what comes next has a new id."""
    browser = site.browser(a=1)
    old = Browser(site.app, browser.cookie)
    request = browser.begin()
    request.session.pop("a")
    answer = request.end()
    assert answer.cookie == ""
    assert "Clear-Site-Data" not in answer.headers
    assert site.stored(old) is None


def test_what_others_put_into_a_session_keeps_it(site: Site) -> None:
    """Another request set something while this one removed the last thing that it knew of."""
    browser = site.browser(a=1)
    request = browser.begin()
    request.session.pop("a")
    with Browser(site.app, browser.cookie).visit() as other:
        other["b"] = 2
    assert request.end().cookie is None
    assert site.stored(browser) == {"b": 2}


def test_requests_beside_one_that_emptied_the_session_lose_nothing(site: Site) -> None:
    """What they set unread is in one session all the same, the one that their cookie names."""
    browser = site.browser(a=1)
    old = browser.cookie
    late = [Browser(site.app, old).begin() for _ in range(3)]
    late[0].session.get("b")
    request = browser.begin()
    request.session.pop("a")
    request.end()
    late[0].session["x"] = 0
    late[1].session["y"] = 1
    late[2].session.incr("n")
    answers = [request.end() for request in late]
    assert [answer.status for answer in answers] == [200] * 3
    assert site.stored(Browser(site.app, old)) == {"x": 0, "y": 1, "n": 1}


def test_shown_messages_end_no_session(site: Site) -> None:
    """A page that shows the last message leaves the session to the requests beside it."""
    browser = site.browser(_flashes=[("message", "hello")])
    request = browser.begin()
    late = Browser(site.app, browser.cookie).begin()
    late.session.get("theme")
    request.session.pop("_flashes")
    assert request.end().cookie is None
    late.session["theme"] = "dark"
    assert late.end().status == 200
    assert site.stored(browser) == {"theme": "dark"}


@pytest.mark.parametrize("act", ["unbind", "destroy"])
def test_a_logout_clears_the_browsers_storage(place: Place, act: str) -> None:
    """Where that is configured, also if nothing is left in the session."""
    site = make_site(place, UNSTICKY_CLEAR_SITE_DATA=True)
    browser = site.browser(_user_id="7")
    request = browser.begin()
    request.session.unbind("_user_id") if act == "unbind" else request.session.destroy()
    answer = request.end()
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert answer.cookie == ""


@pytest.mark.parametrize("name", ["\ud800", 5, None])
def test_a_name_that_is_none_is_refused(site: Site, name: Any) -> None:
    """A user's name is text that can be stored; the message says what was given."""
    for call in (site.browser(a=1).begin().session.bind, site.sessions.of):
        with pytest.raises((TypeError, Unserializable), match="user's name"):
            call(name)


def test_what_was_answered_as_unchanged_is_unchanged(site: Site) -> None:
    """A 503 or 409 from inside the view: what the view had set before is not written after it."""
    client = site.app.test_client()
    with client.session_transaction() as session:
        session["a"] = 1

    @site.app.post("/")
    def view() -> str:
        session = flask_session
        session["a"] = 2
        Failing(site, made=False)
        session.incr("n")
        return ""

    assert client.post("/").status_code == 503
    with client.session_transaction() as session:
        assert dict(session) == {"a": 1}


def test_a_template_sees_keys_first(place: Place) -> None:
    """`{{ session.user }}` is the application's key; without one, what the library says."""
    app: Flask = make_site(place).app
    names = "user handle created unit link map available once draft items"

    @app.get("/<fill>")
    def view(fill: str) -> str:
        if fill == "full":
            flask_session.update(dict.fromkeys(names.split(), "mine"))
        source = " ".join(f"{{{{ session.{name} }}}}" for name in names.split()[:-1])
        return render_template_string(
            source + " {{ session['user'] }} {{ session.get('user') }} {{ session.items()|length }}"
            " {{ 'user' in session }} {{ session|length }} {% if session %}full{% endif %}"
        )

    client = app.test_client()
    assert client.get("/full").text == " ".join(["mine"] * 11) + " 10 True 10 full"
    assert "mine" not in app.test_client().get("/none").text


def test_a_login_that_is_refused_at_once_leaves_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of the wrong type, or a call that was broken off: nothing under the id from before."""
    browser = site.browser(keep=1)
    request = browser.begin()
    request.session["user_id"] = 7
    with pytest.raises(TypeError):
        request.session.bind(7)  # type: ignore[arg-type]

    def broken_off(*_: Any, **__: Any) -> None:
        raise SystemExit

    request.session["user_id"] = 7
    with monkeypatch.context() as patch:
        patch.setattr(StoredSession, "write", broken_off)
        with pytest.raises(SystemExit):
            request.session.bind("7")
    request.session["after"] = 1
    request.end()
    assert site.stored(browser) == {"keep": 1, "after": 1}
    assert site.sessions.of("7") == ()


def test_an_object_from_before_a_failed_login_cannot_change(site: Site) -> None:
    """What the request had set was dropped with the login; a later change of it would be lost."""
    site.sessions.revoke_all("7", stamp=2)
    request = site.browser(keep=1).begin()
    cart = request.session.setdefault("cart", {})
    with pytest.raises(StaleCredential):
        request.session.bind("7", stamp=1)
    cart["late"] = 1
    with pytest.raises(SessionError, match="cart: changed through an object"):
        request.end()


def test_the_page_of_an_error_reads_what_was_read(site: Site) -> None:
    """The store fails in the middle of a view: `on_error` still sees the session."""
    app: Any = site.app
    app.session_interface._on_error = lambda error: app.response_class(  # noqa: SLF001  (what Unsticky(on_error=) sets)
        f"{flask_session.get('lang')}", error.status
    )
    client = app.test_client()
    with client.session_transaction() as session:
        session["lang"] = "de"

    @site.app.post("/<read>")
    def view(read: str) -> str:
        session = flask_session
        if read == "first":
            session.get("lang")
        Failing(site, made=False)
        store = site.sessions.state.store
        store.read, kept = store.write, store.read  # type: ignore[assignment, method-assign]
        try:
            session.incr("n")
        finally:
            store.read = kept  # type: ignore[method-assign]
        return ""

    site.app.error_handler_spec[None][None].clear()
    app.register_error_handler(SessionError, site.sessions._answered)  # noqa: SLF001
    site.sessions._on_error = app.session_interface._on_error  # noqa: SLF001
    assert (client.post("/first").status_code, client.post("/first").text) == (503, "de")


def test_a_session_begun_again_by_who_emptied_it_is_the_same(site: Site) -> None:
    """In one request with an inner commit: others in flight begin the same one."""
    browser = site.browser(a=1)
    old = browser.cookie
    late = Browser(site.app, old).begin()
    request = browser.begin()
    request.session.pop("a")
    commit(unit_of(request.session))
    request.session["b"] = 2
    request.end()
    late.session["c"] = 3
    late.end()
    assert site.stored(Browser(site.app, old)) == {"b": 2, "c": 3}


def test_who_logs_in_after_a_logout_has_the_applications_limits(site: Site) -> None:
    """In one transaction, too: "remember me" was the other user's."""
    browser = site.browser(keep=1)
    with browser.visit() as session:
        session.set_lifetime(idle=4000)
        session.bind("7")
    request = browser.begin()
    with transacting(request.session):
        request.session.unbind("keep")
        request.session.bind("8")
    request.end()
    request = browser.begin()
    assert request.session.user == "8"
    assert unit_of(request.session).record is not None
    assert unit_of(request.session).record.idle is None  # type: ignore[union-attr]
