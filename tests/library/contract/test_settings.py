"""Flask's own settings are read when Flask reads them; the cookie follows what they say."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from unsticky import ConfigurationError, Session, Unsticky
from unsticky import session as flask_session
from unsticky.stores import Caps, MemoryStore

from tests.support.browsers import Answer, Browser, Site, cookie_of, make_site, reference_of
from tests.support.stores.places import AtServer, Memory, Place


def counting(app: Flask) -> FlaskClient:
    """Let the application count in its session; return a client."""

    @app.get("/")
    def view() -> str:
        flask_session["n"] = flask_session.get("n", 0) + 1
        return str(flask_session["n"])

    return app.test_client()


def test_a_secret_may_come_later() -> None:
    """As in Flask: without one the session is empty and refuses changes, with one it works."""
    app = Flask("late")
    Unsticky(app)
    client = counting(app)
    app.testing = True
    with pytest.raises(RuntimeError, match="no secret key was set"):
        client.get("/")
    app.secret_key = "x" * 20
    assert [client.get("/").text for _ in range(2)] == ["1", "2"]


def test_a_secret_may_stand_on_the_class() -> None:
    """Flask reads `app.secret_key`, wherever that comes from."""

    class Application(Flask):
        secret_key = "of the class"

    app = Application("class")
    Unsticky(app)
    client = counting(app)
    assert [client.get("/").text for _ in range(2)] == ["1", "2"]


def test_secrets_are_rotated_while_the_application_runs(site: Site) -> None:
    """A fallback keeps sessions; under another secret the cookie is nobody's, and is left alone."""
    client = counting(site.app)
    assert client.get("/").text == "1"
    first = client.get_cookie("session")
    site.app.secret_key, old = "another", site.app.secret_key
    stranger = site.app.test_client()
    assert first
    stranger.set_cookie("session", first.value)
    assert stranger.get("/").text == "1"
    site.app.config["SECRET_KEY_FALLBACKS"] = [old]
    assert client.get("/").text == "2"
    assert cookie_of(client) != first.value
    site.app.config["SECRET_KEY_FALLBACKS"] = []
    assert client.get("/").text == "3"


def test_a_lower_idle_limit_counts_at_the_next_visit(place: Place) -> None:
    """The most copied recipe: the limit is set in `before_request`, and the store obeys it."""
    site = make_site(place, PERMANENT_SESSION_LIFETIME=timedelta(days=31))
    browser = site.browser(a=1)
    with browser.visit() as session:
        assert session["a"] == 1  # from now on it lives for 31 days
    if isinstance(place, AtServer):
        where = reference_of(Browser(site.app, browser.cookie).begin().session)
        place.plant(where, b"\0s", b"%013d" % (place.now() - 360_000))
    else:
        place.let_pass(360_000)
    request = browser.begin()
    request.session.permanent = True
    site.app.permanent_session_lifetime = timedelta(minutes=5)
    assert dict(request.session) == {}
    request.end()


def test_settings_of_ours_cannot_change_later() -> None:
    """They were read at the start: the first request says so, in debug each."""
    app = Flask("late")
    app.secret_key = "x" * 20
    app.testing = True
    Unsticky(app)
    client = counting(app)
    app.config["UNSTICKY_MAX_BYTES"] = 5
    with pytest.raises(ConfigurationError, match="UNSTICKY_MAX_BYTES was changed"):
        client.get("/")
    del app.config["UNSTICKY_MAX_BYTES"]
    assert client.get("/").text == "1"
    app.config["UNSTICKY_MERGE"] = {}
    assert client.get("/").text == "2"
    app.debug = True
    with pytest.raises(ConfigurationError, match="UNSTICKY_MERGE was changed"):
        client.get("/")


@pytest.mark.parametrize("kind", ["new", "of one value", "not loaded"])
def test_permanence_reaches_the_browser(site: Site, kind: str) -> None:
    """Turned on or off for a session that exists, the cookie's age follows, once."""
    browser = site.browser(a=1)

    def visit(*, permanent: bool | None) -> Answer:
        request = browser.begin()
        if permanent is not None:
            request.session.permanent = permanent
        if kind != "not loaded":
            request.session["a"] = 1 if kind == "of one value" else object_number()
        return request.end()

    numbers = iter(range(100))

    def object_number() -> int:
        return next(numbers)

    on = visit(permanent=True)
    assert "Max-Age=2678400" in on.headers["Set-Cookie"]
    assert visit(permanent=True).cookie is None
    assert visit(permanent=None).cookie is None
    off = visit(permanent=False)
    assert off.cookie
    assert "Max-Age" not in off.headers["Set-Cookie"]
    assert "Expires" not in off.headers["Set-Cookie"]
    assert visit(permanent=False).cookie is None
    request = browser.begin()
    assert request.session.permanent is False


