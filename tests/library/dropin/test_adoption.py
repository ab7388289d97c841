"""The sessions of Flask-Session, and of Flask itself, live on after the switch."""

import itertools
import json
import logging
import pickle
import threading
import uuid
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from http.cookies import SimpleCookie
from typing import Any

import flask_session
import msgpack
import pytest
import redis
from flask import Flask, jsonify, session
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from markupsafe import Markup
from unsticky import Unsticky
from unsticky.errors import ConfigurationError, OutcomeUnknown
from werkzeug.test import TestResponse

from tests.library.security.valkey import Valkey
from tests.support.waiting import PATIENCE, wait_until

_SECRET = "a secret that only the tests know"
_TOKEN = "0123456789abcdef0123456789abcdef01234567"
_numbers = itertools.count()
_TOMORROW = datetime.now(UTC) + timedelta(days=1)


class _User(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    def __init__(self, name: str) -> None:
        self.id = name


def _with_views(app: Flask) -> Flask:
    LoginManager(app).user_loader(_User)

    @app.get("/untouched")
    def untouched() -> ResponseReturnValue:
        return "the same for everyone"

    @app.get("/login/<name>")
    def login(name: str) -> ResponseReturnValue:
        session["cart"] = {"tea": 2}
        login_user(_User(name))
        return ""

    @app.get("/logout")
    def logout() -> ResponseReturnValue:
        logout_user()
        return ""

    @app.get("/clear")
    def clear() -> ResponseReturnValue:
        session.clear()
        return ""

    @app.get("/set/<name>/<value>")
    def set_(name: str, value: str) -> ResponseReturnValue:
        session[name] = value
        return ""

    @app.get("/permanent")
    def permanent() -> ResponseReturnValue:
        session.permanent = True
        session["kept"] = 1
        return ""

    @app.get("/look")
    def look() -> ResponseReturnValue:
        return jsonify(dict(session))

    @app.get("/me")
    def me() -> ResponseReturnValue:
        return jsonify(user=current_user.get_id(), data=dict(session))

    return app


class _Browser:
    """Keeps cookies, and brings them to whichever application it asks."""

    def __init__(self, cookies: dict[str, str] | None = None) -> None:
        self.cookies = dict(cookies or {})
        self.set_cookie = ""

    def get(self, app: Flask, path: str) -> TestResponse:
        header = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = app.test_client(use_cookies=False).get(
            path, headers={"Cookie": header, "User-Agent": "a browser"}
        )
        for line in answer.headers.getlist("Set-Cookie"):
            self.set_cookie = line
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if not morsel.value:
                    del self.cookies[name]
        return answer

    def user(self, app: Flask) -> Any:
        answer = self.get(app, "/me")
        assert answer.status_code == 200, answer.text
        return (answer.json or {})["user"]

    def data(self, app: Flask) -> dict[str, Any]:
        found: dict[str, Any] = self.get(app, "/look").json or {}
        return found

    def copy(self) -> "_Browser":
        return _Browser(self.cookies)


class _World:
    """One server, an application before the switch, and any number of workers after it."""

    def __init__(self, valkey: Valkey, kind: str) -> None:
        self.valkey = valkey
        self.kind = kind
        number = next(_numbers)
        self.old_prefix, self.prefix = f"old{number}:", f"new{number}:"
        self.client = redis.Redis.from_url(valkey.url)
        self._workers: list[Flask] = []
        self.old = self.worker_before()

    def worker_before(self, **config: Any) -> Flask:
        app = Flask("shop")
        app.config.update(SECRET_KEY=_SECRET, TESTING=True)
        if self.kind == "flask-session":
            app.config.update(
                SESSION_TYPE="redis", SESSION_REDIS=self.client, SESSION_KEY_PREFIX=self.old_prefix
            )
        app.config.update(config)
        if self.kind == "flask-session":
            flask_session.Session(app)
        return _with_views(app)

    def worker(self, **config: Any) -> Flask:
        app = Flask("shop")
        app.config.update(
            SECRET_KEY=_SECRET,
            TESTING=True,
            UNSTICKY_STORE=self.valkey.url,
            SESSION_KEY_PREFIX=self.prefix,
            UNSTICKY_ADOPT=self.kind,
            UNSTICKY_ADOPT_UNTIL=_TOMORROW,
            UNSTICKY_ADOPT_PREFIX=self.old_prefix,
            UNSTICKY_DEADLINE=PATIENCE,
        )
        app.config.update(config)
        Unsticky(app)
        self._workers.append(app)
        return _with_views(app)

    def sessions(self) -> list[bytes]:
        """Return the keys of the living sessions in the store."""
        keys = self.valkey.keys(self.prefix + "{*}:s:*")
        return [key for key in keys if b"\0m" in self.valkey.hash(key)]

    def forget_the_ended(self) -> None:
        """Let the minute pass for which the store remembers that a session ended."""
        for key in self.valkey.keys(self.prefix + "{*}:s:*"):
            if b"\0t" in self.valkey.hash(key):
                self.valkey.ask("DEL", key)

    def entries(self) -> list[bytes]:
        """Return the keys of Flask-Session's sessions."""
        keys = self.valkey.keys(self.old_prefix + "*")
        return [key for key in keys if b":adopted:" not in key]

    def close(self) -> None:
        for app in self._workers:
            app.extensions["unsticky"].close()
        self.client.close()


@pytest.fixture(name="world", params=["flask-session", "flask-cookie"])
def _world(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[_World]:
    world = _World(valkey, request.param)
    yield world
    world.close()


@pytest.fixture(name="entries")
def _entries(valkey: Valkey) -> Iterator[_World]:
    """A world with Flask-Session before the switch."""
    world = _World(valkey, "flask-session")
    yield world
    world.close()


@pytest.fixture(name="cookies")
def _cookies(valkey: Valkey) -> Iterator[_World]:
    """A world with Flask's signed cookies before the switch."""
    world = _World(valkey, "flask-cookie")
    yield world
    world.close()


def _secret(value: str) -> dict[str, str]:
    return {"SECRET_KEY": value}


def _signed_in(world: _World, name: str = "ann") -> _Browser:
    browser = _Browser()
    browser.get(world.old, f"/login/{name}")
    assert browser.user(world.old) == name
    return browser


def _filled(app: Flask, value: dict[str, Any]) -> _Browser:
    """Return a browser whose session holds `value`; `app` has served nothing before."""

    def fill() -> ResponseReturnValue:
        session.update(value)
        return ""

    app.add_url_rule("/fill", "fill", fill)
    browser = _Browser()
    browser.get(app, "/fill")
    return browser


def _seen(browser: _Browser, app: Flask) -> dict[str, Any]:
    """Return what a view sees in the session; `app` has served nothing before."""
    seen: dict[str, Any] = {}

    def see() -> ResponseReturnValue:
        seen.update(session)
        return ""

    app.add_url_rule("/see", "see", see)
    browser.get(app, "/see")
    return seen


def _sessions_of(app: Flask, user: str) -> list[str]:
    return [info.label for info in app.extensions["unsticky"].of(user)]


def _in_step(app: Flask, barrier: threading.Barrier) -> None:
    """Let each adoption of `app` wait for the others once it has read the old session."""
    predecessor = app.extensions["unsticky"].state.adoption.predecessor
    find = predecessor.find

    def find_and_wait(*arguments: Any) -> Any:
        found = find(*arguments)
        barrier.wait(PATIENCE)
        return found

    predecessor.find = find_and_wait


# The switch.


def test_a_user_stays_signed_in_with_the_data(world: _World) -> None:
    """After the switch a user is signed in, with the cart, under a new cookie, and is listed."""
    browser, app = _signed_in(world), world.worker()
    old = browser.cookies["session"]
    answer = browser.get(app, "/me").json or {}
    assert (answer["user"], answer["data"]["cart"]) == ("ann", {"tea": 2})
    assert browser.cookies["session"] != old
    assert _sessions_of(app, "ann") == ["a browser"]
    assert browser.user(app) == "ann"
    assert len(world.sessions()) == 1


def test_the_old_entry_is_gone(entries: _World) -> None:
    """Flask-Session's entry ends with the adoption."""
    browser = _signed_in(entries)
    assert len(entries.entries()) == 1
    assert browser.user(entries.worker()) == "ann"
    assert entries.entries() == []


def test_an_untouched_page_costs_nothing(world: _World) -> None:
    """A page that does not touch the session adopts nothing and asks no server."""
    browser, app = _signed_in(world), world.worker()
    before = world.valkey.calls()
    answer = browser.get(app, "/untouched")
    assert "Set-Cookie" not in answer.headers
    assert "Vary" not in answer.headers
    assert world.valkey.calls() == before


@pytest.mark.parametrize(("path", "trips"), [("/look", 0), ("/set/theme/dark", 1)])
def test_what_adopting_costs(world: _World, path: str, trips: int) -> None:
    """One trip makes the session and loads it; Flask-Session's entry costs two more, once."""
    app = world.worker()
    for _ in range(2):  # the first time the server learns the scripts
        browser, before = _signed_in(world), world.valkey.calls()
        browser.get(app, path)
        after = world.valkey.calls()
    assert after - before == {"flask-session": 3, "flask-cookie": 1}[world.kind] + trips


def test_both_may_have_one_prefix(entries: _World) -> None:
    """Flask-Session's entries and this library's keys may begin with the same text."""
    browser = _signed_in(entries)
    app = entries.worker(SESSION_KEY_PREFIX=entries.old_prefix)
    assert [browser.user(app) for _ in range(2)] == ["ann", "ann"]
    assert _sessions_of(app, "ann") == ["a browser"]
    app.extensions["unsticky"].revoke_everyone()
    assert browser.user(app) is None


def test_a_view_that_only_writes_keeps_the_rest(world: _World) -> None:
    """A view that sets a key without reading anything adds it to the adopted session."""
    browser, app = _signed_in(world), world.worker()
    browser.get(app, "/set/theme/dark")
    answer = browser.get(app, "/me").json or {}
    assert (answer["user"], answer["data"]["theme"]) == ("ann", "dark")
    assert answer["data"]["cart"] == {"tea": 2}


@pytest.mark.parametrize("path", ["/logout", "/clear"])
def test_the_first_request_may_be_a_logout(world: _World, path: str) -> None:
    """A logout with the old cookie ends the old session, whatever the view read before."""
    browser, app = _signed_in(world), world.worker()
    thief = browser.copy()
    assert browser.get(app, path).status_code == 200
    assert thief.user(app) is None
    assert _sessions_of(app, "ann") == []


@pytest.mark.parametrize("permanent", [False, True])
def test_a_permanent_cookie_stays_permanent(cookies: _World, *, permanent: bool) -> None:
    """The new cookie outlives the browser exactly where the old one did."""
    browser, app = _Browser(), cookies.worker()
    browser.get(cookies.old, "/permanent" if permanent else "/set/kept/1")
    browser.get(app, "/set/theme/dark")
    assert ("Max-Age" in browser.set_cookie) is permanent


def test_an_anonymous_session_is_adopted_for_as_long_as_it_had(world: _World) -> None:
    """A cart of a visitor who is not signed in is kept for the idle limit, not that of bots."""
    browser, app = _Browser(), world.worker()
    browser.get(world.old, "/set/cart/tea")
    browser.get(world.old, f"/set/csrf_token/{_TOKEN}")
    for _ in range(2):
        assert browser.data(app)["cart"] == "tea"
        (key,) = world.sessions()
        assert world.valkey.ask("PTTL", key) > timedelta(days=30) / timedelta(milliseconds=1)


def test_values_keep_their_types(cookies: _World) -> None:
    """What Flask's tagged JSON holds comes back with its type."""
    value = {
        "tuple": (1, 2),
        "bytes": b"\0\xff",
        "markup": Markup("<b>"),
        "uuid": uuid.UUID(int=1),
        "datetime": datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
        "list": [None, True, 1.5, "ä"],
    }
    browser = _filled(cookies.old, value)
    seen = _seen(browser, cookies.worker())
    assert seen == value
    assert {name: type(item) for name, item in seen.items()} == {
        name: type(item) for name, item in value.items()
    }


@pytest.mark.parametrize("written", ["msgpack", "json"])
def test_both_formats_are_read(entries: _World, written: str) -> None:
    """Flask-Session's MessagePack and JSON come back as Flask-Session would have read them."""
    old = entries.worker_before(SESSION_SERIALIZATION_FORMAT=written)
    value = {"n": 1, "at": datetime(2020, 1, 2, tzinfo=UTC), "list": [1, "ä"], "tuple": (1, 2)}
    browser = _filled(old, value)
    again = entries.worker_before(SESSION_SERIALIZATION_FORMAT=written)
    expected = _seen(browser.copy(), again)
    assert _seen(browser, entries.worker()) == expected
    assert expected["n"] == 1


@pytest.mark.filterwarnings("ignore:The 'use_signer' option:DeprecationWarning")
@pytest.mark.parametrize("said", [False, True])
def test_signed_ids_are_read(entries: _World, *, said: bool) -> None:
    """Ids that Flask-Session signed are found, also once its setting is gone."""
    old = entries.worker_before(SESSION_USE_SIGNER=True)
    browser = _Browser()
    browser.get(old, "/login/ann")
    assert "." in browser.cookies["session"]
    assert browser.user(entries.worker(**({"SESSION_USE_SIGNER": True} if said else {}))) == "ann"


@pytest.mark.filterwarnings("ignore:The 'use_signer' option:DeprecationWarning")
def test_an_unsigned_id_counts_only_where_none_was_signed(entries: _World) -> None:
    """With SESSION_USE_SIGNER an id without a signature, or with a wrong one, opens nothing."""
    old = entries.worker_before(SESSION_USE_SIGNER=True)
    browser = _Browser()
    browser.get(old, "/login/ann")
    app = entries.worker(SESSION_USE_SIGNER=True)
    sid, _, _ = browser.cookies["session"].partition(".")
    for value in (sid, f"{sid}.AAAA", f"{sid}."):
        assert _Browser({"session": value}).user(app) is None


def test_a_new_secret_may_come_with_the_switch(world: _World) -> None:
    """Cookies that a fallback secret signed are adopted, and joined after the next rotation."""
    browser = _signed_in(world)
    late = browser.copy()
    first = world.worker(SECRET_KEY_FALLBACKS=[_SECRET], **_secret("new"))
    assert browser.user(first) == "ann"
    second = world.worker(SECRET_KEY_FALLBACKS=["new", _SECRET], **_secret("newer"))
    assert late.user(second) == "ann"
    assert len(world.sessions()) == 1


def test_another_cookie_name(world: _World) -> None:
    """The new cookie may have another name; the old one is then read under its own."""
    browser = _signed_in(world)
    app = world.worker(SESSION_COOKIE_NAME="sid", UNSTICKY_ADOPT_COOKIE="session")
    assert browser.user(app) == "ann"
    assert set(browser.cookies) == {"sid"}
    assert browser.user(app) == "ann"
    assert browser.get(app, "/logout").status_code == 200
    assert browser.user(app) is None


def test_an_old_cookie_is_deleted_with_the_attributes_that_it_was_set_with(world: _World) -> None:
    """A browser keeps a partitioned cookie that is deleted without Partitioned."""
    browser = _signed_in(world)
    app = world.worker(
        SESSION_COOKIE_NAME="sid",
        UNSTICKY_ADOPT_COOKIE="session",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_PARTITIONED=True,
    )
    answer = browser.get(app, "/me")
    deleted = [line for line in answer.headers.getlist("Set-Cookie") if line.startswith("session=")]
    assert len(deleted) == 1
    assert {"Max-Age=0", "Secure", "HttpOnly", "Partitioned", "SameSite=Lax"} <= set(
        deleted[0].split("; ")
    )


def test_applications_name_their_users_field(world: _World) -> None:
    """Without Flask-Login, UNSTICKY_ADOPT_USER_FIELD says whose session it is."""
    browser = _Browser()
    browser.get(world.old, "/set/customer/bob")
    app = world.worker(UNSTICKY_ADOPT_USER_FIELD="customer", UNSTICKY_FLASK_LOGIN=False)
    assert browser.data(app)["customer"] == "bob"
    assert _sessions_of(app, "bob") == ["a browser"]


def test_without_flask_login_nobody_is_bound(world: _World) -> None:
    """With UNSTICKY_FLASK_LOGIN off the application binds; adopting leaves that to it."""
    browser, app = _signed_in(world), world.worker(UNSTICKY_FLASK_LOGIN=False)
    assert browser.user(app) == "ann"
    assert _sessions_of(app, "ann") == []


# Once.


def test_two_requests_at_once_adopt_once(world: _World) -> None:
    """Two workers that read the old session at the same time make one session and one cookie."""
    browser = _signed_in(world)
    workers, barrier = [world.worker(), world.worker()], threading.Barrier(2)
    for app in workers:
        _in_step(app, barrier)
    tabs = [browser.copy(), browser.copy()]
    with ThreadPoolExecutor(2) as pool:
        users = list(pool.map(_Browser.user, tabs, workers))
    assert users == ["ann", "ann"]
    assert len(world.sessions()) == 1
    assert _values(tabs[0]) == _values(tabs[1])
    assert _sessions_of(workers[0], "ann") == ["a browser"]


def _values(browser: _Browser) -> bytes:
    """Return bucket and id of the session's cookie, without its deadline and signature."""
    body = urlsafe_b64decode(browser.cookies["session"])
    return body[1:3] + body[8:40]


def test_pages_with_many_requests_adopt_once(world: _World) -> None:
    """Six requests at once for each of ten users, on two workers: one session for each user."""
    names = [f"user{number}" for number in range(10)]
    browsers = [_signed_in(world, name) for name in names]
    workers = [world.worker(), world.worker()]
    requests = [(browser.copy(), workers[n % 2]) for browser in browsers for n in range(6)]
    with ThreadPoolExecutor(8) as pool:
        users = list(pool.map(lambda request: request[0].user(request[1]), requests))
    assert users == [name for name in names for _ in range(6)]
    assert len(world.sessions()) == 10
    assert [len(_sessions_of(workers[0], name)) for name in names] == [1] * 10


def test_a_worker_that_dies_half_way_repeats_harmlessly(
    entries: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the new session was made and the old entry was not ended, the next request joins."""
    browser, app = _signed_in(entries), entries.worker()
    predecessor = app.extensions["unsticky"].state.adoption.predecessor

    def die(*_: object) -> None:
        raise OutcomeUnknown

    with monkeypatch.context() as patch:
        patch.setattr(predecessor, "end", die)
        assert browser.copy().user(app) == "ann"
    thief = browser.copy()
    assert len(entries.entries()) == 1
    assert browser.user(app) == "ann"
    assert len(entries.sessions()) == 1
    assert entries.entries() == []
    browser.get(app, "/logout")
    assert thief.user(app) is None


def test_a_late_request_joins(world: _World) -> None:
    """A request that was sent with the old cookie and arrives after the adoption is the user's."""
    browser, app = _signed_in(world), world.worker()
    late = browser.copy()
    browser.get(app, "/set/theme/dark")
    assert late.data(app)["theme"] == "dark"
    assert late.user(app) == "ann"
    assert len(world.sessions()) == 1


def test_visitors_with_the_same_cookie_are_kept_apart(cookies: _World) -> None:
    """Two visitors whom Flask gave the same cookie, in one second, never share a session."""
    serializer = cookies.old.session_interface.get_signing_serializer(cookies.old)  # type: ignore[attr-defined]  # Flask's own
    value = serializer.dumps({"lang": "de"})
    visitors, app = [_Browser({"session": value}) for _ in range(2)], cookies.worker()
    visitors[0].get(app, "/set/customer/bob")
    assert visitors[1].data(app) == {"lang": "de"}
    assert visitors[0].data(app) == {"lang": "de", "customer": "bob"}


# The dead stay dead.


@pytest.mark.parametrize("path", ["/logout", "/clear"])
@pytest.mark.parametrize("later", [False, True])
def test_a_copied_old_cookie_does_not_log_in_after_a_logout(
    world: _World, path: str, *, later: bool
) -> None:
    """After the logout the old cookie opens nothing, on this worker and on others, at any time."""
    browser, app = _signed_in(world), world.worker()
    thief = browser.copy()
    assert browser.user(app) == "ann"
    browser.get(app, path)
    if later:
        world.forget_the_ended()
    assert thief.copy().user(app) is None
    assert thief.copy().user(world.worker()) is None
    assert thief.copy().data(world.worker()) == {}


def test_an_earlier_cookie_of_the_same_login_is_the_same(cookies: _World) -> None:
    """Flask signs a new cookie at each write; with Flask-WTF's token a logout ends them all."""
    browser, app = _Browser(), cookies.worker()
    browser.get(cookies.old, f"/set/csrf_token/{_TOKEN}")
    before = browser.copy()
    browser.get(cookies.old, "/login/ann")
    thief = browser.copy()
    browser.get(cookies.old, "/set/theme/dark")
    assert browser.user(app) == "ann"
    assert (before.user(app), before.data(app).get("theme")) == (None, None)
    browser.get(app, "/logout")
    cookies.forget_the_ended()
    assert thief.user(app) is None


@pytest.mark.parametrize("binds", [False, True])
def test_the_next_user_of_a_browser_shares_nothing_with_the_last(
    cookies: _World, *, binds: bool
) -> None:
    """Flask-WTF's token outlives a login; whose cookie it is counts, too."""
    browser, app = _Browser(), cookies.worker(UNSTICKY_FLASK_LOGIN=binds)
    browser.get(cookies.old, f"/set/csrf_token/{_TOKEN}")
    browser.get(cookies.old, "/login/ann")
    anns = browser.copy()
    browser.get(cookies.old, "/login/bob")
    assert browser.user(app) == "bob"
    assert anns.user(app) == "ann"
    assert browser.user(app) == "bob"


def test_another_spelling_of_the_old_cookie_is_the_same(cookies: _World) -> None:
    """Flask accepts a signature in many spellings; none logs in again after a logout."""
    browser, app = _signed_in(cookies), cookies.worker()
    value = browser.cookies["session"]
    browser.get(app, "/logout")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    place = letters.index(value[-1])  # two bits of the last letter are spare
    others = [value[:-1] + letters[place ^ bits] for bits in (1, 2, 3)]
    spellings = [*others, value + "=", f"{value[:-3]}!!!!{value[-3:]}"]
    for spelling in spellings:
        thief = _Browser({"session": spelling})
        assert thief.user(cookies.old) == "ann"
        assert thief.user(app) is None


def test_an_entry_that_an_old_worker_wrote_again_opens_nothing(entries: _World) -> None:
    """A slow request of the old library that saves after the adoption revives nothing."""
    browser, app = _signed_in(entries), entries.worker()
    thief = browser.copy()
    (key,) = entries.entries()
    data = entries.client.get(key)
    assert browser.user(app) == "ann"
    browser.get(app, "/logout")
    assert isinstance(data, bytes)
    entries.client.set(key, data)
    assert thief.user(app) is None


def test_ending_all_sessions_of_a_user_reaches_the_old_cookies(world: _World) -> None:
    """`revoke_all` also ends the old sessions that were not adopted yet."""
    phone, laptop, app = _signed_in(world), _signed_in(world), world.worker()
    phone.get(world.old, "/set/device/phone")  # or Flask gives both the same cookie
    assert laptop.user(app) == "ann"
    app.extensions["unsticky"].revoke_all("ann")
    assert laptop.user(app) is None
    assert phone.user(app) is None
    assert phone.copy().user(world.worker()) is None


def test_a_new_credential_refuses_the_old_cookies(world: _World) -> None:
    """A changed password, recorded by `revoke_all(stamp=...)`, holds against old cookies."""
    phone, app = _signed_in(world), world.worker()
    app.extensions["unsticky"].revoke_all("ann", stamp=0)
    assert phone.user(app) is None


def test_a_request_that_comes_after_the_next_login_leaves_the_cookie_alone(world: _World) -> None:
    """A late request with the old cookie does not replace the cookie of a login since."""
    browser, app = _signed_in(world), world.worker()
    late = browser.copy()
    browser.user(app)
    browser.get(app, "/login/ann")
    answer = late.get(app, "/look")
    assert answer.json == {}
    assert "Set-Cookie" not in answer.headers
    assert browser.user(app) == "ann"


# What is not adopted.


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value[:-4] + "AAAA",
        lambda value: "A" + value[1:],
        lambda value: value.replace(".", ""),
        lambda value: value[:10],
        lambda value: value + "A" * 20_000,
        lambda value: "é\x7f" + value,
    ],
)
def test_tampered_cookies_open_nothing(
    cookies: _World, change: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    """A cookie that Flask would refuse is refused; it is neither shown nor logged."""
    caplog.set_level(logging.DEBUG)
    value, app = change(_signed_in(cookies).cookies["session"]), cookies.worker()
    answer = _Browser({"session": value}).get(app, "/me")
    assert (answer.json or {}) == {"user": None, "data": {}}
    assert value not in answer.text + str(answer.headers) + caplog.text
    assert cookies.sessions() == []


@pytest.mark.parametrize(
    "sid",
    ["short", "../session:secret-config-entry", "{0}:s:AAAAAAAAAAAAAAAAAAAAAA", "a b", "x" * 300],
)
def test_hostile_ids_cause_no_call(entries: _World, sid: str) -> None:
    """What Flask-Session cannot have made as an id never reaches the server."""
    app, before = entries.worker(), entries.valkey.calls()
    assert _Browser({"session": sid}).data(app) == {}
    assert entries.valkey.calls() == before


def test_expired_cookies_open_nothing(cookies: _World) -> None:
    """A cookie older than the idle limit is not adopted."""
    browser = _signed_in(cookies)
    app = cookies.worker(PERMANENT_SESSION_LIFETIME=1)
    threading.Event().wait(2.1)
    assert browser.user(app) is None


_exploded: list[int] = []


def _explode() -> None:
    _exploded.append(1)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (_explode, ())


_HOSTILE: dict[str, Callable[[], bytes]] = {
    "pickle": lambda: pickle.dumps({"_user_id": "ann", "bomb": _Bomb()}),
    "an old pickle": lambda: pickle.dumps({"_user_id": "ann"}, protocol=0),
    "no dict": lambda: msgpack.packb(["_user_id", "ann"]),
    "cut off": lambda: msgpack.packb({"_user_id": "ann"})[:-1],
    "extension": lambda: msgpack.packb({"_user_id": "ann", "x": msgpack.ExtType(5, b"x")}),
    "deep MessagePack": lambda: b"\x81\xa1x" + b"\x91" * 100_000 + b"\xc0",
    "deep JSON": lambda: b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "cut JSON": lambda: b'{"_user_id": "ann"',
    "large": lambda: json.dumps({"_user_id": "ann", "x": "y" * 2_000_000}).encode(),
    "empty": lambda: b"",
    "nothing but permanence": lambda: msgpack.packb({"_permanent": True}),
}


def test_the_bomb_would_explode() -> None:
    """What the next test plants runs where pickle is read."""
    pickle.loads(_HOSTILE["pickle"]())  # noqa: S301 (the point of it)
    assert _exploded == [1]
    _exploded.clear()


@pytest.mark.parametrize("name", _HOSTILE)
def test_hostile_entries_open_nothing(
    entries: _World, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Pickle is never read, and what cannot be read is no session; the page is served."""
    sid = "s" * 43
    entries.client.set(entries.old_prefix + sid, _HOSTILE[name]())
    answer = _Browser({"session": sid}).get(entries.worker(), "/me")
    assert (answer.json or {}) == {"user": None, "data": {}}
    assert _exploded == []
    assert sid not in caplog.text
    assert entries.sessions() == []


def test_pickle_is_said_once(entries: _World, caplog: pytest.LogCaptureFixture) -> None:
    """The log says once that there are sessions of an earlier Flask-Session, and what to do."""
    app = entries.worker()
    for number in range(3):
        sid = f"{number}" * 43
        entries.client.set(entries.old_prefix + sid, pickle.dumps({"_user_id": "ann"}))
        assert _Browser({"session": sid}).user(app) is None
    assert caplog.text.count("Flask-Session 0.8") == 1


def test_a_key_of_another_type_opens_nothing(entries: _World) -> None:
    """An id that names a hash or a list is no session, and no outage."""
    sid = "s" * 43
    entries.client.hset(entries.old_prefix + sid, "a", "b")
    assert _Browser({"session": sid}).data(entries.worker()) == {}


def test_what_does_not_fit_is_left_out(entries: _World, caplog: pytest.LogCaptureFixture) -> None:
    """A field that cannot be stored, or makes the session too large, is dropped; the rest stays."""
    sid = "s" * 43
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    fields = {"_user_id": "ann", "large": "x" * 70_000, "deep": deep, 5: 6, "n" * 300: 1}
    entries.client.set(entries.old_prefix + sid, msgpack.packb(fields))
    answer = _Browser({"session": sid}).get(entries.worker(), "/me").json or {}
    assert (answer["user"], set(answer["data"]) - {"_fresh"}) == ("ann", {"_user_id"})
    assert caplog.text.count("a field was not adopted") == 4
    assert "xxx" not in caplog.text


@pytest.mark.parametrize("until", [datetime.now(UTC), "2020-01-01", date(2020, 1, 1)])
def test_nothing_is_adopted_later(
    world: _World, until: object, caplog: pytest.LogCaptureFixture
) -> None:
    """After UNSTICKY_ADOPT_UNTIL old cookies do not count, and the log says what to remove."""
    browser, app = _signed_in(world), world.worker(UNSTICKY_ADOPT_UNTIL=until)
    assert browser.user(app) is None
    assert caplog.text.count("remove the settings that begin with UNSTICKY_ADOPT") == 1


def test_a_worker_that_runs_when_the_time_is_over_stops(
    world: _World, caplog: pytest.LogCaptureFixture
) -> None:
    """The end is kept by workers that started before it, without a restart."""
    browser = _signed_in(world)

    def in_time() -> Flask | None:
        caplog.clear()
        app = world.worker(UNSTICKY_ADOPT_UNTIL=datetime.now(UTC) + timedelta(seconds=1))
        return app if browser.copy().user(app) == "ann" else None

    app = wait_until(in_time, "an adoption within a second")
    threading.Event().wait(1.1)
    assert [browser.copy().user(app) for _ in range(2)] == [None, None]
    assert caplog.text.count("remove the settings") == 1


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"UNSTICKY_ADOPT_UNTIL": None}, "UNSTICKY_ADOPT_UNTIL is None: use a day"),
        ({"UNSTICKY_ADOPT_UNTIL": "soon"}, "UNSTICKY_ADOPT_UNTIL is 'soon': use a day"),
        ({"UNSTICKY_ADOPT_UNTIL": 5}, "UNSTICKY_ADOPT_UNTIL is 5: use a day"),
        ({"UNSTICKY_ADOPT": "django"}, "UNSTICKY_ADOPT is 'django': use 'flask-session'"),
        ({"UNSTICKY_ADOPT": None}, "UNSTICKY_ADOPT is None: use 'flask-session'"),
        ({"UNSTICKY_ADOPT_PREFIX": None}, "UNSTICKY_ADOPT_PREFIX is not set, and SESSION_KEY"),
        (
            {"UNSTICKY_STORE": "memory://"},
            "the store of Flask-Session is not known: set SESSION_REDIS",
        ),
        ({"SESSION_REDIS": "redis://"}, "SESSION_REDIS is a str"),
        ({"UNSTICKY_PEPPER_FALLBACKS": [""]}, "cannot be used together"),
    ],
)
def test_settings_that_are_wrong_refuse_to_start(
    entries: _World, config: dict[str, Any], said: str
) -> None:
    """A missing or malformed setting refuses to start, and says what to write."""
    with pytest.raises(ConfigurationError, match=said):
        entries.worker(**config)


@pytest.mark.parametrize("until", ["2999-12-31", "2999-12-31T10:00:00", date(2999, 12, 31)])
def test_the_end_may_be_written_in_several_ways(world: _World, until: object) -> None:
    """A day, an instant, and either as text are the end of adopting."""
    browser, app = _signed_in(world), world.worker(UNSTICKY_ADOPT_UNTIL=until)
    assert browser.user(app) == "ann"


def test_a_store_that_is_away_is_said_and_adopts_later(valkey: Valkey) -> None:
    """While the server cannot be reached the answer is 503 and the cookie stays; then it works."""
    own = Valkey()
    own.start()
    world = _World(own, "flask-session")
    try:
        browser, app = (
            _signed_in(world),
            world.worker(
                UNSTICKY_STORE=valkey.url, SESSION_REDIS=world.client, UNSTICKY_DEADLINE=1.0
            ),
        )
        own.pause()
        answer = browser.get(app, "/me")
        own.resume()
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (503, False)
        threading.Event().wait(1.1)
        assert browser.user(app) == "ann"
    finally:
        world.close()
        own.dispose()


@pytest.mark.parametrize("path", ["/logout", "/clear"])
def test_the_memory_store_adopts_once_too(cookies: _World, path: str) -> None:
    """In one process without a server a late request joins, and a copy opens nothing later."""
    browser, app = _signed_in(cookies), cookies.worker(UNSTICKY_STORE="memory://")
    late, thief = browser.copy(), browser.copy()
    browser.get(app, "/set/theme/dark")
    assert late.data(app)["theme"] == "dark"
    browser.get(app, path)
    assert thief.user(app) is None


# The way back, and side by side.


def test_the_way_back(world: _World) -> None:
    """After a return to the old library users whose session was adopted log in again, no more."""
    browser, waiting = _signed_in(world), _signed_in(world, "bob")
    app = world.worker()
    assert browser.user(app) == "ann"
    back = world.worker_before()
    assert browser.user(back) is None
    assert waiting.user(back) == "bob"
    browser.get(back, "/login/ann")
    assert browser.user(back) == "ann"
    assert browser.user(world.worker()) == "ann"


def test_side_by_side_under_two_names_nobody_ends_up_signed_out(world: _World) -> None:
    """With a new cookie name a visitor may alternate: the new workers know him all the while."""
    browser, old = _signed_in(world), world.old
    new = world.worker(SESSION_COOKIE_NAME="sid", UNSTICKY_ADOPT_COOKIE="session")
    for _ in range(3):
        assert browser.user(new) == "ann"
        browser.get(old, "/login/ann")
        browser.get(old, "/set/theme/dark")
    assert browser.user(new) == "ann"
    browser.get(new, "/logout")
    assert (browser.user(new), browser.user(old)) == (None, None)


def test_side_by_side_under_one_name_a_write_of_an_old_worker_logs_out(world: _World) -> None:
    """With one cookie name an old worker that writes replaces the new cookie: it is a logout."""
    browser, old, new = _signed_in(world), world.old, world.worker()
    assert browser.user(new) == "ann"
    assert browser.user(old) is None
    assert browser.user(new) == "ann"
    browser.get(old, "/set/theme/dark")
    assert browser.user(new) is None
