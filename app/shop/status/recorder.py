"""Counting what a worker serves, and telling the board beside the requests."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import redis

from shop.status.board import Board, Hop, WorkerSeen
from shop.status.trail import Trail

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# An idle worker tells that it lives; one that served a followed browser tells it at once, but
# not more often than the other number (seconds).
_BEAT = 1.0
_PAUSE = 0.05

# Hops that cannot be told, because the store is away, are kept up to this many.
_MOST_WAITING = 200

_LONGEST_PATH = 48
_NOT_DRAWN = ("/static/", "/livez", "/readyz")

_SERVER_ERROR = 500

_log = logging.getLogger(__name__)


@dataclass
class _Tally:
    """What this process has served, since its first request."""

    pid: int
    started: float = field(default_factory=time.monotonic)
    requests: int = 0
    errors: int = 0
    waiting: list[tuple[str, Hop]] = field(default_factory=list)


class Recorder:
    """WSGI middleware that counts requests and tells them to a board.

    Args:
        app: The application inside.
        board: Where to tell.
        trail: How a followed browser is known.
        replica: Name of this replica.
    """

    def __init__(self, app: WSGIApplication, board: Board, trail: Trail, replica: str) -> None:
        self._app = app
        self._board = board
        self._trail = trail
        self._replica = replica
        self._lock = threading.RLock()
        self._something = threading.Event()
        self._reachable = True
        self._tally: _Tally | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request, and count it once its status is known."""
        at = int(time.time() * 1000)

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
        ) -> object:
            self._count(environ, at, int(status[:3]))
            return start_response(status, headers, exc_info)

        return self._app(environ, start)  # type: ignore[arg-type]  # WSGI's write() is never used here

    def myself(self) -> WorkerSeen:
        """Return what this worker tells of itself now."""
        tally = self._of_this_process()
        return WorkerSeen(
            name=f"{self._replica}/{tally.pid}",
            uptime_ms=int((time.monotonic() - tally.started) * 1000),
            requests=tally.requests,
            errors=tally.errors,
        )

    def tell(self) -> None:
        """Tell the board what happened since the last time; what cannot be told waits."""
        with self._lock:
            tally = self._of_this_process()
            hops, tally.waiting = tally.waiting, []
        try:
            self._board.tell(self.myself(), hops)
        except redis.RedisError as error:
            if self._reachable:
                _log.warning("the page /status lacks this worker for now: %s", error)
            self._reachable = False
            with self._lock:
                tally.waiting = [*hops, *tally.waiting][-_MOST_WAITING:]
        else:
            self._reachable = True

    def _count(self, environ: WSGIEnvironment, at: int, status: int) -> None:
        path = environ.get("PATH_INFO", "")
        drawn = not path.startswith(_NOT_DRAWN)
        trail = self._trail.key(environ.get("HTTP_COOKIE", "")) if drawn else None
        with self._lock:
            tally = self._of_this_process()
            tally.requests += 1
            tally.errors += status >= _SERVER_ERROR
            if trail is not None:
                if len(path) > _LONGEST_PATH:
                    path = path[: _LONGEST_PATH - 1] + "…"
                worker = f"{self._replica}/{tally.pid}"
                method = environ.get("REQUEST_METHOD", "")
                tally.waiting.append((trail, Hop(at, worker, method, path, status)))
                self._something.set()

    def _of_this_process(self) -> _Tally:
        """Return this process's tally; a forked one starts its own, and its own thread."""
        pid = os.getpid()
        with self._lock:
            if self._tally is None or self._tally.pid != pid:
                self._tally = _Tally(pid)
                threading.Thread(
                    target=_tell_forever,
                    args=(weakref.ref(self), self._something),
                    name="status",
                    daemon=True,
                ).start()
            return self._tally


def _tell_forever(reference: weakref.ref[Recorder], something: threading.Event) -> None:
    """Tell until nobody uses the recorder any more, as after a test: it is not held in between."""
    while (recorder := reference()) is not None:
        recorder.tell()
        del recorder
        time.sleep(_PAUSE)
        something.wait(_BEAT)
        something.clear()
