"""Failed logins: a counter for each user and client, so that a stranger cannot lock a user out.

An attempt counts before its password is checked, and a login that succeeds resets the count. If it
counted afterwards, many attempts at once would all be checked before the first of them counts.
"""

from __future__ import annotations

from typing import Final

from unsticky import OutcomeUnknown, StoreUnavailable
from unsticky.stores import Script

from shop.context import current_shop
from shop.store import key

MOST: Final = 10
"""Failures within the window (ASVS 5.0, 6.3.1)."""

WINDOW_SECONDS: Final = 300
"""It begins with the first failure."""

_COUNT: Final = Script.from_text("""
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then
  return math.max(redis.call('PTTL', KEYS[1]), 1)
end
if redis.call('INCR', KEYS[1]) == 1 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return 0
""")


def count(user: str, client: str) -> int:
    """Count an attempt; return how many seconds this client must wait instead, or 0.

    If it is sent twice it counts twice, which errs on the safe side.

    Raises:
        StoreUnavailable: The store cannot be reached.
    """
    try:
        left = current_shop().store.run(_COUNT, _key(user, client), MOST, WINDOW_SECONDS)
    except OutcomeUnknown as error:
        raise StoreUnavailable(str(error)) from error
    return -(-int(left) // 1000)


def forget(user: str, client: str) -> None:
    """Start again from zero, because a login succeeded."""
    current_shop().store.ask("DEL", _key(user, client))


def _key(user: str, client: str) -> str:
    return key("failures", "user", user, client)
