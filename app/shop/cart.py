"""The cart: sku → quantity, for a guest in the session, for a user in the saved cart.

A user's cart is the same in all of their sessions. Either keeps quantities only; names and prices
are the catalog's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, Protocol

from unsticky import OutOfRange, Session

from shop import catalog
from shop.current import current_shop, next_operation
from shop.problems import Problem
from shop.records.carts import Carts
from shop.records.orders import Line
from shop.records.owner import Owner

MOST_PER_LINE = 99


class Quantities(Protocol):
    """Where the quantities of one cart are kept; every change is atomic."""

    def all(self) -> dict[str, int]:
        """Return them, sku → quantity."""

    def add(self, sku: str, qty: int) -> int:
        """Add to a line and return it.

        Raises:
            OutOfRange: The line would pass MOST_PER_LINE; it stays as it is.
        """

    def put(self, sku: str, qty: int) -> None:
        """Set a line; 0 removes it."""

    def clear(self) -> None:
        """Remove all lines."""


class _OfGuest:
    """In the session under ``cart``; reading an empty one creates no session."""

    def __init__(self, session: Session) -> None:
        self._map = session.map("cart")

    def all(self) -> dict[str, int]:
        return dict(self._map.items())

    def add(self, sku: str, qty: int) -> int:
        return self._map.incr(sku, qty, minimum=0, maximum=MOST_PER_LINE)

    def put(self, sku: str, qty: int) -> None:
        if qty:
            self._map[sku] = qty
        else:
            self._map.pop(sku, None)

    def clear(self) -> None:
        self._map.clear()


class _OfUser:
    """In the user's saved cart; what a change brings back is not asked for again."""

    def __init__(self, carts: Carts, owner: Owner) -> None:
        self._carts = carts
        self._owner = owner
        self._known: dict[str, int] | None = None

    def all(self) -> dict[str, int]:
        if self._known is None:
            self._known = self._carts.quantities(self._owner)
        return self._known

    def add(self, sku: str, qty: int) -> int:
        line, self._known = self._carts.add(self._owner, sku, qty, MOST_PER_LINE, next_operation())
        return line

    def put(self, sku: str, qty: int) -> None:
        self._known = self._carts.put(self._owner, sku, qty, next_operation()).quantities

    def clear(self) -> None:
        self._known = self._carts.clear(self._owner, next_operation()).quantities


class Cart:
    """The cart of whoever this request's session belongs to.

    Args:
        session: The session of this request. Reading an empty cart does not create one.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @cached_property
    def _quantities(self) -> Quantities:
        # A session that is bound meanwhile gets a new id, so that what was meant for the guest's
        # cart is refused then and not added where nobody looks any more.
        user = self._session.get("user")
        if user is None:
            return _OfGuest(self._session)
        return _OfUser(current_shop().records.carts, Owner.user(user))

    def lines(self) -> list[Line]:
        """Return the lines, by sku; what the catalog no longer has is left out."""
        return priced(self._quantities.all())

    def count(self) -> int:
        """Return how many pieces are in the cart."""
        return sum(line.qty for line in self.lines())

    def add(self, sku: str, qty: int) -> Line:
        """Add to a line, atomically: of adds at the same moment none is lost.

        Returns:
            The line as it is now.

        Raises:
            Problem: 404 for an unknown sku; 409 if the line would pass the most
                that one holds, and then nothing is changed.
        """
        product = catalog.find(sku)
        try:
            now = self._quantities.add(sku, qty)
        except OutOfRange:
            detail = (
                f"A line holds at most {MOST_PER_LINE}: {qty} more of {sku!r} would pass that. "
                "Nothing was changed."
            )
            raise Problem(409, detail) from None
        return Line(sku, product.name, now, product.price_cents)

    def put(self, sku: str, qty: int) -> None:
        """Set a line to a quantity; 0 removes it.

        Raises:
            Problem: 404 for an unknown sku.
        """
        catalog.find(sku)
        self._quantities.put(sku, qty)

    def remove(self, sku: str) -> None:
        """Remove a line, if it is there.

        Raises:
            Problem: 404 for an unknown sku.
        """
        self.put(sku, 0)

    def clear(self) -> None:
        """Remove all lines."""
        self._quantities.clear()

    def document(self) -> dict[str, Any]:
        """Return the cart as the API shows it."""
        lines = self.lines()
        return {
            "items": [asdict(line) for line in lines],
            "count": sum(line.qty for line in lines),
            "total_cents": sum(line.total_cents for line in lines),
        }


def priced(quantities: Mapping[str, int]) -> list[Line]:
    """Return lines with the catalog's names and prices, by sku; what is not in it is left out."""
    return [
        Line(sku, product.name, quantities[sku], product.price_cents)
        for sku in sorted(quantities)
        if (product := catalog.BY_SKU.get(sku))
    ]
