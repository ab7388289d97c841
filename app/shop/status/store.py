"""Where workers publish what they do, and what the page reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from unsticky import SessionError

from shop.store import Store

# A worker that has published nothing for so long counts as ended (milliseconds).
SILENT_MS = 3_000

# Ended workers are shown for a while.
_KEEP_WORKER_MS = 30_000

# Any visitor can start lists of requests, with as many cookies as they like. So lists are short
# and soon forgotten, and there are at most so many: some browsers share one.
_KEEP_REQUESTS_MS = 600_000
_MOST_REQUESTS = 48
_LISTS = 1024

# With braces: in a Cluster all of it is in one slot.
_PREFIX = "shop:{status}:"
_WORKERS = f"{_PREFIX}workers"


@dataclass(frozen=True)
class RequestEvent:
    """One request of a browser.

    Attributes:
        at: When it came, in milliseconds of the epoch, by the clock of its worker.
        worker: `<replica>/<pid>`.
        method: Of the request.
        path: Without the query.
        status: Of the answer.
    """

    at: int
    worker: str
    method: str
    path: str
    status: int


@dataclass(frozen=True)
class WorkerStatus:
    """What a worker last published of itself.

    Attributes:
        name: `<replica>/<pid>`.
        uptime_ms: Time since its first request.
        requests: How many it has answered, health checks and pictures included.
        errors: How many of them with a status of 500 or above.
        silent_ms: Time since it published this, by the clock of the store.
    """

    name: str
    uptime_ms: int
    requests: int
    errors: int
    silent_ms: int = 0

    @property
    def replica(self) -> str:
        """The replica that it belongs to."""
        return self.name.rpartition("/")[0]

    @property
    def pid(self) -> str:
        """Its process id."""
        return self.name.rpartition("/")[2]

    @property
    def alive(self) -> bool:
        """Whether it published something a moment ago."""
        return self.silent_ms <= SILENT_MS


@dataclass(frozen=True)
class Snapshot:
    """What the page shows.

    Attributes:
        workers: By replica and process id, including those that ended a moment ago.
        requests: Of one browser, the oldest first.
        store: What the store says of itself, a label to a value; None if it did not answer.
    """

    workers: tuple[WorkerStatus, ...]
    requests: tuple[RequestEvent, ...]
    store: dict[str, str] | None


class StatusStore:
    """The workers' status in the store.

    Args:
        store: The shop's.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def publish(self, worker: WorkerStatus, requests: Sequence[tuple[str, RequestEvent]]) -> None:
        """Write a worker's status and its requests since the last time, each with its browser.

        Raises:
            StoreUnavailable: The store cannot be reached.
        """
        key = _of_worker(worker.name)
        numbers = {"uptime_ms": worker.uptime_ms, "requests": worker.requests}
        commands: list[tuple[str | int, ...]] = [
            ("HSET", key, "errors", worker.errors, *(x for pair in numbers.items() for x in pair)),
            # What is left of this says how long ago it was, without comparing two hosts' clocks.
            ("PEXPIRE", key, _KEEP_WORKER_MS),
            ("SADD", _WORKERS, worker.name),
            ("PEXPIRE", _WORKERS, _KEEP_WORKER_MS),
        ]
        for key in dict.fromkeys(_of_browser(browser) for browser, _ in requests):
            events = [[of, asdict(event)] for of, event in requests if _of_browser(of) == key]
            commands += [
                ("RPUSH", key, *map(json.dumps, events)),
                ("LTRIM", key, -_MOST_REQUESTS, -1),
                ("PEXPIRE", key, _KEEP_REQUESTS_MS),
            ]
        self._store.ask_all(*commands)

    def read(self, browser: str | None) -> Snapshot:
        """Return everything; it is empty if the store cannot be reached."""
        try:
            names = sorted(name.decode() for name in self._store.ask("SMEMBERS", _WORKERS))
            keys = [_of_worker(name) for name in names]
            *found, events = self._store.ask_all(
                *(command for key in keys for command in (("HGETALL", key), ("PTTL", key))),
                ("LRANGE", _of_browser(browser or ""), 0, -1),
            )
            workers = [
                _worker(name, fields, left)
                for name, fields, left in zip(names, found[::2], found[1::2], strict=True)
                if fields
            ]
            if gone := set(names) - {worker.name for worker in workers}:
                self._store.ask("SREM", _WORKERS, *gone)
        except SessionError:
            return Snapshot((), (), None)
        # An event that was sent twice, because a connection broke, is one.
        theirs = (event for of, event in map(json.loads, events) if of == browser)
        requests = dict.fromkeys(RequestEvent(**event) for event in theirs)
        return Snapshot(
            workers=tuple(sorted(workers, key=lambda worker: (worker.replica, int(worker.pid)))),
            requests=tuple(sorted(requests, key=lambda event: event.at)),
            store=self._described(),
        )

    def _described(self) -> dict[str, str]:
        try:
            text: bytes = self._store.ask("INFO")
        except SessionError:
            return {}  # the store may not allow INFO to the shop's user
        info = dict(re.findall(r"(?m)^(\w+):(.*?)\r?$", text.decode("utf-8", "replace")))
        valkey = info.get("valkey_version")
        keys = sum(int(count) for count in re.findall(r"(?m)^db\d+:keys=(\d+)", text.decode()))
        return {
            "Server": f"Valkey {valkey}" if valkey else f"Redis {info.get('redis_version', '')}",
            "Role": info.get("role", ""),
            "Memory": info.get("used_memory_human", ""),
            "Keys": f"{keys:,}",
            "Connections": info.get("connected_clients", ""),
            "Commands": f"{int(info.get('instantaneous_ops_per_sec', 0)):,} a second",
        }


def _worker(name: str, fields: list[bytes], left: int) -> WorkerStatus:
    numbers = {
        key.decode(): int(value) for key, value in zip(fields[::2], fields[1::2], strict=True)
    }
    return WorkerStatus(name, **numbers, silent_ms=_KEEP_WORKER_MS - left)


def _of_worker(name: str) -> str:
    return f"{_PREFIX}worker:{name}"


def _of_browser(name: str) -> str:
    return f"{_PREFIX}requests:{int(name[:8] or '0', 16) % _LISTS}"
