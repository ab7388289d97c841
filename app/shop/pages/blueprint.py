"""What the pages share: one blueprint, their header, and the filters of the templates."""

import re
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, render_template
from unsticky import StoreUnavailable, session

from shop import cart
from shop.context import request_id, served_by
from shop.logs import rfc3339

routes = Blueprint("pages", __name__)

# A path of this shop and nothing else: browsers read `//` and `/\\` as the beginning of another
# host's name, and first remove tabs and line ends.
_OWN_PATH = re.compile(r"(/[A-Za-z0-9_-]+)+|/")


def page(template: str, **values: Any) -> str:
    """Return a page; its header shows the user and how much is in the cart.

    If the store cannot be reached and the view can live without it, the header says so.

    Args:
        template: Its file.
        values: For the template; with `count` the cart is not read for the header.
    """
    known = session.available
    try:
        if "count" not in values:
            values["count"] = sum(line.qty for line in cart.lines())
    except StoreUnavailable:
        values["count"], known = 0, False
    return render_template(
        template,
        known=known,
        user=session.user,
        most_per_line=cart.MOST_PER_LINE,
        **values,
    )


def own_path(text: str | None) -> str | None:
    """Return a path of this shop that a form or an address names; None for anything else."""
    return text if text and _OWN_PATH.fullmatch(text) else None


@routes.app_template_filter("money")
def money(cents: int) -> str:
    """Format an amount in cents, such as `€12.50`."""
    return f"€{cents // 100:,}.{cents % 100:02}"


@routes.app_template_filter("moment")
def moment(when: datetime | str) -> str:
    """Format a time for people, such as `5 Jan 2026, 09:30 UTC`; a text is RFC 3339."""
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    when = when.astimezone(UTC)
    return f"{when.day} {when:%b %Y, %H:%M} UTC"


@routes.app_template_filter("duration")
def duration(milliseconds: int) -> str:
    """Format a span of time in its largest unit, such as `3 min`."""
    seconds = milliseconds // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


routes.add_app_template_filter(rfc3339)


@routes.app_context_processor
def served() -> dict[str, str | None]:
    """Give every template the worker that makes the page, and the id of the request."""
    return {"served_by": served_by(), "request_id": request_id()}
