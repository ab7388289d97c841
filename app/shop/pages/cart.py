"""The shelf and the cart.

What a form changed is told on the page that the browser is redirected to (303),
so that reloading it does not change anything again. What cannot be done is told
at once, with the API's status: an error neither creates a session nor writes one.
"""

from __future__ import annotations

from flask import flash, redirect, url_for
from werkzeug import Response

from shop import catalog, idempotency
from shop.body import form_fields
from shop.cart import MOST_PER_LINE, Cart
from shop.current import current_session
from shop.fields import Fields
from shop.pages.blueprint import page, routes


@routes.get("/")
def shelf() -> str:
    """Show the catalog, with a form at each product to add it.

    The shelf does without the store: it then says that the cart is out of reach.
    """
    return page("shelf.html", products=catalog.PRODUCTS)


@routes.get("/cart")
def cart() -> str:
    """Show the cart, with forms to change it."""
    lines = Cart(current_session()).lines()
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
    """Add ``qty`` of ``sku`` and go back to the shelf."""
    fields, sku = _line()
    qty = fields.integer("qty", 1, MOST_PER_LINE, default=1)
    fields.check()
    line = Cart(current_session()).add(sku, qty)
    flash(f"{line.name} is in the cart" + (f", {line.qty} of it." if line.qty > 1 else "."))
    return redirect(url_for("pages.shelf", _anchor=sku), 303)


@routes.post("/cart/set")
def put() -> Response:
    """Set the line of ``sku`` to ``qty``, 0 removes it, and go back to the cart."""
    fields, sku = _line()
    qty = fields.integer("qty", 0, MOST_PER_LINE)
    fields.check()
    Cart(current_session()).put(sku, qty)
    return _to_cart()


@routes.post("/cart/remove")
def remove() -> Response:
    """Remove the line of ``sku`` and go back to the cart."""
    fields, sku = _line()
    fields.check()
    Cart(current_session()).remove(sku)
    return _to_cart()


@routes.post("/cart/clear")
def clear() -> Response:
    """Empty the cart and go back to it."""
    Cart(current_session()).clear()
    return _to_cart()


def _line() -> tuple[Fields, str]:
    form = form_fields()
    fields = Fields(
        {name: _number(value) if name == "qty" else value for name, value in form.items()}
    )
    return fields, fields.text("sku")


def _number(text: str) -> int | str:
    # Two digits say every quantity; what else was typed is shown as it is.
    return (
        int(text)
        if text.isascii() and text.isdigit() and len(text) <= len(str(MOST_PER_LINE))
        else text
    )


def _to_cart() -> Response:
    return redirect(url_for("pages.cart"), 303)
