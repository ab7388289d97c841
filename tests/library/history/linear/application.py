"""The application of these histories: a view for each operation. Then the same with faults."""

import random
from collections.abc import Callable
from typing import Any

from flask import Flask
from unsticky import OutOfRange, Unsticky, session, transaction
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from tests.library.history.linear.model import Kind

SECRET_KEY = "signs the cookies of a history"
DEADLINE = 0.4
"""The library's limit for one request's store calls, in seconds; shorter than faults of a store."""

Seen = dict[str, Any]
View = Callable[[str], Seen]


def create_app() -> DispatcherMiddleware:
    """Return the application as it should be, and each broken one under its name."""
    broken = (stale_read, lost_add, revived, doubled_once)
    return DispatcherMiddleware(_app({}), {f"/{each.__name__}": each() for each in broken})


def _app(others: dict[Kind, Any]) -> Flask:
    app = Flask(__name__)
    app.config.from_prefixed_env("HISTORY")
    app.config |= {
        "SECRET_KEY": SECRET_KEY,
        "UNSTICKY_DEADLINE": DEADLINE,
        "UNSTICKY_REQUEST_ID_HEADER": "X-Request-ID",
    }
    Unsticky(app)
    for kind, view in (_VIEWS | others).items():
        method = "GET" if kind is Kind.LOOK else "POST"
        app.add_url_rule(f"/{kind}/<argument>", kind, _answering(view), methods=[method])
    app.add_url_rule("/", "home", lambda: "")
    return app


def _answering(view: View) -> View:
    def answer(argument: str) -> Seen:
        return view(argument)

    return answer


def _begin(argument: str) -> Seen:
    session["lineage"] = argument
    return {}


def _look(_: str) -> Seen:
    maps = {
        f"{name}.{key}": value
        for name in ("cart", "pair")
        for key, value in session.map(name).items()
    }
    user = {"user": session.user} if session.user else {}
    return {**session, **maps, **user}


def _count(_: str) -> Seen:
    return {"n": session.incr("n")}


def _add(item: str) -> Seen:
    return {f"cart.{item}": session.map("cart").incr(item)}


def _remove(item: str) -> Seen:
    try:
        return {f"cart.{item}": session.map("cart").incr(item, -1, minimum=0)}
    except OutOfRange as error:
        return {f"cart.{item}": error.current, "word": "refused"}


def _take(_: str) -> Seen:
    return {f"cart.{item}": count for item, count in session.map("cart").take().items()}


def _set(argument: str) -> Seen:
    session["note"] = argument
    return {}


def _replace(argument: str) -> Seen:
    seen = {"note": session["note"]} if "note" in session else {}
    session["note"] = argument
    return seen


@transaction(retries=5)
def _transfer(_: str) -> Seen:
    pair = session.map("pair")
    return {"pair.a": pair.incr("a", -1), "pair.b": pair.incr("b")}


def _once(name: str) -> Seen:
    session.once(name)
    return {"made": session.incr("made")}


def _bind(user: str) -> Seen:
    session.bind(user)
    return {}


def _rotate(_: str) -> Seen:
    session.rotate()
    return {}


def _destroy(_: str) -> Seen:
    session.destroy()
    return {}


_VIEWS: dict[Kind, Any] = {
    Kind.BEGIN: _begin,
    Kind.LOOK: _look,
    Kind.COUNT: _count,
    Kind.ADD: _add,
    Kind.REMOVE: _remove,
    Kind.TAKE: _take,
    Kind.SET: _set,
    Kind.REPLACE: _replace,
    Kind.TRANSFER: _transfer,
    Kind.ONCE: _once,
    Kind.BIND: _bind,
    Kind.ROTATE: _rotate,
    Kind.DESTROY: _destroy,
}


# Broken on purpose, for the checker to find.


def stale_read() -> Flask:
    """Return an application that sometimes answers a look from what this worker saw before."""
    before: dict[str | None, Seen] = {}

    def look(_: str) -> Seen:
        seen = before.get(session.handle) if random.random() < 0.1 else None
        return seen or before.setdefault(session.handle, _look(""))

    return _app({Kind.LOOK: look})


def lost_add() -> Flask:
    """Return an application that acknowledges one add in ten without storing it."""

    def add(item: str) -> Seen:
        if random.random() < 0.1:
            return {f"cart.{item}": session.map("cart").get(item, 0) + 1}
        return _add(item)

    return _app({Kind.ADD: add})


def revived() -> Flask:
    """Return an application whose logout ends nothing."""
    return _app({Kind.DESTROY: lambda _: {}})


def doubled_once() -> Flask:
    """Return an application that does again what it did under the same name."""
    return _app({Kind.ONCE: lambda _: {"made": session.incr("made")}})
