"""The cart: `session.map("cart")`, sku → quantity. A login carries it along with the session.

It holds quantities only; names and prices are the catalog's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from unsticky import OutOfRange, SessionMap, session

from shop import catalog
from shop.http.problems import Problem

MOST_PER_LINE: Final = 99


@dataclass(frozen=True)
class Line:
    """A product and how many of it; the price is of one, in cents."""

    sku: str
    name: str
    qty: int
    price_cents: int

    @property
    def total_cents(self) -> int:
        """The price of the whole line, in cents."""
        return self.qty * self.price_cents


def stored() -> SessionMap:
    """Return the quantities; reading an empty cart creates no session."""
    return session.map("cart")


def lines() -> list[Line]:
    """Return the lines, by sku; a product that the catalog no longer has is left out."""
    return priced(dict(stored().items()))


def count() -> int:
    """Return how many pieces are in the cart."""
    return sum(line.qty for line in lines())


def add(sku: str, qty: int) -> Line:
    """Add to a line, atomically, and return the line as it is now.

    Raises:
        Problem: 404 if the sku is unknown; 409 if the line would pass MOST_PER_LINE, and then
            nothing is changed.
    """
    product = catalog.find(sku)
    try:
        now = stored().incr(sku, qty, minimum=0, maximum=MOST_PER_LINE)
    except OutOfRange:
        detail = (
            f"A line holds at most {MOST_PER_LINE}: {qty} more of {sku!r} would pass that. "
            "Nothing was changed."
        )
        raise Problem(409, detail) from None
    return Line(sku, product.name, now, product.price_cents)


def put(sku: str, qty: int) -> None:
    """Set a line to a quantity; 0 removes it.

    Raises:
        Problem: 404 if the sku is unknown.
    """
    catalog.find(sku)
    if qty:
        stored()[sku] = qty
    else:
        stored().pop(sku, None)


def clear() -> None:
    """Remove all lines."""
    stored().clear()


def document() -> dict[str, Any]:
    """Return the cart as the API shows it."""
    shown = lines()
    return {
        "items": [asdict(line) for line in shown],
        "count": sum(line.qty for line in shown),
        "total_cents": sum(line.total_cents for line in shown),
    }


def priced(quantities: Mapping[str, int]) -> list[Line]:
    """Return lines with the catalog's names and prices, by sku; unknown skus are left out."""
    return [
        Line(sku, product.name, quantities[sku], product.price_cents)
        for sku in sorted(quantities)
        if (product := catalog.BY_SKU.get(sku))
    ]
