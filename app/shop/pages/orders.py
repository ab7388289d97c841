"""Ordering what is in the cart, and what was ordered.

The button carries an Idempotency-Key, made anew with each page: pressed twice, or sent again from
the browser's history, it finds the order that it made.
"""

from __future__ import annotations

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from shop import checkout
from shop.current import current_session
from shop.idempotency import idempotent
from shop.pages.blueprint import page, routes
from shop.problems import Problem


@routes.post("/checkout")
def check_out() -> ResponseReturnValue:
    """Order all that is in the cart and go to the order."""
    try:
        return _once()
    except Problem as problem:
        if problem.code != "idempotency-key-in-flight":
            raise
        # A double click: the browser dropped the first answer, and the order is in the list.
        return redirect(url_for("pages.orders"), 303)


@routes.get("/orders")
def orders() -> str:
    """Show the newest orders first."""
    found = checkout.orders(current_session())
    return page("orders.html", orders=[checkout.document(order) for order in found])


@routes.get("/orders/<order_id>")
def order(order_id: str) -> str:
    """Show one order.

    Raises:
        Problem: 404 if whoever asks has none of that number among the newest.
    """
    for found in checkout.orders(current_session()):
        if found.id == order_id:
            return page("order.html", order=checkout.document(found))
    raise Problem(404, f"You have no order {order_id!r}.")


@idempotent
def _once() -> ResponseReturnValue:
    made = checkout.check_out(current_session())
    return redirect(url_for("pages.order", order_id=made.id), 303)
