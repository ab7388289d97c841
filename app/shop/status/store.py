"""Where workers publish what they do, and what the page reads."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

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
_WORKERS = f"{_PREFIX}processes"


@dataclass(frozen=True)
class RequestEvent:
    """One request of a browser, by its path without the query; `at` is in ms of the epoch."""

    at: int
    worker: str
    method: str
    path: str
    status: int


@dataclass(frozen=True, order=True)
class WorkerStatus:
    """What a worker last published of itself.

    Attributes:
        replica: Its replica.
        pid: Its process id.
        uptime_ms: Time since its first request.
        requests: How many it has answered, health checks and pictures included.
        errors: How many of them with a status of 500 or above.
        silent_ms: Time since it published this, by the clock of the store.
    """

    replica: str
    pid: int
    uptime_ms: int = 0
    requests: int = 0
    errors: int = 0
    silent_ms: int = 0

    @property
    def name(self) -> str:
        """Its name in `X-Served-By`."""
        return f"{self.replica}/{self.pid}"

    @property
    def alive(self) -> bool:
        """Whether it published something a moment ago."""
        return self.silent_ms <= SILENT_MS


@dataclass(frozen=True)
class Snapshot:
    """What the page shows.

    Attributes:
        workers: In order, including those that ended a moment ago.
        requests: Of one browser, the oldest first.
        store: What the store says of itself, a label to a value; None if it did not answer.
    """

    workers: Sequence[WorkerStatus]
    requests: Sequence[RequestEvent]
    store: dict[str, str] | None


@dataclass(frozen=True)
class StatusStore:
    """The workers' status in the shop's store."""

    store: Store

    def publish(self, worker: WorkerStatus, requests: Sequence[tuple[str, RequestEvent]]) -> None:
        """Write a worker's status and its requests since the last time, each with its browser.

        Raises:
            StoreUnavailable: The store cannot be reached.
        """
        status = json.dumps(asdict(worker))
        commands: list[tuple[str | int, ...]] = [
            # What is left of its time says how old it is, without comparing two hosts' clocks.
            ("SET", _of_worker(worker.name), status, "PX", _KEEP_WORKER_MS),
            ("SADD", _WORKERS, worker.name),
            ("PEXPIRE", _WORKERS, _KEEP_WORKER_MS),
        ]
        for browser, event in requests:
            key = _of_browser(browser)
            commands += [
                ("RPUSH", key, json.dumps([browser, asdict(event)])),
                ("LTRIM", key, -_MOST_REQUESTS, -1),
                ("PEXPIRE", key, _KEEP_REQUESTS_MS),
            ]
        self.store.ask_all(*commands)

    def read(self, browser: str | None) -> Snapshot:
        """Return everything; it is empty if the store cannot be reached."""
        try:
            names = {name.decode() for name in self.store.ask("SMEMBERS", _WORKERS)}
            keys = [_of_worker(name) for name in names]
            *found, events = self.store.ask_all(
                *(command for key in keys for command in (("GET", key), ("PTTL", key))),
                ("LRANGE", _of_browser(browser or ""), 0, -1),
            )
            workers = sorted(
                replace(WorkerStatus(**json.loads(status)), silent_ms=_KEEP_WORKER_MS - left)
                for status, left in zip(found[::2], found[1::2], strict=True)
                if status
            )
            if gone := names - {worker.name for worker in workers}:
                self.store.ask("SREM", _WORKERS, *gone)
        except SessionError:
            return Snapshot((), (), None)
        # An event that was sent twice, because a connection broke, is one.
        theirs = (event for of, event in map(json.loads, events) if of == browser)
        requests = dict.fromkeys(RequestEvent(**event) for event in theirs)
        in_order = sorted(requests, key=lambda event: event.at)
        return Snapshot(workers, in_order, self._described())

    def _described(self) -> dict[str, str]:
        try:
            text: bytes = self.store.ask("INFO")
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


def _of_worker(name: str) -> str:
    return f"{_PREFIX}process:{name}"


def _of_browser(name: str) -> str:
    return f"{_PREFIX}requests:{int(name[:8] or '0', 16) % _LISTS}"
