"""The cart, a map of the session: sku → quantity. A login carries it along with the session.

It holds quantities only; names and prices are the catalog's.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from unsticky import OutOfRange, SessionMap, session

from shop import catalog
from shop.errors import LineFull
from shop.session_keys import CART

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
    return session.map(CART)


def lines() -> list[Line]:
    """Return the lines, by sku; a product that the catalog no longer has is left out."""
    return priced(dict(stored().items()))


def add(sku: str, qty: int) -> Line:
    """Add to a line, atomically, and return the line as it is now.

    Raises:
        UnknownProduct: No product has the sku.
        LineFull: The line would pass MOST_PER_LINE.
    """
    product = catalog.find(sku)
    try:
        now = stored().incr(sku, qty, minimum=0, maximum=MOST_PER_LINE)
    except OutOfRange:
        passed = f"A line holds at most {MOST_PER_LINE}: {qty} more of {sku!r} would pass that."
        raise LineFull(f"{passed} Nothing was changed.") from None
    return Line(sku, product.name, now, product.price_cents)


def put(sku: str, qty: int) -> None:
    """Set a line to a quantity; 0 removes it.

    Raises:
        UnknownProduct: No product has the sku.
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
