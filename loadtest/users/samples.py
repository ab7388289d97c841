"""The samples of a run: CSV files that each process of the load generator writes."""

import csv
import io
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from loadtest.users.findings import Failure, Finding

if TYPE_CHECKING:
    from locust.env import Environment

# After so many seconds at most, written rows are in the file for the process that reads it.
_FLUSH = 0.3

_HEADERS = {
    "requests": "time,name,status,latency_ms,bytes,served_by,request_id,error",
    "findings": "time,kind,journey,request,detail,served_by,issuer,request_id",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Its time is when it ended, in seconds since the epoch."""

    time: float
    name: str
    status: int
    latency_ms: float
    size: int
    served_by: str
    request_id: str
    error: str


class Recorder:
    """Writes requests and findings of one process.

    The files are opened at their first row, because Locust forks after it has loaded this.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, tuple[IO[str], Any]] = {}
        self._flushed = 0.0

    def listen(self, environment: "Environment") -> None:
        """Record what Locust reports from now on."""
        events: Any = environment.events
        events.request.add_listener(self._request)
        events.user_error.add_listener(self._user_error)
        events.quitting.add_listener(lambda **_: self.flush())

    def finding(self, found: Finding) -> None:
        """Write a finding at once: there are few, and they are what the run is for."""
        _, *names = _HEADERS["findings"].split(",")
        self._write("findings", (f"{time.time():.6f}", *(getattr(found, name) for name in names)))
        self.flush()

    def flush(self) -> None:
        """Put all rows into the files."""
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
        request = Request(
            time=round(time.time(), 6),
            # Plain Locust users name the path alone.
            name=name if name.startswith(f"{request_type} ") else f"{request_type} {name}",
            status=getattr(response, "status_code", 0) or 0,
            latency_ms=round(response_time + context.get("late_ms", 0.0), 3),
            size=response_length or 0,
            served_by=fields.get("x-served-by", ""),
            request_id=fields.get("x-request-id", ""),
            error="" if exception is None else str(exception)[:200],
        )
        self._write("requests", astuple(request))
        if time.monotonic() - self._flushed > _FLUSH:
            self.flush()

    def _user_error(self, *, user_instance: Any, exception: BaseException, **_: object) -> None:
        name = type(user_instance).__name__
        self.finding(Finding(Failure.BROKEN_SCENARIO, repr(exception), journey=name))

    def _write(self, stem: str, row: tuple[object, ...]) -> None:
        if stem not in self._files:
            path = self._folder / f"{stem}-{os.getpid()}.csv"
            file = path.open("w", encoding="utf-8", newline="")
            self._files[stem] = (file, csv.writer(file))
        self._files[stem][1].writerow(row)


class Follower:
    """Reads what was appended to the files of one folder since the last time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[Path, int] = {}

    def requests(self) -> Iterator[Request]:
        """Yield the new requests."""
        for at, name, status, latency, size, *texts in self._rows("requests"):
            yield Request(float(at), name, int(status), float(latency), int(size), *texts)

    def findings(self) -> Iterator[Finding]:
        """Yield the new findings."""
        for row in self._rows("findings"):
            given: dict[str, Any] = dict(zip(_HEADERS["findings"].split(","), row, strict=True))
            yield Finding(**{**given, "time": float(row[0]), "kind": Failure(row[1])})

    def merge(self) -> None:
        """Put the rows of all processes into `requests.csv` and `findings.csv`."""
        for stem, header in _HEADERS.items():
            parts = sorted(self._folder.glob(f"{stem}-*.csv"))
            with (self._folder / f"{stem}.csv").open("wb") as whole:
                whole.write(f"{header}\r\n".encode())
                for part in parts:
                    # After a soak, it is larger than one would have in memory.
                    with part.open("rb") as rows:
                        shutil.copyfileobj(rows, whole)
                    part.unlink()

    def _rows(self, stem: str) -> Iterator[list[str]]:
        for path in sorted(self._folder.glob(f"{stem}-*.csv")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                data = file.read()
            # A row that is being written is for the next time.
            whole = data[: data.rfind(b"\r\n") + 2]
            self._offsets[path] = self._offsets.get(path, 0) + len(whole)
            # Not splitlines: it ends lines at U+2028 and others, which csv does not quote.
            yield from csv.reader(io.StringIO(whole.decode("utf-8", errors="replace"), newline=""))


def headers_of(response: Any) -> dict[str, str]:
    """Return the headers of a Locust response, names in lower case; none if no answer came."""
    fields = getattr(response, "headers", None) or {}
    return {name.lower(): value for name, value in fields.items()}
