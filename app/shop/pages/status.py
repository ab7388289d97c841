"""The page that shows the stack at work, and this browser's requests in it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from flask import Flask, Response, current_app, make_response, request

from shop.current import current_session
from shop.pages.blueprint import page, routes
from shop.problems import Problem
from shop.settings import Settings
from shop.status import Board, Hop, MemoryBoard, Recorder, RedisBoard, Sight, Trail, WorkerSeen
from shop.status.picture import draw

_REFRESH_SECONDS = 2

# As many requests as fit a desk's screen, and a phone's.
_WIDE, _NARROW = 38, 11

_LISTED = 10


def install(app: Flask, settings: Settings) -> None:
    """Let this application's workers tell what they serve, where they may say who they are."""
    if not settings.served_by:
        return
    board: Board = RedisBoard(settings.redis_url) if settings.redis_url else MemoryBoard()
    trail = Trail(secure=settings.secure_cookie)
    recorder = Recorder(app.wsgi_app, board, trail, settings.replica)
    app.wsgi_app = recorder  # type: ignore[method-assign]  # Flask's own way
    app.extensions["shop.status"] = (board, trail, recorder)


@routes.get("/status")
def show() -> Response:
    """Show the workers, the store and where this browser's requests went.

    With ``?pause`` the page stays as it is.

    Raises:
        Problem: 404 where answers do not tell who served them.
    """
    if "shop.status" not in current_app.extensions:
        raise Problem(404, "This shop does not tell who serves; SERVED_BY=1 makes it.")
    board: Board
    trail: Trail
    recorder: Recorder
    board, trail, recorder = current_app.extensions["shop.status"]
    cookies = request.headers.get("Cookie", "")
    started = time.perf_counter()
    sight = _with_this(board.look(trail.key(cookies)), recorder)
    session = current_session()
    shown = page(
        "status.html",
        refresh=None if "pause" in request.args else _REFRESH_SECONDS,
        sight=sight,
        store_ms=(time.perf_counter() - started) * 1000,
        alive=[worker for worker in sight.workers if worker.alive],
        ended=[worker for worker in sight.workers if not worker.alive],
        begun=_replacements(sight.workers),
        most=max(worker.requests for worker in sight.workers),
        pictures=(
            ("wide", draw(sight.workers, sight.hops, _WIDE)),
            ("narrow", draw(sight.workers, sight.hops, _NARROW)),
        ),
        listed=sight.hops[: -_LISTED - 1 : -1],
        handle=session.handle if session.available else None,
    )
    response = make_response(shown)
    response.headers["Cache-Control"] = "no-store"
    trail.set(response, cookies)
    return response


def _with_this(sight: Sight, recorder: Recorder) -> Sight:
    """Add what the board cannot know yet: this worker as it is now, and this very request."""
    myself = recorder.myself()
    others = [worker for worker in sight.workers if worker.name != myself.name]
    now = Hop(int(time.time() * 1000), myself.name, request.method, request.path, 200)
    return replace(
        sight,
        workers=tuple(
            sorted([*others, myself], key=lambda worker: (worker.replica, int(worker.pid)))
        ),
        hops=(*sight.hops, now),
    )


def _replacements(workers: Sequence[WorkerSeen]) -> list[WorkerSeen]:
    """Return the workers that came in the place of ended ones: of their replica, and younger."""
    since: dict[str, int] = {}
    for worker in workers:
        if not worker.alive:
            since[worker.replica] = max(worker.silent_ms, since.get(worker.replica, 0))
    return [
        worker
        for worker in workers
        if worker.alive and worker.uptime_ms < since.get(worker.replica, 0)
    ]
