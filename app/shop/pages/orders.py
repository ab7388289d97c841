"""Order what is in the cart, and show what was ordered.

Each page of the cart has a button with a new Idempotency-Key. If it is pressed twice, or sent
again from the browser's history, it finds the order that it made.
"""

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from shop import orders
from shop.errors import quoted
from shop.http.idempotency import KeyInFlight, idempotent, operation_name
from shop.http.problems import Problem
from shop.pages.blueprint import page, routes


@routes.post("/checkout")
def check_out() -> ResponseReturnValue:
    """Order everything in the cart and go to the order."""
    try:
        return _once()
    except KeyInFlight:
        # A double click: the browser dropped the first answer, and the order is in the list.
        return redirect(url_for("pages.orders"), 303)


@routes.get("/orders", endpoint="orders")
def show_all() -> str:
    """Show the newest orders first."""
    return page("orders.html", orders=[order.document() for order in orders.orders()])


@routes.get("/orders/<order_id>", endpoint="order")
def show_one(order_id: str) -> str:
    """Show one order.

    Raises:
        Problem: 404 if the visitor has no such order among the newest.
    """
    for found in orders.orders():
        if found.id == order_id:
            return page("order.html", order=found.document())
    raise Problem(404, f"You have no order {quoted(order_id)}.")


@idempotent
def _once() -> ResponseReturnValue:
    return redirect(url_for("pages.order", order_id=orders.check_out(operation_name()).id), 303)
