"""What the pages share: one blueprint, their header, and what every template may use."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, render_template
from unsticky import StoreUnavailable

from shop.cart import MOST_PER_LINE, Cart
from shop.current import current_session, current_shop
from shop.headers import served_by
from shop.logs import rfc3339
from shop.request_id import current_request_id

routes = Blueprint("pages", __name__)

# A path of this shop and nothing else: browsers read `//` and `/\\` as the beginning of another
# host's name, and take tabs and line ends out before they look.
_OWN_PATH = re.compile(r"(/[A-Za-z0-9_-]+)+|/")


def page(template: str, **shown: Any) -> str:
    """Return a page whose header shows who looks at it and how much is in their cart.

    Where the store cannot be reached, and the view does without it, the header does, too.

    Args:
        template: Its file.
        shown: What it shows; with ``count``, the cart need not be read for it.
    """
    session = current_session()
    known = session.available
    try:
        count = shown.pop("count") if "count" in shown else Cart(session).count()
    except StoreUnavailable:
        count, known = 0, False
    return render_template(template, known=known, user=session.get("user"), count=count, **shown)


def own_path(text: str | None) -> str | None:
    """Return the path of this shop that a form or an address names; ``None`` for anything else."""
    return text if text and _OWN_PATH.fullmatch(text) else None


@routes.app_template_filter("money")
def money(cents: int) -> str:
    """Format an amount in cents, such as ``€12.50``."""
    return f"€{cents // 100:,}.{cents % 100:02}"


@routes.app_template_filter("moment")
def moment(when: datetime | str) -> str:
    """Format a time for people, such as ``5 Jan 2026, 09:30 UTC``; a text is of RFC 3339."""
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    when = when.astimezone(UTC)
    return f"{when.day} {when:%b %Y, %H:%M} UTC"


@routes.app_template_filter("duration")
def duration(milliseconds: int) -> str:
    """Format a time that passed in its largest unit, such as ``3 min``."""
    seconds = milliseconds // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


routes.add_app_template_filter(rfc3339)


@routes.app_context_processor
def stack() -> dict[str, str | int | None]:
    """Tell every template which worker makes the page, and for which request."""
    return {
        "served_by": served_by(current_shop().settings),
        "request_id": current_request_id(),
        "most_per_line": MOST_PER_LINE,
    }
