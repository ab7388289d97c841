"""Answers by Idempotency-Key: who works on one, and what was answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from shop.records.memory import Memory
from shop.records.seam import Seam, load

KEPT_MS: Final = 24 * 3600 * 1000

LEASE_MS: Final = 5_000
"""How long a request may work on its answer before another may: a worker that died says nothing.

It may be short, because both would have the same effect."""

_PARTS: Final = ("type", "location", "body")

_BEGIN: Final = load("now", "answer_begin")
_KEEP: Final = load("answer_keep")
_FREE: Final = load("answer_free")


class Answer(NamedTuple):
    """What was answered; ``location`` is empty where it is no redirect."""

    status: int
    media_type: str
    location: str
    body: str


@dataclass(frozen=True)
class Mine:
    """This request is to do the work."""


@dataclass(frozen=True)
class Other:
    """The key was used by a request that asked for something else."""


@dataclass(frozen=True)
class Busy:
    """Another request is doing the work, for this many milliseconds at most."""

    left: int


Begun: TypeAlias = Mine | Other | Busy | Answer


class Answers(Protocol):
    """The answers of all sessions. Each method is one atomic step; again is the same.

    ``scope`` names the live session, ``name`` the key with all that it is a key for.
    """

    def begin(self, scope: str, name: str, fingerprint: str, request_id: str) -> Begun:
        """Return the answer that is there, or whose work it is; the same request's id may go on."""

    def keep(self, scope: str, name: str, fingerprint: str, answer: Answer) -> None:
        """Keep an answer, unless there is one."""

    def free(self, scope: str, name: str, request_id: str) -> None:
        """Let another request do the work: this one came to no answer that lasts."""


class MemoryAnswers:
    """The answers in this process's memory."""

    def __init__(self, memory: Memory, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory
        self._clock = clock

    def begin(self, scope: str, name: str, fingerprint: str, request_id: str) -> Begun:
        """See `Answers.begin`."""
        key, now = _key(scope, name), self._clock()
        with self._memory.lock:
            found = self._memory.read(key)
            if found:
                if found["fingerprint"] != fingerprint:
                    return Other()
                if "status" in found:
                    return _answer(found["status"], *(found[part] for part in _PARTS))
                left = float(found["until"]) - now
                if found["holder"] != request_id and left > 0:
                    return Busy(int(left * 1000) + 1)
            held = {"holder": request_id, "until": str(now + LEASE_MS / 1000)}
            self._memory.write(key, {"fingerprint": fingerprint, **held}, KEPT_MS)
            return Mine()

    def keep(self, scope: str, name: str, fingerprint: str, answer: Answer) -> None:
        """See `Answers.keep`."""
        with self._memory.lock:
            if "status" not in self._memory.read(_key(scope, name)):
                parts = dict(zip(("status", *_PARTS), map(str, answer), strict=True))
                self._memory.write(
                    _key(scope, name), {"fingerprint": fingerprint, **parts}, KEPT_MS
                )

    def free(self, scope: str, name: str, request_id: str) -> None:
        """See `Answers.free`."""
        with self._memory.lock:
            found = self._memory.read(_key(scope, name))
            if found.get("holder") == request_id and "status" not in found:
                self._memory.write(_key(scope, name), {})


class RedisAnswers:
    """The answers in Redis or Valkey.

    Where one is lost the client may send its request again: that is what its key is for.

    Args:
        seam: The way to the server.
    """

    def __init__(self, seam: Seam) -> None:
        self._seam = seam

    def begin(self, scope: str, name: str, fingerprint: str, request_id: str) -> Begun:
        """See `Answers.begin`."""
        what, *rest = self._seam.ask(
            _BEGIN, [_key(scope, name)], (fingerprint, request_id, LEASE_MS, KEPT_MS)
        )
        match what:
            case "mine":
                return Mine()
            case "other":
                return Other()
            case "busy":
                return Busy(rest[0])
            case _:
                return _answer(*rest)

    def keep(self, scope: str, name: str, fingerprint: str, answer: Answer) -> None:
        """See `Answers.keep`."""
        self._seam.ask(_KEEP, [_key(scope, name)], (KEPT_MS, fingerprint, *answer))

    def free(self, scope: str, name: str, request_id: str) -> None:
        """See `Answers.free`."""
        self._seam.ask(_FREE, [_key(scope, name)], [request_id])


def _answer(status: str, media_type: str, location: str, body: str) -> Answer:
    return Answer(int(status), media_type, location, body)


def _key(scope: str, name: str) -> str:
    return f"shop:{{{scope}}}:key:{name}"
