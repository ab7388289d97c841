"""The cart: what is in the session under ``cart``, sku → quantity.

The session keeps quantities only; names and prices are the catalog's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from unsticky import OutOfRange, Session

from shop import catalog
from shop.problems import Problem

MOST_PER_LINE = 99


@dataclass(frozen=True)
class Line:
    """A product in the cart; the price is of one, in cents."""

    sku: str
    name: str
    qty: int
    price_cents: int

    @property
    def total_cents(self) -> int:
        """The price of the whole line in cents."""
        return self.qty * self.price_cents


class Cart:
    """The cart of one session.

    Args:
        session: The session of this request. Reading an empty cart does not create one.
    """

    def __init__(self, session: Session) -> None:
        self._quantities = session.map("cart")

    def lines(self) -> list[Line]:
        """Return the lines, by sku; what the catalog no longer has is left out."""
        quantities = dict(self._quantities.items())
        return [
            Line(sku, product.name, quantities[sku], product.price_cents)
            for sku in sorted(quantities)
            if (product := catalog.BY_SKU.get(sku))
        ]

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
            now = self._quantities.incr(sku, qty, minimum=0, maximum=MOST_PER_LINE)
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
        if qty:
            self._quantities[sku] = qty
        else:
            self._quantities.pop(sku, None)

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
