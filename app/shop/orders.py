"""Checkout and orders: the cart becomes an order exactly once, whichever worker dies.

1. One atomic step moves the cart into another map of the session, whose name holds the order's id
   and its owner. What was added before is in the order, what is added later stays in the cart.
2. The order is priced and written to the store under that id and owner, unless it is there. So
   this step may run again.
3. The session forgets the map.

If the worker dies in between, the map stays in the session, and the next request that lists the
orders does steps 2 and 3.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any, Final

from unsticky import OutcomeUnknown, SessionError, StoreUnavailable, session, transact

from shop import cart
from shop.cart import Line
from shop.context import current_shop
from shop.errors import CartEmpty
from shop.logs import rfc3339
from shop.session_keys import GUEST, TAKEN
from shop.store import digest, key

MOST_LISTED: Final = 100
"""How many orders of one owner are listed; of more than twice as many, the oldest are forgotten."""

GUEST_LIFETIME: Final = timedelta(days=31)
"""How long a guest's orders are kept after the last one: as long as a session can be idle."""


@dataclass(frozen=True)
class Order:
    """An order, with the names and prices of the moment when it was written down."""

    id: str
    created: datetime
    lines: tuple[Line, ...]

    def document(self) -> dict[str, Any]:
        """Return the order as the API shows it."""
        return {
            "order_id": self.id,
            "created": rfc3339(self.created),
            "items": [asdict(line) for line in self.lines],
            "total_cents": sum(line.total_cents for line in self.lines),
        }


def check_out(operation: str) -> Order:
    """Make an order of everything in the cart.

    Args:
        operation: The name of this checkout. Another one of that name returns the same order.

    Raises:
        CartEmpty: There is nothing to order; nothing is stored.
        SessionError: As the session library raises it; `OutcomeUnknown` also if the cart was taken
            and the order could not be written down.
    """
    taken = _take(operation)
    if taken is None:
        raise CartEmpty("The cart is empty; GET /api/orders lists what was ordered.")
    try:
        return write_down(*taken)
    except StoreUnavailable as error:
        # It would say that nothing was changed, but the cart was taken.
        message = "the cart was taken; its order is written down when the orders are listed"
        raise OutcomeUnknown(message) from error


def orders() -> list[Order]:
    """Return the newest orders first, at most MOST_LISTED.

    They are those of the user, and those that were made in this session before the login.
    """
    write_down_taken()
    records = [key("orders", owner) for owner in (_user(), _guest()) if owner]
    return _newest_first(*records)[:MOST_LISTED]


def write_down_taken() -> None:
    """Finish the checkouts of this session whose worker died after it took the cart."""
    for name in session.maps():
        if name.startswith(f"{TAKEN} "):
            write_down(name, dict(session.map(name).items()))


def _take(operation: str) -> tuple[str, dict[str, int]] | None:
    """Move the cart into a map; return its name and what it holds, None if the cart is empty."""
    id_ = digest("check out", operation)[:16]
    if not (dict(cart.stored().items()) or _is_begun(id_)):
        return None
    owner = _user() or _guest() or _named_guest()
    name = f"{TAKEN} {id_} {owner}"
    quantities = cart.stored().take(into=name)
    return (name, quantities) if quantities else None


def _is_begun(id_: str) -> bool:
    """Tell whether an earlier run of this checkout took the cart for this order."""
    owner = _user() or _guest()
    if owner is None:
        return False
    record = key("orders", owner)
    _, written = current_shop().store.ask_all(("HDEL", record, ""), ("HEXISTS", record, id_))
    return bool(written) or f"{TAKEN} {id_} {owner}" in session.maps()


def write_down(taken: str, quantities: dict[str, int]) -> Order:
    """Write the order of a taken cart, unless it is there, and return what is there.

    Args:
        taken: The name of the map that holds the cart.
        quantities: What it holds, sku → quantity.
    """
    _, id_, owner = taken.split(" ", 2)
    record = key("orders", owner)
    lines = [[line.sku, line.name, line.qty, line.price_cents] for line in cart.priced(quantities)]
    content = json.dumps({"created": datetime.now(UTC).isoformat(), "lines": lines})
    commands = [("HSETNX", record, id_, content), ("HGET", record, id_), ("HLEN", record)]
    if owner.startswith(GUEST):
        commands.append(("EXPIRE", record, str(int(GUEST_LIFETIME.total_seconds()))))
    _, written, count, *_ = current_shop().store.keep(*commands)
    if count > 2 * MOST_LISTED:
        _forget_oldest(record)
    order = _order(id_, written)
    # The order stands. If the session cannot forget the map now, the next listing does it.
    with suppress(SessionError):
        if taken in session.maps():
            session.map(taken).take()
    return order


def _newest_first(*records: str) -> list[Order]:
    found = [
        _order(id_.decode(), content)
        for fields in current_shop().store.hashes(*records)
        for id_, content in fields.items()
    ]
    return sorted(found, key=lambda order: (order.created, order.id), reverse=True)


def _forget_oldest(record: str) -> None:
    """Forget the orders that are no longer listed."""
    forgotten = [order.id for order in _newest_first(record)[MOST_LISTED:]]
    current_shop().store.ask("HDEL", record, *forgotten)


def _order(id_: str, content: bytes) -> Order:
    stored = json.loads(content)
    lines = tuple(Line(*line) for line in stored["lines"])
    return Order(id_, datetime.fromisoformat(stored["created"]), lines)


def _user() -> str | None:
    return f"user {session.user}" if session.user is not None else None


def _guest() -> str | None:
    return f"{GUEST} {session[GUEST]}" if GUEST in session else None


def _named_guest() -> str:
    """Give the session a guest's id; if several requests do so at once, one of them decides."""
    name = transact(lambda: session.setdefault(GUEST, token_hex(16)))
    return f"{GUEST} {name}"
