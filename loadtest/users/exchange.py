"""A request and its answer in full, without secrets: the first of each kind that failed."""

import json
import os
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtest.users.masking import Masking

_FILE = "exchanges"
# Characters of a request and of an answer that are shown.
_SHOWN = 4096
# Characters of a body that are masked: a page may be very large, and masking takes time.
_MASKED = 256 * 1024
# Kinds that one process keeps.
_MOST = 50
# They would act on a terminal, or break a file.
_CONTROL = re.compile(r"[^\n\t -~\xa0-\ud7ff\ue000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request and its answer, without secrets.

    Attributes:
        time: when it ended, in seconds since the epoch.
        why: the error or the finding.
        name: method and path under which the request is counted.
        latency_ms: since it was sent.
        request: request line, headers and body.
        answer: status line, headers and body; or why there was none.
    """

    time: float
    why: str
    name: str
    latency_ms: float
    served_by: str
    request_id: str
    request: str
    answer: str

    @property
    def where(self) -> str:
        """What was asked, who served it, and the id that the logs have."""
        return " ".join(filter(None, (self.name, self.served_by, self.request_id)))

    @property
    def times(self) -> str:
        """When it ended (UTC), and how long it took."""
        ended = datetime.fromtimestamp(self.time, UTC)
        return f"ended {ended:%Y-%m-%d %H:%M:%S.%f}Z, {self.latency_ms:.1f} ms after it was sent"


class Exchanges:
    """Keeps the first exchange of each kind, in a file of this process.

    Args:
        folder: the run's.
        secrets: what must not be in it, besides what names tell.
    """

    def __init__(self, folder: Path, secrets: Iterable[str] = ()) -> None:
        self._folder, self._secrets = folder, tuple(secrets)
        self._kinds: set[tuple[object, ...]] = set()

    def keep(
        self,
        kind: tuple[object, ...],
        why: str,
        name: str,
        response: Any,
        latency_ms: float | None = None,
    ) -> None:
        """Keep an exchange if it is the first of its kind.

        Args:
            kind: what makes it like others.
            why: the error or the finding.
            name: method and path under which the request is counted.
            response: the HTTP client's.
            latency_ms: since it was sent, if the response does not hold it.
        """
        if kind in self._kinds or len(self._kinds) >= _MOST:
            return
        # A client that never made a request has none.
        if getattr(response, "request", None) is None:
            return
        self._kinds.add(kind)
        line = json.dumps(asdict(_exchange(why, name, response, latency_ms, self._secrets)))
        with (self._folder / f"{_FILE}-{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def merge(folder: Path) -> Exchange | None:
    """Put the exchanges of all processes into `exchanges.jsonl`; return the first of them."""
    found = []
    for part in sorted(folder.glob(f"{_FILE}-*.jsonl")):
        lines = part.read_text(encoding="utf-8").split("\n")
        # A process that was killed may have left half a line.
        found += [Exchange(**json.loads(line)) for line in lines[:-1] if line]
        part.unlink()
    found.sort(key=lambda each: each.time)
    if found:
        text = "".join(f"{json.dumps(asdict(each))}\n" for each in found)
        (folder / f"{_FILE}.jsonl").write_text(text, encoding="utf-8")
    return found[0] if found else None


def _exchange(
    why: str, name: str, response: Any, latency_ms: float | None, secrets: Iterable[str]
) -> Exchange:
    masking, sent = Masking(secrets), response.request
    url = urlsplit(str(sent.url))
    target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    status = getattr(response, "status_code", 0) or 0
    request = [
        masking.text(f"{sent.method} {target} HTTP/1.1"),
        # Clients add it while they send.
        f"Host: {url.hostname}:{url.port}" if url.port else f"Host: {url.hostname}",
        *_headers(masking, sent),
        *_body(masking, getattr(sent, "payload", None) or getattr(sent, "body", None)),
    ]
    answer = [
        f"HTTP/1.1 {status} {_phrase(status)}".rstrip(),
        *_headers(masking, response),
        *_body(masking, getattr(response, "content", None)),
    ]
    if not status:
        answer = [f"no answer: {masking.text(repr(getattr(response, 'error', None)))}"]
    # Now that all secrets of both are known.
    texts = [masking.found("\n".join(lines)).replace("\r\n", "\n") for lines in (request, answer)]
    fields = {name.lower(): value for name, value in _fields(response)}
    if latency_ms is None:
        latency_ms = getattr(response, "request_meta", {}).get("response_time", 0.0)
    return Exchange(
        time=time.time(),
        why=_cut(masking.found(masking.text(why))),
        name=name,
        latency_ms=round(latency_ms, 3),
        served_by=fields.get("x-served-by", ""),
        request_id=fields.get("x-request-id", ""),
        request=_cut(texts[0]),
        answer=_cut(texts[1]),
    )


def _headers(masking: Masking, message: Any) -> list[str]:
    return [f"{name}: {value}" for name, value in masking.headers(_fields(message))]


def _fields(message: Any) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in (message.headers or {}).items()]


def _body(masking: Masking, body: bytes | str | None) -> list[str]:
    if not body:
        return []
    if isinstance(body, str):
        text = body
    else:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return ["", f"({len(body):,} bytes that are no text)"]
    return ["", masking.body(text[:_MASKED])]


def _cut(text: str) -> str:
    """Return the start of a text that is too long to be shown, without control characters."""
    text, more = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text), len(text) - _SHOWN
    return f"{text[:_SHOWN]}\n(and {more:,} characters more)" if more > 0 else text


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
