"""What each process of the load generator writes down: every request, every finding."""

import csv
import os
import time
from pathlib import Path
from typing import IO, Any

from locust.env import Environment
from runs.kinds import Kind

from visits.browser import headers_of
from visits.findings import Answer

# Seconds after which written rows must be in the file, for who follows it.
_FLUSH = 0.3


class Samples:
    """Two CSV files a process, opened at their first row: Locust forks after it loaded this.

    A request is ``time, name, status, latency_ms, bytes, served_by, request_id, error``; a finding
    is ``time, kind, journey, request, detail, served_by, issuer, request_id``. Times are seconds
    since the epoch, a request's that of its end.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, tuple[IO[str], Any]] = {}
        self._flushed = 0.0

    def listen(self, environment: Environment) -> None:
        """Write down whatever Locust's own events report from now on."""
        environment.events.request.add_listener(self._request)  # type: ignore[no-untyped-call]
        environment.events.user_error.add_listener(self._user_error)  # type: ignore[no-untyped-call]
        environment.events.quitting.add_listener(lambda **_: self.flush())  # type: ignore[no-untyped-call]

    def finding(self, kind: Kind, journey: str, detail: str, answer: Answer | None = None) -> None:
        """Write down a finding, at once: there are few, and they are what the run is for."""
        at = answer or Answer("", 0, b"", "", "", "", frozenset())
        self._write(
            "findings",
            (
                f"{time.time():.6f}", kind, journey, at.request, detail, at.served_by, at.issuer,
                at.request_id,
            ),
        )  # fmt: skip
        self.flush()

    def flush(self) -> None:
        """Put all that was written into the files."""
        for file, _ in self._files.values():
            file.flush()
        self._flushed = time.monotonic()

    def _request(
        self,
        *,
        request_type: str,
        name: str,
        response_time: float,
        response_length: int,
        exception: BaseException | None,
        context: dict[str, Any],
        response: Any = None,
        **_: object,
    ) -> None:
        fields = headers_of(response)
        # Plain Locust users name the path alone.
        named = name if name.startswith(f"{request_type} ") else f"{request_type} {name}"
        self._write(
            "requests",
            (
                f"{time.time():.6f}",
                named,
                getattr(response, "status_code", 0) or 0,
                f"{response_time + context.get('late_ms', 0.0):.3f}",
                response_length or 0,
                fields.get("x-served-by", ""),
                fields.get("x-request-id", ""),
                "" if exception is None else str(exception)[:200],
            ),
        )
        if time.monotonic() - self._flushed > _FLUSH:
            self.flush()

    def _user_error(self, *, user_instance: Any, exception: BaseException, **_: object) -> None:
        name = type(user_instance).__name__
        self.finding(Kind.BROKEN_SCENARIO, name, repr(exception))

    def _write(self, stem: str, row: tuple[object, ...]) -> None:
        if stem not in self._files:
            path = self._folder / f"{stem}-{os.getpid()}.csv"
            file = path.open("w", encoding="utf-8", newline="")
            self._files[stem] = (file, csv.writer(file))
        self._files[stem][1].writerow(row)
