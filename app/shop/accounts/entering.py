"""Binding a session to a user, and bringing the guest's cart along exactly once.

The guest's cart is in the session and the user's beside it, under other keys, so no single step
can move it. The order of steps makes every end of the worker harmless:

1. The session notes a claim: that this login is about to join its cart.
2. In a transaction on the session: the cart as it is now is joined under the claim, which may
   happen again and again; then cart and claims leave the session, which is bound to the user.

If the worker ends in between, the session is still the guest's, and the next login closes the
earlier claims before it joins its own. Of two logins of one session at once, the claim noted last
wins; the other one finds the session moved on.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import Final

from unsticky import SessionError, transaction

from shop import claims
from shop.cart import MOST_PER_LINE
from shop.checkout import hand_over
from shop.current import current_session, current_shop
from shop.problems import Problem

_ROUNDS: Final = 10
"""How often a login may claim: once is enough, unless others log in with the same session."""

_RETRIES: Final = 40
"""How often the last step may run again because the guest's cart changed in the meantime. Each is
three calls of the store; a client that adds without a pause lets about one in three through."""

_LONGEST_PAUSE: Final = 0.05
"""Seconds between two claims, at random, so that two logins do not pass each other for ever."""


def enter(user: str, stamp: int, label: str) -> None:
    """Make this the session of `user`, under a new id, and their cart out of both carts.

    Raises:
        StaleCredential: The password was changed after it was checked.
        SessionGone: The session ended meanwhile, as where another login won.
        Conflict: The guest's cart changed too often meanwhile.
        Problem: 409 if other logins of the same session kept coming.
    """
    bind = _Binding(user, stamp, label)
    for _ in range(_ROUNDS):
        noted = _claim(bind)
        if noted is None:
            return
        for earlier in noted[:-1]:
            if earlier["user"] != user:
                current_shop().records.joining.close(earlier["user"], earlier["claim"])
        if _join(bind, noted):
            # Where this fails, the claim is kept as long as that of a login that died.
            with suppress(SessionError):
                current_shop().records.joining.settle(user, noted[-1]["claim"])
            return
        time.sleep(random.uniform(0, _LONGEST_PAUSE))
    detail = "Others log in with the same session all the time. Wait a moment, then log in again."
    raise Problem(409, detail, code="login-contended")


class _Binding:
    """The last step of a login, within a transaction."""

    def __init__(self, user: str, stamp: int, label: str) -> None:
        self.user = user
        self._stamp = stamp
        self._label = label

    def __call__(self) -> None:
        """Make the session the user's, and with it what its guest ordered."""
        session = current_session()
        hand_over(session, self.user)
        session["user"] = self.user
        session["stamp"] = self._stamp
        session.bind(self.user, stamp=self._stamp, label=self._label)


def _claim(bind: _Binding) -> list[claims.Claim] | None:
    """Note a new claim and return all that are noted; bind at once where nothing is to be joined.

    Returns:
        The claims, the new one last; ``None`` if the session is the user's already.
    """
    mine = claims.new(bind.user)
    noted: list[claims.Claim] = []

    @transaction()
    def note() -> str:
        session = current_session()
        noted[:] = claims.noted(session)
        if noted or session.map("cart"):
            noted.append(mine)
            session[claims.FIELD] = list(noted)
        else:
            bind()
        return ""

    note()
    return noted or None


def _join(bind: _Binding, noted: list[claims.Claim]) -> bool:
    """Join the cart and bind, unless another login has claimed since; return whether it was."""
    mine = noted[-1]
    closing = [each["claim"] for each in noted[:-1] if each["user"] == bind.user]
    entered = False

    @transaction(retries=_RETRIES)
    def join() -> str:
        nonlocal entered
        entered = False
        session = current_session()
        if claims.noted(session)[-1:] == [mine]:
            cart = dict(session.map("cart").items())
            if current_shop().records.joining.join(
                bind.user, mine["claim"], cart, closing=closing, most=MOST_PER_LINE
            ):
                session.map("cart").take()
                del session[claims.FIELD]
                bind()
                entered = True
        return ""

    join()
    return entered
