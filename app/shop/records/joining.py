"""Joining a guest's cart into a user's saved one, exactly once.

A login *claims* the guest's quantities under a random id before it joins them, and the session
remembers the claim until the cart is taken out of it. A login that comes later, because the worker
of the first died or because another tab logs in as well, closes the earlier claims: what they
contributed is counted, or withdrawn if it was another user's, and what they have not contributed
yet they never will.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from shop.records.memory import Memory
from shop.records.owner import Owner
from shop.records.seam import Seam, load

KEEP_MS: Final = 91 * 24 * 3_600_000
"""A claim is kept longer than the session that remembers it can live."""

CLOSED_MS: Final = 24 * 3_600_000
"""Longer than any login that could still try to join with a closed claim, or with a settled one."""

_STATE, _JOINED, _CLOSED = "\0state", "joined", "closed"

_JOIN: Final = load("join")
_CLOSE: Final = load("close")
_SETTLE: Final = load("claim_settle")


class Joining(Protocol):
    """The claims and what they contributed. Every method is one atomic step; again is the same."""

    def join(
        self,
        user: str,
        claim: str,
        quantities: Mapping[str, int],
        *,
        closing: Sequence[str] = (),
        most: int,
    ) -> bool:
        """Make a claim contribute what the guest has, and close earlier ones.

        What this claim and those contributed before is in the user's saved cart already, and only
        the rest is added; where the guest has less by now, the difference is taken out again.

        Args:
            user: Whose cart.
            claim: The random id of this login. Joining with it again is the same, for what the
                guest's cart holds by then.
            quantities: What the guest's cart holds, sku → quantity.
            closing: Earlier claims of the same user and guest.
            most: What a line holds at most; what would pass it is left out.

        Returns:
            Whether it was done; not where a later login has closed the claim.
        """

    def close(self, user: str, claim: str) -> None:
        """Withdraw what a claim contributed, if any, and keep it from contributing."""

    def settle(self, user: str, claim: str) -> None:
        """Keep a claim a day more only: the session is the user's and remembers it no longer."""


class RedisJoining:
    """Claims in Redis or Valkey."""

    def __init__(self, seam: Seam) -> None:
        self._seam = seam

    def join(
        self,
        user: str,
        claim: str,
        quantities: Mapping[str, int],
        *,
        closing: Sequence[str] = (),
        most: int,
    ) -> bool:
        """See `Joining.join`."""
        keys = [_cart(user), _claim(user, claim), *(_claim(user, each) for each in closing)]
        pairs = [part for pair in quantities.items() for part in pair]
        return bool(self._seam.ask(_JOIN, keys, [most, KEEP_MS, CLOSED_MS, *pairs]))

    def close(self, user: str, claim: str) -> None:
        """See `Joining.close`."""
        self._seam.ask(_CLOSE, [_cart(user), _claim(user, claim)], [CLOSED_MS])

    def settle(self, user: str, claim: str) -> None:
        """See `Joining.settle`."""
        self._seam.ask(_SETTLE, [_claim(user, claim)], [CLOSED_MS])


class MemoryJoining:
    """Claims in this process's memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def join(
        self,
        user: str,
        claim: str,
        quantities: Mapping[str, int],
        *,
        closing: Sequence[str] = (),
        most: int,
    ) -> bool:
        """See `Joining.join`."""
        with self._memory.lock:
            mine = _claim(user, claim)
            if self._memory.read(mine).get(_STATE) == _CLOSED:
                return False
            before: dict[str, int] = {}
            for each in (claim, *closing):
                for sku, qty in self._closed(_claim(user, each)).items():
                    before[sku] = before.get(sku, 0) + qty
            cart = self._memory.read(_cart(user))
            contributed = {_STATE: _JOINED}
            for sku in {**before, **quantities}:
                wanted, had = quantities.get(sku, 0), before.get(sku, 0)
                now = int(cart.get(sku, 0))
                then = _within(now, now + wanted - had, most)
                _put(cart, sku, then)
                _put(contributed, sku, min(wanted, had + then - now))
            self._memory.write(_cart(user), cart)
            self._memory.write(mine, contributed, KEEP_MS)
            return True

    def close(self, user: str, claim: str) -> None:
        """See `Joining.close`."""
        with self._memory.lock:
            cart = self._memory.read(_cart(user))
            for sku, qty in self._closed(_claim(user, claim)).items():
                _put(cart, sku, int(cart.get(sku, 0)) - qty)
            self._memory.write(_cart(user), cart)

    def settle(self, user: str, claim: str) -> None:
        """See `Joining.settle`."""
        with self._memory.lock:
            key = _claim(user, claim)
            self._memory.write(key, self._memory.read(key), CLOSED_MS)

    def _closed(self, key: str) -> dict[str, int]:
        """Close the claim of that key and return what it had contributed."""
        found = self._memory.read(key)
        self._memory.write(key, {_STATE: _CLOSED}, CLOSED_MS)
        if found.pop(_STATE, None) != _JOINED:
            return {}
        return {sku: int(qty) for sku, qty in found.items()}


def _within(now: int, then: int, most: int) -> int:
    return max(0, min(then, max(now, most)))


def _put(fields: dict[str, str], sku: str, qty: int) -> None:
    if qty > 0:
        fields[sku] = str(qty)
    else:
        fields.pop(sku, None)


def _cart(user: str) -> str:
    return Owner.user(user).key("cart")


def _claim(user: str, claim: str) -> str:
    return Owner.user(user).key("claim", claim)
