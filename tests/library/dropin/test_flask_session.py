"""What applications do with `flask.session` keeps working, unchanged."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from flask import Flask, flash, get_flashed_messages, jsonify, session
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from .conftest import NewApp

View = Callable[[], ResponseReturnValue]


def _routes(app: Flask, **views: Callable[[], object]) -> None:
    """Serve each view under its own name; what it returns is the answer's JSON."""
    for name, view in views.items():

        def answer(view: Callable[[], object] = view) -> ResponseReturnValue:
            return jsonify(view())

        app.add_url_rule(f"/{name}", name, answer)


def test_a_dicts_methods_work(new_app: NewApp, store: str) -> None:
    """Set, get, update, setdefault, pop, `in`, len, bool, iteration and del are a dict's."""
    app = new_app(store)

    def fill() -> object:
        empty = bool(session)
        session["a"] = 1
        session.update(b=2, c=3)
        session.update({"d": 4})
        return [empty, session.setdefault("a", 9), session.setdefault("e", 5)]

    def look() -> object:
        return {
            "in": ["a" in session, "z" in session, cast("str", 7) in session],
            "get": [session.get("b"), session.get("z"), session.get("z", 0)],
            "len": len(session),
            "bool": bool(session),
            "keys": sorted(session),
            "items": sorted(session.items()),
            "values": sorted(session.values()),
            "equal": session == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5},
        }

    def drop() -> object:
        del session["a"]
        return [session.pop("b"), session.pop("b", None), session.popitem() is not None]

    _routes(app, fill=fill, look=look, drop=drop)
    client = app.test_client()
    assert client.get("/fill").json == [False, 1, 5]
    assert client.get("/look").json == {
        "in": [True, False, False],
        "get": [2, None, 0],
        "len": 5,
        "bool": True,
        "keys": ["a", "b", "c", "d", "e"],
        "items": [["a", 1], ["b", 2], ["c", 3], ["d", 4], ["e", 5]],
        "values": [1, 2, 3, 4, 5],
        "equal": True,
    }
    assert client.get("/drop").json == [2, None, True]
    assert (client.get("/look").json or {})["len"] == 2


@pytest.mark.parametrize("missing", [lambda: session["z"], lambda: session.pop("z")])
def test_a_missing_key_is_a_key_error(
    new_app: NewApp, store: str, missing: Callable[[], object]
) -> None:
    """Looking up, popping or deleting what is not there raises KeyError."""
    app = new_app(store)
    _routes(app, ask=missing)
    with pytest.raises(KeyError, match="z"):
        app.test_client().get("/ask")


def test_changes_in_place_are_found(new_app: NewApp, store: str) -> None:
    """A nested change is stored with `session.modified = True` and without it."""
    app = new_app(store)

    def start() -> None:
        session["nested"] = {"list": [1], "set": {1}, "dict": {"x": [1]}}

    def announced() -> object:
        session["nested"]["list"].append(2)
        session.modified = True
        return session.modified

    def unannounced() -> object:
        session["nested"]["dict"]["x"].append(2)
        session["nested"]["set"].add(2)
        return session.modified

    def look() -> object:
        nested = session["nested"]
        return [nested["list"], nested["dict"], sorted(nested["set"]), session.modified]

    _routes(app, start=start, announced=announced, unannounced=unannounced, look=look)
    client = app.test_client()
    client.get("/start")
    assert client.get("/announced").json is True
    assert client.get("/unannounced").json is True
    assert client.get("/look").json == [[1, 2], {"x": [1, 2]}, [1, 2], False]


def test_what_flasks_serializer_takes_comes_back(new_app: NewApp, store: str) -> None:
    """The types of Flask's tagged JSON round-trip, and keep their type."""
    value = {
        "tuple": (1, 2),
        "bytes": b"\0\xff",
        "markup": Markup("<b>"),
        "uuid": UUID(int=1),
        "datetime": datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
        "list": [None, True, 1.5, "ä"],
    }
    app = new_app(store)

    def start() -> None:
        session.update(value)

    seen: list[Any] = []

    def look() -> None:
        seen.append({name: session[name] for name in value})

    _routes(app, start=start, look=look)
    client = app.test_client()
    client.get("/start")
    client.get("/look")
    assert seen == [value]
    assert {name: type(item) for name, item in seen[0].items()} == {
        name: type(item) for name, item in value.items()
    }


def test_clearing_leaves_a_working_empty_session(new_app: NewApp, store: str) -> None:
    """`session.clear()` forgets everything; what is set after it, also at once, is kept."""
    app = new_app(store)

    def start() -> None:
        session["old"] = 1

    def clear() -> object:
        session.clear()
        return [bool(session), "old" in session]

    def restart() -> object:
        session["unsaved"] = 1
        session.clear()
        session["new"] = 2
        return dict(session)

    _routes(app, start=start, clear=clear, restart=restart, look=lambda: dict(session))
    client = app.test_client()
    client.get("/start")
    assert client.get("/clear").json == [False, False]
    assert client.get("/look").json == {}
    client.get("/start")
    assert client.get("/restart").json == {"new": 2}
    assert client.get("/look").json == {"new": 2}


