"""Times and counts on which the stores and the sessions agree. None of them is a setting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TOMBSTONE_LIFETIME_MS: Final = 60_000
"""How long an ended session is remembered as ended; longer than any request may run."""

OPERATION_LIFETIME_MS: Final = 10_000
"""How long the result of a write is kept at least, so that a resend of it is applied only once."""

ONCE_LIFETIME_MS: Final = 24 * 3600 * 1000
"""The same for writes named by `session.once(name)`: as long as clients of an Idempotency-Key can
be expected to try again."""

APART_MS: Final = 60_000
"""How far apart the requests are that show that a session is in use; see `Lifetimes.unused`."""

MOST_FLASHES: Final = 64
"""How many flashed messages a session keeps, the newest."""

MAX_DEADLINE: Final = TOMBSTONE_LIFETIME_MS // 2000
"""The longest that one request may spend in the store, in seconds."""

MAX_FIELDS: Final = 1024
"""How many fields a session may have."""

MERGE_ROUNDS: Final = 5
"""How often a commit is merged with what other requests changed, and sent again."""

RETRIES: Final = 3
"""How often a GET or HEAD that conflicts runs again."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long sessions live, in milliseconds of the store's clock.

    Attributes:
        idle: since the session was last seen.
        absolute: since it was created or bound, however busy; None for no such limit.
        unused: for a session that is not known to be in use, such as a bot's: until it is bound or
            moved, or gets limits of its own, or until three requests have used it, each at least
            `apart` after the one before. The request that makes it is the first.
    """

    idle: int
    absolute: int | None
    unused: int

    @property
    def apart(self) -> int:
        """See `unused`; a quarter of it if it is short."""
        return min(APART_MS, self.unused // 4)
