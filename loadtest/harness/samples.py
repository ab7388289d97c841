"""Following the samples that the load generator's processes write."""

import csv
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Its time is that of its end, in seconds since the epoch."""

    time: float
    name: str
    status: int
    latency_ms: float
    size: int
    served_by: str
    request_id: str
    error: str

    HEADER = "time,name,status,latency_ms,bytes,served_by,request_id,error"


@dataclass(frozen=True, slots=True)
class Found:
    """One finding of a journey."""

    time: float
    kind: str
    journey: str
    request: str
    detail: str
    served_by: str
    issuer: str
    request_id: str

    HEADER = "time,kind,journey,request,detail,served_by,issuer,request_id"


class Follower:
    """Reads what was appended to the files of one folder since the last time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[Path, int] = {}

    def requests(self) -> Iterator[Request]:
        """Yield the new requests."""
        for row in self._rows("requests-*.csv"):
            time, name, status, latency, size, served_by, request_id, error = row
            yield Request(
                float(time), name, int(status), float(latency), int(size), served_by, request_id,
                error,
            )  # fmt: skip

    def findings(self) -> Iterator[Found]:
        """Yield the new findings."""
        for row in self._rows("findings-*.csv"):
            yield Found(float(row[0]), *row[1:])

    def merge(self) -> None:
        """Put the rows of all processes into ``requests.csv`` and ``findings.csv``."""
        for stem, header in (("requests", Request.HEADER), ("findings", Found.HEADER)):
            parts = sorted(self._folder.glob(f"{stem}-*.csv"))
            with (self._folder / f"{stem}.csv").open("wb") as whole:
                whole.write(f"{header}\r\n".encode())
                for part in parts:
                    # After a soak, it is larger than one would have in memory.
                    with part.open("rb") as rows:
                        shutil.copyfileobj(rows, whole)
                    part.unlink()

    def _rows(self, pattern: str) -> Iterator[list[str]]:
        for path in sorted(self._folder.glob(pattern)):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                data = file.read()
            # A row that is being written is for the next time.
            whole = data[: data.rfind(b"\r\n") + 2]
            self._offsets[path] = self._offsets.get(path, 0) + len(whole)
            # Not splitlines: it ends lines at U+2028 and others, which csv does not quote.
            yield from csv.reader(io.StringIO(whole.decode("utf-8", errors="replace"), newline=""))
