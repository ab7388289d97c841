"""The board: a place in the store where workers write how they are and what they served."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

# A worker that has told nothing for so long is taken for ended (milliseconds).
SILENT_MS = 3_000

# Ended workers stay on the board for a while, so that one sees what became of them.
_KEEP_WORKER_MS = 30_000

# Trails cost memory and anyone can start one, so they are short and soon forgotten.
_KEEP_TRAIL_MS = 600_000
_MOST_HOPS = 48

# Braces: in a Cluster all of the board lies in one slot, and one pipeline can read it.
_PREFIX = "shop:{status}:"
_INDEX = f"{_PREFIX}workers"

_TIMEOUT_SECONDS = 0.5


@dataclass(frozen=True)
class Hop:
    """One request of a browser.

    Attributes:
        at: When it came, in milliseconds of the epoch, by the clock of its worker.
        worker: ``<replica>/<pid>``.
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
class WorkerSeen:
    """What a worker last told of itself.

    Attributes:
        name: ``<replica>/<pid>``.
        uptime_ms: Time since its first request.
        requests: How many it has answered, health checks and pictures included.
        errors: How many of them with a status of 500 or above.
        silent_ms: Time since it told this, by the clock of the store.
    """

    name: str
    uptime_ms: int
    requests: int
    errors: int
    silent_ms: int = 0

    @property
    def replica(self) -> str:
        """The replica it belongs to."""
        return self.name.rpartition("/")[0]

    @property
    def pid(self) -> str:
        """Its process id."""
        return self.name.rpartition("/")[2]

    @property
    def alive(self) -> bool:
        """Whether it told something a moment ago."""
        return self.silent_ms <= SILENT_MS


@dataclass(frozen=True)
class Sight:
    """All that is on the board.

    Attributes:
        workers: By replica and process id, those that ended a moment ago included.
        hops: Of the one trail that was asked for, oldest first.
        store: What the store says of itself, a label to a value; ``None`` if it did not answer.
    """

    workers: tuple[WorkerSeen, ...]
    hops: tuple[Hop, ...]
    store: dict[str, str] | None


class Board(Protocol):
    """Where workers tell of themselves, and any of them reads what all told."""

    def tell(self, worker: WorkerSeen, hops: Sequence[tuple[str, Hop]]) -> None:
        """Write how a worker is, and the hops since it last told, each with its trail's key.

        Raises:
            redis.RedisError: The store cannot be reached.
        """

    def look(self, trail: str | None) -> Sight:
        """Read everything; an unreachable store gives an empty sight."""


class MemoryBoard:
    """The board of a shop that is one process, without a store."""

    def __init__(self) -> None:
        self._workers: dict[str, WorkerSeen] = {}
        self._trails: dict[str, list[Hop]] = {}

    def tell(self, worker: WorkerSeen, hops: Sequence[tuple[str, Hop]]) -> None:
        """See `Board.tell`."""
        self._workers[worker.name] = worker
        for trail, hop in hops:
            self._trails[trail] = [*self._trails.pop(trail, ()), hop][-_MOST_HOPS:]
        while len(self._trails) > _MOST_HOPS:
            del self._trails[next(iter(self._trails))]

    def look(self, trail: str | None) -> Sight:
        """See `Board.look`."""
        hops = self._trails.get(trail or "", ())
        return Sight(
            tuple(self._workers.values()), tuple(hops), {"Server": "this process's memory"}
        )


class RedisBoard:
    """The board in Redis or Valkey.

    Args:
        url: Of the store, as redis-py reads it.
    """

    def __init__(self, url: str) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            # What is told now is told again in a second.
            retry=Retry(NoBackoff(), 0),
        )

    def tell(self, worker: WorkerSeen, hops: Sequence[tuple[str, Hop]]) -> None:
        """See `Board.tell`. One round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        key = f"{_PREFIX}worker:{worker.name}"
        pipeline.hset(key, "uptime_ms", str(worker.uptime_ms))
        pipeline.hset(key, "requests", str(worker.requests))
        pipeline.hset(key, "errors", str(worker.errors))
        # What is left of this tells how long ago it was, without comparing two hosts' clocks.
        pipeline.pexpire(key, _KEEP_WORKER_MS)
        pipeline.sadd(_INDEX, worker.name)
        pipeline.pexpire(_INDEX, _KEEP_WORKER_MS)
        for trail in dict.fromkeys(trail for trail, _ in hops):
            key = f"{_PREFIX}trail:{trail}"
            pipeline.rpush(key, *(json.dumps(asdict(hop)) for of, hop in hops if of == trail))
            pipeline.ltrim(key, -_MOST_HOPS, -1)
            pipeline.pexpire(key, _KEEP_TRAIL_MS)
        pipeline.execute()

    def look(self, trail: str | None) -> Sight:
        """See `Board.look`. Two round trips."""
        try:
            names = sorted(map(str, self._redis.smembers(_INDEX)))
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.hgetall(f"{_PREFIX}worker:{name}")
                pipeline.pttl(f"{_PREFIX}worker:{name}")
            pipeline.lrange(f"{_PREFIX}trail:{trail}", 0, -1)
            pipeline.info()
            # A user of the store may be allowed less than INFO: then that is missing.
            *told, hops, info = pipeline.execute(raise_on_error=False)
            gone = [name for name, seen in zip(names, told[::2], strict=True) if not seen]
            if gone:
                self._redis.srem(_INDEX, *gone)
        except redis.RedisError:
            return Sight((), (), None)
        workers = [
            WorkerSeen(
                name=name,
                uptime_ms=int(seen["uptime_ms"]),
                requests=int(seen["requests"]),
                errors=int(seen["errors"]),
                silent_ms=_KEEP_WORKER_MS - left,
            )
            for name, seen, left in zip(names, told[::2], told[1::2], strict=True)
            if isinstance(seen, dict) and seen
        ]
        return Sight(
            workers=tuple(sorted(workers, key=lambda worker: (worker.replica, int(worker.pid)))),
            hops=tuple(sorted(_hops(hops), key=lambda hop: hop.at)),
            store=_described(info) if isinstance(info, dict) else {},
        )


def _hops(texts: object) -> list[Hop]:
    return [Hop(**json.loads(text)) for text in texts] if isinstance(texts, list) else []


def _described(info: dict[str, Any]) -> dict[str, str]:
    valkey = info.get("valkey_version")
    keys = sum(
        int(numbers["keys"])
        for name, numbers in info.items()
        # Redis 8 has names like db0_distrib_hashes_items besides.
        if re.fullmatch(r"db\d+", name) and isinstance(numbers, dict)
    )
    return {
        "Server": f"Valkey {valkey}" if valkey else f"Redis {info.get('redis_version', '')}",
        "Role": str(info.get("role", "")),
        "Memory": str(info.get("used_memory_human", "")),
        "Keys": f"{keys:,}",
        "Connections": str(info.get("connected_clients", "")),
        "Commands": f"{int(info.get('instantaneous_ops_per_sec', 0)):,} a second",
    }