def test_a_session_with_limits_of_its_own(place: Place) -> None:
    """Remember me: 30 days for this session, two hours for the others; the cookie's age says so."""
    site = make_site(place, PERMANENT_SESSION_LIFETIME=timedelta(hours=2))
    browser, other = site.browser(a=1), site.browser(a=1)
    for visitor in (browser, other):
        request = visitor.begin()
        request.session.permanent = True
        request.session.bind("ann")
        if visitor is browser:
            request.session.set_lifetime(idle=timedelta(days=30), absolute=timedelta(days=200))
        age = int(request.end().headers["Set-Cookie"].split("Max-Age=")[1].split(";")[0])
        assert age == (30 * 86_400 if visitor is browser else 7_200)
    if isinstance(place, Memory):
        place.let_pass(29 * 86_400_000)
        assert other.begin().session.user is None
        request = browser.begin()
        assert request.session.user == "ann"
        assert "Max-Age=2592000" in request.end().headers["Set-Cookie"]
    request = browser.begin()
    request.session.unbind()
    answer = request.end()
    assert "Max-Age=7200" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("value", [0, -1, "1h", True, float("nan"), timedelta.max])
def test_a_limit_that_is_none_is_refused(value: Any) -> None:
    """The message names the argument."""
    session = make_site(Memory()).browser(a=1).begin().session
    with pytest.raises(ConfigurationError, match="idle"):
        session.set_lifetime(idle=value)


def test_limits_alone_begin_no_session(site: Site) -> None:
    """Like `permanent`: a session exists once something is in it."""
    request = site.browser().begin()
    request.session.set_lifetime(idle=60)
    request.session.permanent = True
    assert request.end().cookie is None


CookieHeader = Callable[[str], str]


@pytest.mark.parametrize(
    "header",
    [
        lambda good: f"session=stale; session={good}",
        lambda good: f"session={good}; session=stale",
        lambda good: f'session="{good}"',
        lambda good: f"session=stale;session={good}",
        lambda good: f"a=b, session={good}",
        lambda good: f"session=stale, session={good}",
        lambda good: f"session=; session={good}; c=d",
        lambda good: f"{'session=x; ' * 6}session={good}",
    ],
)
def test_of_several_cookies_the_good_one_counts(site: Site, header: CookieHeader) -> None:
    """Browsers send one for each path and domain they were set for; proxies join headers."""
    client = counting(site.app)
    client.get("/")
    other = site.app.test_client(use_cookies=False)
    assert other.get("/", headers={"Cookie": header(cookie_of(client))}).text == "2"


@pytest.mark.parametrize("ended", ["destroyed", "rotated", "expired"])
@pytest.mark.parametrize("use", ["read", "incr", "bind", "destroy"])
def test_a_stale_cookie_does_not_hide_the_living(place: Place, ended: str, use: str) -> None:
    """Both were signed here, the first one's session is gone: the second one is found."""
    site = make_site(place)
    stale, living = site.browser(a=1), site.browser(a=2)
    request = Browser(site.app, stale.cookie).begin()
    if ended == "expired":
        where = reference_of(request.session)
        place.expire(where)
    else:
        request.session.destroy() if ended == "destroyed" else request.session.rotate()
    both = Browser(site.app, f"{stale.cookie}; session={living.cookie}")
    request = both.begin()
    session: Session = request.session
    if use == "read":
        assert session["a"] == 2
    elif use == "incr":
        assert session.incr("a") == 3
    elif use == "bind":
        session.bind("ann")
        assert session["a"] == 2
    else:
        session.destroy()
        assert site.stored(living) is None
    assert request.end().status == 200


def test_a_cookie_of_another_name_is_not_ours(site: Site) -> None:
    """A name that ends like ours is another cookie."""
    client = counting(site.app)
    client.get("/")
    other = site.app.test_client(use_cookies=False)
    assert other.get("/", headers={"Cookie": f"mysession={cookie_of(client)}"}).text == "1"


def test_one_object_serves_several_applications() -> None:
    """A factory that is called twice, as test suites do: each application has its own sessions."""
    sessions = Unsticky()
    apps = []
    for number in range(2):
        app = Flask(f"app{number}")
        app.config.update(SECRET_KEY="x" * 20, UNSTICKY_STORE="memory://")
        sessions.init_app(app)
        apps.append(app)
        app.add_url_rule("/in", "in", lambda: str(flask_session.bind("ann")))  # type: ignore[func-returns-value]
    first, second = apps
    first.test_client().get("/in")
    with first.app_context():
        assert len(sessions.of("ann")) == 1
    with second.app_context():
        assert sessions.of("ann") == ()
    with pytest.raises(ConfigurationError, match="several applications"):
        sessions.of("ann")
    with pytest.raises(ConfigurationError, match="already"):
        sessions.init_app(first)
    sessions.close()


def test_a_given_store_is_used_by_each_application(caplog: pytest.LogCaptureFixture) -> None:
    """`Unsticky(store=…)` keeps all its applications' sessions there, whatever the settings say."""
    caplog.set_level("INFO", "unsticky")
    store = MemoryStore(Caps(fields=10, bytes=1000))
    sessions = Unsticky(store=store)
    for number in range(2):
        app = Flask(f"app{number}")
        app.config.update(SECRET_KEY="x" * 20, UNSTICKY_STORE="redis://nowhere.invalid")
        sessions.init_app(app)
        with app.test_client().session_transaction() as session:
            session["n"] = number
        with app.app_context():
            assert sessions.state.store is store
    assert "UNSTICKY_STORE is not used: Unsticky(store=…) was given a store" in caplog.text
    assert "sessions are kept by memory:// (Unsticky(store=…))" in caplog.text
