"""The page that shows the stack at work, and this browser's requests in it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, cast

from flask import Blueprint, Response, current_app, make_response, request
from unsticky import session

from shop.http.problems import Problem
from shop.pages.blueprint import page
from shop.status.recorder import Recorder
from shop.status.store import RequestEvent, Snapshot, WorkerStatus

_REFRESH_SECONDS = 2

# As many requests as fit a desk's screen, and a phone's.
_WIDE, _NARROW = 38, 11

_LISTED = 10

# In user units of the SVG: CSS pixels, unless it is scaled.
_ROW = 46
_FIRST = 33
_MARGIN = 18
_COLUMN = 28

routes = Blueprint("status", __name__)


class Dot(NamedTuple):
    """One request, on the line of the worker that served it."""

    x: int
    y: int
    event: RequestEvent


class Row(NamedTuple):
    """The line of one worker."""

    y: int
    worker: WorkerStatus


class Picture(NamedTuple):
    """The last requests, left to right, drawn across the workers, top to bottom."""

    width: int
    height: int
    rows: list[Row]
    dots: list[Dot]

    @property
    def path(self) -> str:
        """The points of the line from dot to dot, as SVG writes them."""
        return " ".join(f"{dot.x},{dot.y}" for dot in self.dots)


@routes.get("/status")
def show() -> Response:
    """Show the workers, the store and where this browser's requests went.

    With `?pause` the page does not refresh.

    Raises:
        Problem: 404 if answers do not say who served them.
    """
    if "shop.status" not in current_app.extensions:
        raise Problem(404, "This shop does not show who serves; SERVED_BY=1 makes it.")
    recorder = cast("Recorder", current_app.extensions["shop.status"])
    started = time.perf_counter()
    snapshot = recorder.store.read(recorder.cookie.browser(request.environ))
    snapshot = _with_this_request(snapshot, recorder.worker())
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
    recorder.cookie.set(response, request.environ)
    return response


def _with_this_request(snapshot: Snapshot, worker: WorkerStatus) -> Snapshot:
    """Add what the store cannot know yet: this worker as it is now, and this request."""
    others = [each for each in snapshot.workers if each.name != worker.name]
    now = RequestEvent(int(time.time() * 1000), worker.name, request.method, request.path, 200)
    return replace(snapshot, workers=sorted([*others, worker]), requests=(*snapshot.requests, now))


def _replacements(workers: Sequence[WorkerStatus]) -> list[WorkerStatus]:
    """Return the workers that replaced ended ones: of the same replica, and younger."""
    ended = [worker for worker in workers if not worker.alive]
    return [
        worker
        for worker in workers
        if worker.alive
        and any(worker.replica == old.replica and worker.uptime_ms < old.silent_ms for old in ended)
    ]


def draw(
    workers: Sequence[WorkerStatus], requests: Sequence[RequestEvent], columns: int
) -> Picture:
    """Return the picture of the last `columns` requests."""
    rows = [Row(_FIRST + _ROW * number, worker) for number, worker in enumerate(workers)]
    heights = {row.worker.name: row.y for row in rows}
    # A worker may have ended so long ago that the store has forgotten it.
    known = [event for event in requests if event.worker in heights][-columns:]
    dots = [
        Dot(_MARGIN + _COLUMN * column, heights[event.worker], event)
        for column, event in enumerate(known, columns - len(known))
    ]
    width = 2 * _MARGIN + _COLUMN * (columns - 1)
    return Picture(width, _ROW * max(len(rows), 1), rows, dots)
