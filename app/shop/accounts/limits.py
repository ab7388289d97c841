"""How often passwords may be tried, and how many a replica checks at once."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import Final

from unsticky import SessionError
from unsticky.stores import Script

from shop.context import current_shop
from shop.errors import LoginsBusy, TooManyLogins
from shop.store import key

MOST_FAILURES: Final = 10
"""Failed logins of one client for one user within the window (ASVS 5.0, 6.3.1)."""

WINDOW_SECONDS: Final = 300
"""It begins with the first failure."""

LEASE_MS: Final = 5_000
"""How long a hash may take; after that, the worker that held the place counts as dead."""

_COUNT: Final = Script.from_text(
    """
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then
  return math.max(redis.call('PTTL', KEYS[1]), 1)
end
if redis.call('INCR', KEYS[1]) == 1 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return 0
""",
    "count_attempt",
)

# In the store, because a replica is several processes, and a semaphore would know only one.
_BEGIN: Final = Script.from_text(
    """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 1 end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""",
    "begin_hash",
)


def count_attempt(user: str, client: str) -> None:
    """Count a login before its password is checked; `forget_attempts` if it succeeds.

    If it counted afterwards, many attempts at once would all be checked before the first of them
    counts. The count is per user and client, so that a stranger cannot lock a user out. An attempt
    that is sent twice counts twice, which errs on the safe side.

    Raises:
        TooManyLogins: This client has failed MOST_FAILURES times.
        StoreUnavailable: The store cannot be reached.
    """
    record = _failures(user, client)
    left = current_shop().store.run(_COUNT, record, MOST_FAILURES, WINDOW_SECONDS, repeatable=True)
    if left:
        text = f"Too many wrong passwords: try again in {-(-left // 60_000)} min."
        raise TooManyLogins(text, retry_after=-(-left // 1000))


def forget_attempts(user: str, client: str) -> None:
    """Start again from zero, because a login succeeded."""
    current_shop().store.ask("DEL", _failures(user, client))


@contextmanager
def place_to_hash() -> Iterator[None]:
    """Hold one of the replica's places for a hash, which costs as much as a hundred requests.

    Half of the workers may hash, so that the other half serves everything else. A login beyond that
    is refused at once: if it waited, it would hold one of the other workers.

    Raises:
        LoginsBusy: All places are held.
        StoreUnavailable: The store cannot be reached.
    """
    shop = current_shop()
    most = max(1, shop.settings.workers // 2)
    record, me = key("hashes", "replica", shop.settings.replica), token_hex(8)
    if not shop.store.run(_BEGIN, record, me, most, LEASE_MS, repeatable=True):
        text = "Many people are logging in at this moment: try again in a second."
        raise LoginsBusy(text, retry_after=1)
    try:
        yield
    finally:
        with suppress(SessionError):
            shop.store.ask("ZREM", record, me)


def _failures(user: str, client: str) -> str:
    return key("failures", "user", user, client)
