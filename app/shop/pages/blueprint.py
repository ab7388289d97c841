"""What the pages share: one blueprint, and what every template may use."""

from __future__ import annotations

from flask import Blueprint

from shop.cart import MOST_PER_LINE
from shop.current import current_shop
from shop.headers import served_by
from shop.request_id import current_request_id

routes = Blueprint("pages", __name__)


@routes.app_template_filter("money")
def money(cents: int) -> str:
    """Format an amount in cents, such as ``€12.50``."""
    return f"€{cents // 100:,}.{cents % 100:02}"


@routes.app_context_processor
def stack() -> dict[str, str | int | None]:
    """Tell every template which worker makes the page, and for which request."""
    return {
        "served_by": served_by(current_shop().settings),
        "request_id": current_request_id(),
        "most_per_line": MOST_PER_LINE,
    }
