"""The name of one change, so that sending it again cannot apply it twice."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from shop.records.owner import Owner

RESEND_MS: Final = 10_000
"""How long a result is kept of what only the way to the server, or nginx, sends again."""

RETRY_MS: Final = 24 * 3600 * 1000
"""The same of what a client with an Idempotency-Key may send again."""


@dataclass(frozen=True)
class Operation:
    """See the module.

    Attributes:
        name: Whose change it is: a request's id, or a key that several requests bring.
        ordinal: Which of its changes.
        kept: How long its result is remembered (ms).
    """

    name: str
    ordinal: int
    kept: int = RESEND_MS

    def digest(self, *what: str | int, size: int = 12) -> str:
        """Return a short name of the operation done with these arguments."""
        parts = (self.name, self.ordinal, *what)
        return blake2b("\0".join(map(str, parts)).encode(), digest_size=size).hexdigest()

    def key(self, owner: Owner, *what: str | int) -> str:
        """Return the key of the result, beside what the operation changes."""
        return owner.key("op", self.digest(*what))