def test_flashes_are_shown_once(new_app: NewApp, store: str) -> None:
    """Messages flashed in one request are shown in the next, once, with their categories."""
    app = new_app(store)

    def say() -> None:
        flash("one")
        flash("two", "error")

    _routes(app, say=say, show=lambda: get_flashed_messages(with_categories=True))
    client = app.test_client()
    client.get("/say")
    client.get("/say")
    assert client.get("/show").json == [["message", "one"], ["error", "two"]] * 2
    assert client.get("/show").json == []


def test_flashes_of_two_tabs_are_both_kept(new_app: NewApp, store: str) -> None:
    """A message flashed while another request flashed one too is not lost."""
    app = new_app(store)
    inner: list[int] = []

    def outer() -> None:
        flash("first")
        inner.append(client.get("/say").status_code)
        flash("third")

    def say() -> None:
        flash("second")

    _routes(app, outer=outer, say=say, show=get_flashed_messages)
    client = app.test_client()
    client.get("/say")
    client.get("/outer")
    assert inner == [200]
    assert sorted(client.get("/show").json or []) == ["first", "second", "second", "third"]


def test_permanent_sets_the_cookies_age(new_app: NewApp, store: str) -> None:
    """A permanent session's cookie lives as long as the session, another with the browser."""
    app = new_app(store, PERMANENT_SESSION_LIFETIME=timedelta(hours=1))

    def stay() -> None:
        session.permanent = True
        session["a"] = 1

    def look() -> object:
        return session.permanent

    def leave() -> None:
        session.permanent = False
        session["a"] = 2

    _routes(app, stay=stay, look=look, leave=leave)
    client = app.test_client()
    assert client.get("/look").json is False
    assert "Max-Age=3600" in client.get("/stay").headers["Set-Cookie"]
    assert client.get("/look").json is True
    client.get("/leave")
    assert client.get("/look").json is False


def test_permanent_in_before_request_stores_nothing(new_app: NewApp, store: str) -> None:
    """The habit of setting `session.permanent` before every request makes no session."""
    app = new_app(store)

    @app.before_request
    def stay() -> None:
        session.permanent = True

    _routes(app, page=lambda: "page", start=lambda: session.update(a=1))
    client = app.test_client()
    assert "Set-Cookie" not in client.get("/page").headers
    assert "Max-Age" in client.get("/start").headers["Set-Cookie"]


@pytest.mark.parametrize("refresh", [True, False])
def test_the_refresh_of_the_cookie_follows_its_setting(
    new_app: NewApp, store: str, *, refresh: bool
) -> None:
    """A permanent session's cookie is sent again when it slid, unless that is switched off."""
    app = new_app(store, SESSION_REFRESH_EACH_REQUEST=refresh)

    def start() -> None:
        session.permanent = True
        session["a"] = 1

    _routes(app, start=start, look=lambda: session.get("a"))
    client = app.test_client()
    client.get("/start")
    assert ("Set-Cookie" in client.get("/look").headers) is refresh  # its first use slides it


def test_the_test_clients_transactions_work(new_app: NewApp, store: str) -> None:
    """`session_transaction` reads, writes and clears what the views see."""
    app = new_app(store)

    _routes(app, start=lambda: session.update(a=1), look=lambda: dict(session))
    client = app.test_client()
    with client.session_transaction() as held:
        held["planted"] = [1]
    assert client.get("/look").json == {"planted": [1]}
    client.get("/start")
    with client.session_transaction() as held:
        assert dict(held) == {"a": 1, "planted": [1]}
        held["planted"].append(2)
        del held["a"]
    assert client.get("/look").json == {"planted": [1, 2]}
    with client.session_transaction() as held:
        held.clear()
    assert client.get("/look").json == {}


def test_the_session_is_seen_in_the_clients_context(new_app: NewApp, store: str) -> None:
    """After a request of `with client:` the test can still look at its session."""
    app = new_app(store)

    _routes(app, start=lambda: session.update(a=1))
    with app.test_client() as client:
        client.get("/start")
        assert session["a"] == 1


def test_an_error_page_keeps_what_was_set(new_app: NewApp, store: str) -> None:
    """As in Flask, a view that sets something and then fails has set it."""
    app = new_app(store, PROPAGATE_EXCEPTIONS=False)

    def fail() -> object:
        session["a"] = 1
        raise ZeroDivisionError

    _routes(app, fail=fail, look=lambda: session.get("a"))
    client = app.test_client()
    assert client.get("/fail").status_code == 500
    assert client.get("/look").json == 1
