"""A circuit breaker: a store that hangs holds one request, and not every worker."""

from __future__ import annotations

import time
from typing import Final

from ..errors import StoreUnavailable
from .base import Deadline

_SECONDS: Final = 1.0


class Breaker:
    """Refuses calls for a second after one that hung; then one finds out, and all others wait.

    Attributes:
        until: when it lets a call through, on the monotonic clock; 0 while the store answers.
    """

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = 0.0

    def admit(self, deadline: Deadline) -> None:
        """Refuse a call while the store is known to hang.

        Raises:
            StoreUnavailable: a call hung a moment ago.
        """
        if not self.until:
            return
        if time.monotonic() < self.until:
            refusal = StoreUnavailable("the store did not answer within the deadline a moment ago")
            refusal.cause = "breaker"
            raise refusal
        # This request finds out whether the store is back; meanwhile all others are refused.
        self.until = time.monotonic() + min(_SECONDS, deadline.left())

    def hung(self, deadline: Deadline) -> None:
        """Note that a call hung. Only one that could wait for long shows that the store does."""
        if deadline.remaining > deadline.total / 2:
            self.until = time.monotonic() + _SECONDS

    def answered(self) -> None:
        """Note that the store answers."""
        self.until = 0.0


def require_time(deadline: Deadline) -> None:
    """Refuse a call of a request that has no time left.

    Raises:
        StoreUnavailable: it has none.
    """
    if deadline.remaining <= 0:
        spent = StoreUnavailable("this request has used up its time for the store")
        spent.cause = "timeout"
        raise spent
