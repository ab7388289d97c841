"""Checkout: the cart becomes an order, exactly once, whatever happens to the worker.

First one atomic step takes everything out of the cart into an order that is begun: what was added
before is in it, what comes after stays in the cart. Then the order is priced and written down,
which is the same done once or twice. Where a worker dies in between, the begun order waits, a
guest's in the session, a user's beside the saved cart; whoever lists the orders next settles it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Final

from flask.typing import ResponseReturnValue
from unsticky import OutcomeUnknown, Session, SessionError, StoreUnavailable, transaction

from shop import claims
from shop.cart import priced
from shop.current import current_session, current_shop, next_operation
from shop.logs import rfc3339
from shop.problems import Problem
from shop.records.orders import Begun, Order
from shop.records.owner import Owner

GUEST_KEPT_MS: Final = 31 * 24 * 3600 * 1000
"""How long a guest's orders are kept after the last one: as long as the session can be idle."""

_MAP: Final = "order "
"""What the names of a session's maps begin with that hold a begun order."""


def check_out(session: Session) -> Order:
    """Make an order of all that is in the cart.

    It is named after this request's Idempotency-Key if there is one, so that the same checkout
    sent again returns the order that it made.

    Raises:
        Problem: 409 if the cart is empty.
        SessionError: As the session library raises it; `OutcomeUnknown` also where the cart was
            taken and the order could not be written down.
    """
    id_ = next_operation().digest("check out", size=8)
    user = session.get("user")
    if user is None:
        # Asked first, so that a visitor without a session gets none from this.
        begun = _taken(session, id_) if session.created is not None else None
    else:
        begun = current_shop().records.orders.begin(Owner.user(user), id_)
    if begun is None:
        raise Problem(
            409, "The cart is empty; GET /api/orders lists what was ordered.", code="cart-empty"
        )
    try:
        (order,) = _settled(session, [begun])
    except StoreUnavailable as error:
        # It says that nothing was changed, and the cart is taken.
        message = "the cart was taken, and its order is written down when the orders are listed"
        raise OutcomeUnknown(message) from error
    return order


def orders(session: Session) -> tuple[Order, ...]:
    """Return the newest orders first, at most 100; those that a death left unsettled are settled.

    A user also gets what they ordered in this session before they logged in.
    """
    user, records = session.get("user"), current_shop().records.orders
    left = _left(session)
    if user is None and not left and "guest" not in session:
        return ()
    _settled(session, left)
    if user is not None:
        _adopt(session, Owner.user(user))
    owner = _owner(session)
    found = records.list(owner)
    if not found.begun:
        return found.orders
    _settled(session, found.begun)
    return records.list(owner).orders


def hand_over(session: Session, user: str) -> None:
    """Give a user what the guest of this session ordered, before the session becomes theirs.

    So the orders are the user's even if the browser never learns of the login. Again it is the
    same; where the login fails the guest has them, too.
    """
    owner, records = Owner.user(user), current_shop().records.orders
    for each in _left(session):
        records.settle(owner, each, priced(each.quantities), None)
    if "guest" in session:
        for order in records.list(Owner.guest(session["guest"])).orders:
            records.settle(owner, Begun(order.id, {}, order.created), order.lines, None)


def document(order: Order) -> dict[str, Any]:
    """Return an order as the API shows it."""
    return {
        "order_id": order.id,
        "created": rfc3339(created(order)),
        "items": [asdict(line) for line in order.lines],
        "total_cents": order.total_cents,
    }


def created(order: Order) -> datetime:
    """Return when an order was made, in UTC."""
    return datetime.fromtimestamp(order.created / 1000, UTC)


def _taken(session: Session, id_: str) -> Begun | None:
    # What is ordered here must not be in the saved cart of somebody whose login died half-way.
    claims.withdraw()
    # Named anew, because whether there was something to withdraw would count otherwise: the same
    # checkout sent again finds nothing any more.
    session.once(f"check out {id_}")
    quantities = session.map("cart").take(into=f"{_MAP}{id_}")
    return Begun(id_, quantities) if quantities else None


def _left(session: Session) -> list[Begun]:
    """Return the orders that the session's guest began and that nobody has settled."""
    return [
        Begun(name.removeprefix(_MAP), dict(session.map(name).items()))
        for name in session.maps()
        if name.startswith(_MAP)
    ]


def _settled(session: Session, begun: Iterable[Begun]) -> list[Order]:
    """Price what was begun and write it down; then the session may forget it."""
    records, settled = current_shop().records.orders, []
    for each in begun:
        owner = _owner(session)
        kept = None if session.get("user") else GUEST_KEPT_MS
        settled.append(records.settle(owner, each, priced(each.quantities), kept))
        # The order stands. Where this fails, the next one to list the orders does it.
        with suppress(SessionError):
            if (name := f"{_MAP}{each.id}") in session.maps():
                session.map(name).take()
    return settled


def _adopt(session: Session, user: Owner) -> None:
    """Give a user what was ordered in this session before the login; again it is the same."""
    guest, records = session.get("guest"), current_shop().records.orders
    if guest is None:
        return
    owner = Owner.guest(guest)
    while found := records.list(owner).orders:
        for order in found:
            records.settle(user, Begun(order.id, {}, order.created), order.lines, kept=None)
        records.forget(owner, [order.id for order in found])
    del session["guest"]


def _owner(session: Session) -> Owner:
    """Return whose orders these are; a guest gets an id when it is first needed."""
    user = session.get("user")
    if user is not None:
        return Owner.user(user)
    if "guest" not in session:
        _name_guest()
    return Owner.guest(session["guest"])


@transaction(retries=5)
def _name_guest() -> ResponseReturnValue:
    """Give the session a guest's id; of several requests that do so at once, one decides."""
    current_session().setdefault("guest", token_hex(16))
    return ""
