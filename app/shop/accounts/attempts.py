"""Failed logins: a counter for each user and address, so that a stranger cannot lock a user out."""

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
local failures = redis.call('INCR', KEYS[1])
if failures == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return failures
""")


def seconds_to_wait(user: str, address: str) -> int:
    """Return how long this address must wait before it may try this user again, or 0."""
    name = _key(user, address)
    failures, left = current_shop().store.ask_all(("GET", name), ("PTTL", name))
    return max(1, -(-left // 1000)) if int(failures or 0) >= MOST else 0


def fail(user: str, address: str) -> None:
    """Count a failure. If it is sent twice it counts twice, which errs on the safe side."""
    try:
        current_shop().store.run(_COUNT, _key(user, address), WINDOW_SECONDS)
    except OutcomeUnknown as error:
        raise StoreUnavailable(str(error)) from error


def forget(user: str, address: str) -> None:
    """Start again from zero, because a login succeeded."""
    current_shop().store.ask("DEL", _key(user, address))


def _key(user: str, address: str) -> str:
    return key("failures", "user", user, address)
