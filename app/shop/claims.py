"""Claims: what a guest's session notes of the logins that are about to join its cart.

A login joins the cart with the user's saved one before the session is the user's (see
`shop.accounts.entering`). If its worker ends in between, the cart is in both places, and the claim
is what tells. So whoever takes the cart elsewhere withdraws first what such logins contributed.
"""

from __future__ import annotations

import secrets
from typing import Final, TypedDict

from unsticky import Session, transaction

from shop.current import current_session, current_shop

FIELD: Final = "joining"
"""Where the session has them, the latest last."""


class Claim(TypedDict):
    """One login; ``user`` is empty where it is none, but keeps earlier ones from going on."""

    user: str
    claim: str


def new(user: str) -> Claim:
    """Return a claim for a login of this user."""
    return Claim(user=user, claim=secrets.token_hex(16))


def noted(session: Session) -> list[Claim]:
    """Return the session's claims."""
    return list(session.get(FIELD, ()))


def withdraw() -> None:
    """Take out of saved carts again what logins joined that never came to their end.

    A login that is under way claims anew, and joins what the guest then still has.
    """
    fence = new("")
    earlier: list[Claim] = []

    @transaction()
    def note() -> str:
        session = current_session()
        earlier[:] = noted(session)
        session[FIELD] = [*earlier, fence]
        return ""

    @transaction()
    def forget() -> str:
        session = current_session()
        if noted(session)[-1:] == [fence]:
            del session[FIELD]
        return ""

    if not noted(current_session()):
        return
    note()
    for each in earlier:
        current_shop().records.joining.close(each["user"], each["claim"])
    forget()
