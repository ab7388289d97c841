"""The shelf and the cart.

After a change the browser is redirected (303), so that a reload changes nothing again; the next
page says what was done. A refusal is shown at once, with the API's status, and creates no session.
"""

from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, url_for
from werkzeug import Response

from shop import cart, catalog
from shop.http import idempotency
from shop.http.parsing import Rule, form_fields, integer, read, text
from shop.pages.blueprint import page, routes


@routes.get("/")
def shelf() -> str:
    """Show the catalog, with a form at each product to add it.

    Without the store the page says that the cart cannot be reached.
    """
    return page("shelf.html", products=catalog.PRODUCTS)


@routes.get("/cart", endpoint="cart")
def show() -> str:
    """Show the cart, with forms to change it."""
    lines = cart.lines()
    return page(
        "cart.html",
        lines=lines,
        count=sum(line.qty for line in lines),
        total_cents=sum(line.total_cents for line in lines),
        key_field=idempotency.FIELD,
        key=idempotency.new_key(),
    )


@routes.post("/cart/add")
def add() -> Response:
    """Add `qty` of `sku` and go back to the shelf."""
    line = cart.add(**_line({"sku": text, "qty": integer(1, cart.MOST_PER_LINE)}, qty=1))
    flash(f"{line.name} is in the cart" + (f", {line.qty} of it." if line.qty > 1 else "."))
    return redirect(url_for("pages.shelf", _anchor=line.sku), 303)


@routes.post("/cart/set")
def put() -> Response:
    """Set the line of `sku` to `qty`, 0 removes it, and go back to the cart."""
    cart.put(**_line({"sku": text, "qty": integer(0, cart.MOST_PER_LINE)}))
    return _to_cart()


@routes.post("/cart/remove")
def remove() -> Response:
    """Remove the line of `sku` and go back to the cart."""
    cart.put(**_line({"sku": text}), qty=0)
    return _to_cart()


@routes.post("/cart/clear")
def clear() -> Response:
    """Empty the cart and go back to it."""
    cart.clear()
    return _to_cart()


def _line(rules: Mapping[str, Rule], **defaults: int) -> dict[str, Any]:
    """Return the fields of the form that the rules name; it may have others."""
    form = form_fields()
    given = {name: form[name] for name in rules if name in form}
    values = {name: _number(value) if name == "qty" else value for name, value in given.items()}
    return read(values, rules, **defaults)


def _number(text: str) -> int | str:
    # Every quantity has one or two digits; anything else is shown as it was typed.
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(cart.MOST_PER_LINE))
    return int(text) if digits else text


def _to_cart() -> Response:
    return redirect(url_for("pages.cart"), 303)
