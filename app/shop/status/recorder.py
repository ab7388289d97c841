"""Count what a worker serves, and publish it from a thread beside the requests."""

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from unsticky import SessionError

from shop.errors import cut
from shop.status.cookie import TrackingCookie
from shop.status.store import RequestEvent, StatusStore, WorkerStatus

# An idle worker publishes so often; one that served a tracked browser does so at once, but not more
# often than the other number (seconds).
_INTERVAL = 1.0
_PAUSE = 0.05

# While the store is away, up to so many requests are kept to be published later.
_MOST_UNPUBLISHED = 200

_LONGEST_PATH = 48
_LONGEST_METHOD = 16
_NOT_DRAWN = ("/static/", "/livez", "/readyz")

_SERVER_ERROR = 500

_log = logging.getLogger(__name__)


@dataclass
class _Tally:
    """What this process has served since its first request."""

    pid: int
    started: float = field(default_factory=time.monotonic)
    requests: int = 0
    errors: int = 0
    unpublished: list[tuple[str, RequestEvent]] = field(default_factory=list)


class Recorder:
    """WSGI middleware that counts requests and publishes them.

    Attributes:
        store: Where it publishes.
        cookie: By which it knows a tracked browser.
    """

    def __init__(
        self, app: WSGIApplication, store: StatusStore, cookie: TrackingCookie, replica: str
    ) -> None:
        self.store = store
        self.cookie = cookie
        self._app = app
        self._replica = replica
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._reachable = True
        self._tally: _Tally | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request, and count it when its status is known."""
        at = int(time.time() * 1000)

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            self._count(environ, at, int(status[:3]))
            return start_response(status, headers, *exc_info)

        return self._app(environ, start)

    def worker(self) -> WorkerStatus:
        """Return the status of this worker."""
        tally = self._process_tally()
        return WorkerStatus(
            replica=self._replica,
            pid=tally.pid,
            uptime_ms=int((time.monotonic() - tally.started) * 1000),
            requests=tally.requests,
            errors=tally.errors,
        )

    def publish(self) -> None:
        """Publish what happened since the last time; what cannot be published is kept."""
        with self._lock:
            tally = self._process_tally()
            events, tally.unpublished = tally.unpublished, []
        try:
            self.store.publish(self.worker(), events)
        except SessionError as error:
            if self._reachable:
                _log.warning("the page /status lacks this worker for now: %s", error)
            self._reachable = False
            with self._lock:
                tally.unpublished = [*events, *tally.unpublished][-_MOST_UNPUBLISHED:]
        else:
            self._reachable = True

    def close(self) -> None:
        """Publish nothing any more."""
        self._closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _count(self, environ: WSGIEnvironment, at: int, status: int) -> None:
        path = environ.get("PATH_INFO", "")
        drawn = not path.startswith(_NOT_DRAWN)
        browser = self.cookie.browser(environ) if drawn else None
        with self._lock:
            tally = self._process_tally()
            tally.requests += 1
            tally.errors += status >= _SERVER_ERROR
            if browser is not None:
                worker = f"{self._replica}/{tally.pid}"
                method = environ.get("REQUEST_METHOD", "")[:_LONGEST_METHOD]
                event = RequestEvent(at, worker, method, cut(path, _LONGEST_PATH), status)
                tally.unpublished.append((browser, event))
                self._wake.set()

    def _process_tally(self) -> _Tally:
        """Return this process's tally; a forked process starts its own, and its own thread."""
        pid = os.getpid()
        with self._lock:
            if self._tally is None or self._tally.pid != pid:
                self._tally = _Tally(pid)
                self._thread = threading.Thread(
                    target=_publish_loop,
                    args=(weakref.ref(self), self._wake, self._closed),
                    name="status",
                    daemon=True,
                )
                self._thread.start()
            return self._tally


def _publish_loop(
    reference: weakref.ref[Recorder], wake: threading.Event, closed: threading.Event
) -> None:
    """Publish until nothing else uses the recorder any more, as after a test."""
    while (recorder := reference()) is not None:
        recorder.publish()
        del recorder
        if closed.wait(_PAUSE):
            return
        wake.wait(_INTERVAL)
        wake.clear()
