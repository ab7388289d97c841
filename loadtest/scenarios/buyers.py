"""Users who check out: everything that they added is ordered once."""

import random
import uuid
from typing import Any

from loadtest import Answer, Failure, together
from loadtest.scenarios.shop import CART, ShopJourney

_CREATED, _EMPTY = 201, 409


class Buyer(ShopJourney):
    """Checks out, sends the same again, clicks twice, and adds while it checks out."""

    weight = 4
    needs = CART | {"checkout"}

    def visit(self) -> None:
        """Buy three times."""
        self.enter()
        skus = self.products()
        orders = [self._once(skus), self._twice(skus), *self._while_adding(skus)]
        listed = [order["order_id"] for order in self.get("/api/orders").json()]
        wanted = [order["order_id"] for order in reversed(orders)]
        self.check(
            not set(wanted) - set(listed),
            # As with carts: a lost update leaves the others, an empty list is another session's.
            Failure.LOST_UPDATE if listed else Failure.LOST_SESSION,
            f"{len(set(wanted) - set(listed))} acknowledged orders are not listed",
        )
        self.check(
            listed == wanted,
            Failure.WRONG_ANSWER,
            f"orders {listed} are listed instead of {wanted}",
        )
        self.look()

    def _once(self, skus: list[str]) -> dict[str, Any]:
        """Check out, and send the same again as after a broken connection."""
        for sku in random.sample(skus, 2):
            self.add(sku, random.randint(1, 3))
        self.think()
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        answer = self.post("/api/checkout", headers=headers, expect=(_CREATED,))
        order = self._ordered(answer)
        if "idempotency" in self.plan.offers:
            again = self.post("/api/checkout", headers=headers, expect=(_CREATED,)).json()
            self.check(again == order, Failure.WRONG_ANSWER, "the same checkout made another order")
        self.read()
        return order

    def _twice(self, skus: list[str]) -> dict[str, Any]:
        """Click twice: one order, and the other click finds the cart empty."""
        self.add(random.choice(skus))
        answers: list[Answer] = []

        def click() -> None:
            answers.append(self.post("/api/checkout", expect=(_CREATED, _EMPTY)))

        together(click, click)
        made = [answer for answer in answers if answer.status == _CREATED]
        self.check(len(made) == 1, Failure.WRONG_ANSWER, f"two clicks made {len(made)} orders")
        return self._ordered(made[0])

    def _while_adding(self, skus: list[str]) -> list[dict[str, Any]]:
        """Add while another tab checks out: it is ordered, or it stays in the cart."""
        first, late = random.sample(skus, 2)
        self.add(first)
        ordered: list[dict[str, Any]] = []

        def check_out() -> None:
            ordered.append(self.post("/api/checkout", expect=(_CREATED,)).json())

        def add_late() -> None:
            self.post("/api/cart/items", json={"sku": late, "qty": 1})

        together(check_out, add_late)
        in_order = _quantities(ordered[0])
        left = _quantities(self.get("/api/cart").json())
        total = {sku: in_order.get(sku, 0) + left.get(sku, 0) for sku in {*in_order, *left}}
        self.check(
            total == {first: 1, late: 1},
            Failure.LOST_UPDATE,
            f"order {in_order} and cart {left} are not together what was added",
        )
        self.cart.replace(left)
        if not left:
            return ordered
        return [*ordered, self._ordered(self.post("/api/checkout", expect=(_CREATED,)))]

    def _ordered(self, answer: Answer) -> dict[str, Any]:
        """See that an order has all that was in the cart, which is empty now."""
        order: dict[str, Any] = answer.json()
        if difference := self.cart.difference(_quantities(order)):
            self.check(condition=False, kind=Failure.LOST_UPDATE, detail=f"ordered: {difference}")
        total = sum(item["qty"] * item["price_cents"] for item in order["items"])
        self.check(total == order["total_cents"], Failure.WRONG_ANSWER, f"a wrong total: {order}")
        self.cart.replace({})
        return order


def _quantities(document: dict[str, Any]) -> dict[str, int]:
    return {item["sku"]: item["qty"] for item in document["items"]}
