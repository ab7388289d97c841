"""The samples of a run: CSV files that each process of the load generator writes."""

import csv
import io
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from loadtest.users.exchange import Exchanges
from loadtest.users.findings import Failure, Finding
from loadtest.users.masking import masker

if TYPE_CHECKING:
    from locust.env import Environment

# After so many seconds at most, written rows are in the file for the process that reads it.
_FLUSH = 0.3

_HEADERS = {
    "requests": "time,name,status,latency_ms,bytes,served_by,request_id,error,uncorrected_ms",
    "findings": "time,kind,journey,request,detail,served_by,issuer,request_id",
    "arrivals": "time,late_ms,is_dropped",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        time: when it ended, in seconds since the epoch.
        latency_ms: since it was due, which is what a user waits (corrected).
        uncorrected_ms: since it was sent: the same in a closed loop; `None` if unknown.
    """

    time: float
    name: str
    status: int
    latency_ms: float
    size: int
    served_by: str
    request_id: str
    error: str
    uncorrected_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival of an open loop: a visit that began, or was dropped.

    Attributes:
        time: when it was due, in seconds since the epoch.
        late_ms: by how much the load generator itself was late; no answer is waited for.
        is_dropped: whether it could not begin, because too many visits were under way.
    """

    time: float
    late_ms: float
    is_dropped: bool


class Recorder:
    """Writes requests, findings and arrivals of one process.

    The files are opened at their first row, because Locust forks after it has loaded this.

    Args:
        folder: where the files are made.
        secrets: what must not be in what the target says, besides what names tell.
    """

    def __init__(self, folder: Path, secrets: Iterable[str] = ()) -> None:
        self._folder = folder
        known = tuple(secrets)
        self._exchanges = Exchanges(folder, known)
        self._masked = masker(known)
        # A password may be a word of a path, and limits are found by the route's name.
        self._masked_name = masker()
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
        # They may quote an answer, and a URL with its query.
        found.detail = self._masked(found.detail)
        found.request = self._masked_name(found.request)
        _, *names = _HEADERS["findings"].split(",")
        self._write("findings", (f"{time.time():.6f}", *(getattr(found, name) for name in names)))
        self._exchanges.keep((found.kind,), str(found), found.request, found.response)
        self.flush()

    def arrival(self, arrival: Arrival) -> None:
        """Write an arrival."""
        self._write(
            "arrivals",
            (f"{arrival.time:.6f}", f"{arrival.late_ms:.3f}", int(arrival.is_dropped)),
        )
        self._flush_seldom()

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
            name=self._masked_name(
                name if name.startswith(f"{request_type} ") else f"{request_type} {name}"
            ),
            status=getattr(response, "status_code", 0) or 0,
            latency_ms=round(response_time + context.get("late_ms", 0.0), 3),
            size=response_length or 0,
            served_by=fields.get("x-served-by", ""),
            request_id=fields.get("x-request-id", ""),
            # That of a plain Locust user holds the URL.
            error="" if exception is None else self._masked(str(exception)[:2_000])[:200],
            uncorrected_ms=round(response_time, 3),
        )
        self._write("requests", astuple(request))
        if request.error:
            kind = (request.name, request.status)
            self._exchanges.keep(kind, request.error, request.name, response, response_time)
        self._flush_seldom()

    def _user_error(self, *, user_instance: Any, exception: BaseException, **_: object) -> None:
        name = type(user_instance).__name__
        self.finding(Finding(Failure.BROKEN_SCENARIO, repr(exception), journey=name))

    def _flush_seldom(self) -> None:
        if time.monotonic() - self._flushed > _FLUSH:
            self.flush()

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
        for at, name, status, latency, size, *texts, sent in self._rows("requests"):
            worker, ident, error = texts
            yield Request(
                float(at),
                name,
                int(status),
                float(latency),
                int(size),
                worker,
                ident,
                error,
                float(sent),
            )

    def findings(self) -> Iterator[Finding]:
        """Yield the new findings."""
        for row in self._rows("findings"):
            given: dict[str, Any] = dict(zip(_HEADERS["findings"].split(","), row, strict=True))
            yield Finding(**{**given, "time": float(row[0]), "kind": Failure(row[1])})

    def arrivals(self) -> Iterator[Arrival]:
        """Yield the new arrivals."""
        for at, late, is_dropped in self._rows("arrivals"):
            yield Arrival(float(at), float(late), is_dropped == "1")

    def merge(self) -> None:
        """Put the rows of all processes into `requests.csv`, `findings.csv` and `arrivals.csv`."""
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
