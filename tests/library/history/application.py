"""The application that every worker runs: one route for each kind of operation."""

from typing import Any

from flask import Flask, session
from flask.typing import ResponseReturnValue
from unsticky import Session, Unsticky, transaction

from tests.library.history.operations import Kind

COOKIE = "session"


def create_app(store_url: str, deadline: float) -> tuple[Flask, Unsticky]:
    """Return the application and its sessions; `deadline` is in seconds."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY="signs the cookies of a history",
        UNSTICKY_STORE=store_url,
        UNSTICKY_DEADLINE=deadline,
        UNSTICKY_MAX_BYTES=1_000_000,
    )
    sessions = Unsticky(app)
    for kind, view in _VIEWS.items():
        app.add_url_rule(f"/{kind}/<tag>", kind, view, methods=["POST"])
    return app, sessions


def _session() -> Session:
    return session  # type: ignore[return-value]  # Flask types its proxy as its own session


def _begin(tag: str) -> ResponseReturnValue:
    session["lineage"] = tag
    session["ledger"] = {}
    session["log"] = []
    return {}


def _add(tag: str) -> ResponseReturnValue:
    _session().map("tags").incr(tag)
    return {}


def _parcel(tag: str) -> ResponseReturnValue:
    _session().map("parcels").incr(tag)
    return {}


def _total(tag: str) -> ResponseReturnValue:  # noqa: ARG001 (each route has a tag)
    _session().incr("total")
    return {}


def _set(tag: str) -> ResponseReturnValue:
    session[f"set {tag}"] = tag
    return {}


def _replace(tag: str) -> ResponseReturnValue:
    replaced = session.get("note")
    session["note"] = tag
    return {"replaced": replaced}


def _merge(tag: str) -> ResponseReturnValue:
    ledger: dict[str, int] = session.get("ledger", {})
    ledger[tag] = 1
    session["ledger"] = ledger
    return {}


@transaction(retries=5)
def _log(tag: str) -> ResponseReturnValue:
    session["log"] = [*session.get("log", []), tag]
    return {}


def _take(tag: str) -> ResponseReturnValue:  # noqa: ARG001 (each route has a tag)
    taken: dict[str, Any] = _session().map("parcels").take()
    return {"taken": taken}


@transaction(retries=5)
def _move(tag: str) -> ResponseReturnValue:
    session[f"moved {tag}"] = _session().map("tags").take()
    return {}


def _rotate(tag: str) -> ResponseReturnValue:  # noqa: ARG001 (each route has a tag)
    _session().rotate()
    return {}


def _destroy(tag: str) -> ResponseReturnValue:  # noqa: ARG001 (each route has a tag)
    _session().destroy()
    return {}


_VIEWS = {
    Kind.BEGIN: _begin,
    Kind.ADD: _add,
    Kind.PARCEL: _parcel,
    Kind.TOTAL: _total,
    Kind.SET: _set,
    Kind.REPLACE: _replace,
    Kind.MERGE: _merge,
    Kind.LOG: _log,
    Kind.TAKE: _take,
    Kind.MOVE: _move,
    Kind.ROTATE: _rotate,
    Kind.DESTROY: _destroy,
}
