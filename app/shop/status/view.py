"""The page that shows the stack at work, and this browser's requests in it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from flask import Blueprint, Flask, Response, current_app, make_response, request
from unsticky import session

from shop.http.problems import Problem
from shop.pages.blueprint import page
from shop.status.cookie import TrackingCookie
from shop.status.picture import draw
from shop.status.recorder import Recorder
from shop.status.store import RequestEvent, Snapshot, StatusStore, WorkerStatus

_REFRESH_SECONDS = 2

# As many requests as fit a desk's screen, and a phone's.
_WIDE, _NARROW = 38, 11

_LISTED = 10

routes = Blueprint("status", __name__)


@dataclass(frozen=True)
class Status:
    """The parts that the page needs."""

    store: StatusStore
    cookie: TrackingCookie
    recorder: Recorder

    def attach(self, app: Flask) -> None:
        """Let the page of this application use them."""
        app.extensions["shop.status"] = self


@routes.get("/status")
def show() -> Response:
    """Show the workers, the store and where this browser's requests went.

    With `?pause` the page does not refresh.

    Raises:
        Problem: 404 if answers do not say who served them.
    """
    if "shop.status" not in current_app.extensions:
        raise Problem(404, "This shop does not show who serves; SERVED_BY=1 makes it.")
    status = cast("Status", current_app.extensions["shop.status"])
    started = time.perf_counter()
    snapshot = _with_this_request(
        status.store.read(status.cookie.browser(request.environ)), status.recorder.worker()
    )
    workers, requests = snapshot.workers, snapshot.requests
    shown = page(
        "status.html",
        refresh=None if "pause" in request.args else _REFRESH_SECONDS,
        snapshot=snapshot,
        store_ms=(time.perf_counter() - started) * 1000,
        alive=[worker for worker in workers if worker.alive],
        ended=[worker for worker in workers if not worker.alive],
        replacements=_replacements(workers),
        most=max(worker.requests for worker in workers),
        pictures=(
            ("wide", draw(workers, requests, _WIDE)),
            ("narrow", draw(workers, requests, _NARROW)),
        ),
        listed=requests[: -_LISTED - 1 : -1],
        handle=session.handle if session.available else None,
    )
    response = make_response(shown)
    response.headers["Cache-Control"] = "no-store"
    status.cookie.set(response, request.environ)
    return response


def _with_this_request(snapshot: Snapshot, worker: WorkerStatus) -> Snapshot:
    """Add what the store cannot know yet: this worker as it is now, and this request."""
    others = [each for each in snapshot.workers if each.name != worker.name]
    now = RequestEvent(int(time.time() * 1000), worker.name, request.method, request.path, 200)
    return replace(
        snapshot,
        workers=tuple(sorted([*others, worker], key=lambda each: (each.replica, int(each.pid)))),
        requests=(*snapshot.requests, now),
    )


def _replacements(workers: Sequence[WorkerStatus]) -> list[WorkerStatus]:
    """Return the workers that replaced ended ones: of the same replica, and younger."""
    since: dict[str, int] = {}
    for worker in workers:
        if not worker.alive:
            since[worker.replica] = max(worker.silent_ms, since.get(worker.replica, 0))
    return [
        worker
        for worker in workers
        if worker.alive and worker.uptime_ms < since.get(worker.replica, 0)
    ]
