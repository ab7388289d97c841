"""The records of a shop that is one process, in its memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

_SWEEP_SECONDS: Final = 1.0


class Memory:
    """Hashes of text under the keys that the server would have, to be used under one lock.

    Hold `lock` over everything that a script would do in one step.

    Args:
        clock: Seconds, for what expires.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.RLock()
        self._clock = clock
        self._hashes: dict[str, tuple[dict[str, str], float | None]] = {}
        self._sweep_at = 0.0

    def __len__(self) -> int:
        """Return how many hashes are held."""
        return len(self._hashes)

    def read(self, key: str) -> dict[str, str]:
        """Return what is under a key, as a copy; nothing where there is nothing any more."""
        fields, until = self._hashes.get(key, ({}, None))
        if until is not None and until <= self._clock():
            del self._hashes[key]
            return {}
        return dict(fields)

    def left_ms(self, key: str) -> int:
        """Return how long what is under a key has left; 0 where nothing is, or for ever."""
        until = self._hashes[key][1] if self.read(key) else None
        return 0 if until is None else max(1, round((until - self._clock()) * 1000))

    def write(self, key: str, fields: Mapping[str, str], keep_ms: int | None = None) -> None:
        """Replace what is under a key, for ever or for so long; no fields remove it."""
        self._sweep()
        if fields:
            until = None if keep_ms is None else self._clock() + keep_ms / 1000
            self._hashes[key] = (dict(fields), until)
        else:
            self._hashes.pop(key, None)

    def _sweep(self) -> None:
        """Drop what has expired: nobody asks again for the result of most operations."""
        now = self._clock()
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_SECONDS
            self._hashes = {
                key: item for key, item in self._hashes.items() if item[1] is None or item[1] > now
            }
