"""Failed logins: how many one address may cause for one user, and how long it then waits."""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Protocol

from shop.records.memory import Memory
from shop.records.owner import Owner
from shop.records.seam import Seam, load

MOST: Final = 10
"""Failures within the window (ASVS 5.0, 6.3.1)."""

WINDOW_MS: Final = 300_000
"""It begins with the first failure."""

_COUNT: Final = load("attempts")


class Attempts(Protocol):
    """Counts failures for each user and address, so that a stranger cannot lock a user out."""

    def wait_ms(self, user: str, address: str) -> int:
        """Return how long this address must wait before it may try this user; 0 if it need not."""

    def fail(self, user: str, address: str) -> None:
        """Count a failure."""

    def forget(self, user: str, address: str) -> None:
        """Begin anew, because a login succeeded."""


class RedisAttempts:
    """Failures in Redis or Valkey."""

    def __init__(self, seam: Seam) -> None:
        self._seam = seam

    def wait_ms(self, user: str, address: str) -> int:
        """See `Attempts.wait_ms`."""
        return self._ask("look", user, address)

    def fail(self, user: str, address: str) -> None:
        """See `Attempts.fail`. Sent twice it counts twice, which errs on the safe side."""
        self._ask("fail", user, address)

    def forget(self, user: str, address: str) -> None:
        """See `Attempts.forget`."""
        self._ask("forget", user, address)

    def _ask(self, step: str, user: str, address: str) -> int:
        waits: int = self._seam.ask(_COUNT, [_key(user, address)], [step, MOST, WINDOW_MS])
        return waits


class MemoryAttempts:
    """Failures in this process's memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def wait_ms(self, user: str, address: str) -> int:
        """See `Attempts.wait_ms`."""
        key = _key(user, address)
        with self._memory.lock:
            failures = int(self._memory.read(key).get("count", 0))
            return self._memory.left_ms(key) if failures >= MOST else 0

    def fail(self, user: str, address: str) -> None:
        """See `Attempts.fail`."""
        key = _key(user, address)
        with self._memory.lock:
            count = int(self._memory.read(key).get("count", 0)) + 1
            left = self._memory.left_ms(key) or WINDOW_MS
            self._memory.write(key, {"count": str(count)}, left)

    def forget(self, user: str, address: str) -> None:
        """See `Attempts.forget`."""
        with self._memory.lock:
            self._memory.write(_key(user, address), {})


def _key(user: str, address: str) -> str:
    return Owner.user(user).key("failures", sha256(address.encode()).hexdigest()[:32])
