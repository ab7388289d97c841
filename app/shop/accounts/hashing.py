"""How many passwords a replica hashes at once: one hash costs as much as a hundred other requests.

Half of the workers may hash, so that the other half serves everything else. A login beyond that is
refused at once: if it waited, it would hold one of the other workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import Final

from unsticky import OutcomeUnknown, SessionError, StoreUnavailable
from unsticky.stores import Script

from shop.context import current_shop
from shop.http.problems import Problem
from shop.store import key

LEASE_MS: Final = 5_000
"""How long a hash may take; after that, the worker that held the place counts as dead."""

# In the store, because a replica is several processes, and a semaphore would know only one.
_BEGIN: Final = Script.from_text("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 1 end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")


@contextmanager
def place() -> Iterator[None]:
    """Hold one of the replica's places for a hash.

    Raises:
        Problem: 429 `logins-busy` with `Retry-After` if all are held.
        StoreUnavailable: The store cannot be reached.
    """
    shop = current_shop()
    most = max(1, shop.settings.workers // 2)
    record, me = key("hashes", "replica", shop.settings.replica), token_hex(8)
    try:
        held = shop.store.run(_BEGIN, record, me, most, LEASE_MS)
    except OutcomeUnknown as error:
        raise StoreUnavailable(str(error)) from error
    if not held:
        detail = "Many people are signing in at this moment: try again in a second."
        raise Problem(429, detail, code="logins-busy", headers={"Retry-After": "1"})
    try:
        yield
    finally:
        with suppress(SessionError):
            shop.store.ask("ZREM", record, me)
