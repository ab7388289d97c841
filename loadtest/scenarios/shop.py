"""What all users of the shop have in common: a session, a cart, and a model of both.

Quantities are compared with what was acknowledged, the session's handle and its count of visits
with what they were, a cookie with the one before. What differs is a finding of its own kind.
"""

import uuid
from typing import Any

from runs.kinds import Kind
from visits import Answer, Expectation, Finding, How, Journey, Refused

CART = frozenset({"products", "cart", "session"})
_ASKED = 100
"""Requests for the session after a finding, at most: workers that have ended do not answer."""


class ShopJourney(Journey):
    """What all of the shop's users have in common: a session, and a cart to keep an eye on."""

    cookie = "sid"
    cart: Expectation
    handle: str
    hits: int

    def enter(self) -> None:
        """Begin a session and remember it."""
        self.cart = Expectation()
        self.hits = 0
        answer = self.get("/api/session")
        self.hold(
            self.browser.session_cookie(),
            Kind.LOST_SESSION,
            "a new session came without its cookie",
        )
        self.handle = answer.json()["handle"]
        self._check_hits(answer)

    def look(self) -> None:
        """See that the session is the same, and that none of its visits was forgotten."""
        answer = self.get("/api/session")
        shown = answer.json()
        self.hold(
            shown["handle"] == self.handle, Kind.LOST_SESSION,
            f"handle {shown['handle']} instead of {self.handle}{_from(answer)}",
        )  # fmt: skip
        self._check_hits(answer)

    def explain(self, finding: Finding) -> Finding:
        """Ask every worker for the session: one that does not hold explains all the rest.

        A worker that does not know the session shows a cart and orders that lack everything, and
        its logout ends nothing.
        """
        if finding.kind is Kind.LOST_SESSION or "session" not in self.plan.offers:
            return finding
        unheard = set(self.browser.workers)
        try:
            for _ in range(_ASKED):
                unheard.discard(self.get("/api/session").served_by)
                if self.browser.workers and not unheard:
                    break
        except Finding as lost:
            return lost
        except Refused:
            # Counted with its request, and no answer to the question.
            return finding
        return finding

    def products(self) -> list[str]:
        """Return the stock-keeping units of the catalog."""
        answer = self.get("/api/products")
        skus = [product["sku"] for product in answer.json()]
        self.hold(len(set(skus)) == len(skus) > 0, Kind.WRONG_ANSWER, f"catalog: {skus}")
        return skus

    def add(self, sku: str, qty: int = 1) -> None:
        """Put something into the cart."""
        body = {"sku": sku, "qty": qty}
        least = self.cart.least()
        with self.cart.adding(sku, qty):
            answer = self._send("POST", "/api/cart/items", body)
        least[sku] = least.get(sku, 0) + qty
        self.check(answer, least)

    def set(self, sku: str, qty: int) -> None:
        """Set a line; 0 removes it."""
        with self.cart.setting(sku, qty):
            path, name = f"/api/cart/items/{sku}", "/api/cart/items/<sku>"
            if qty:
                answer = self.put(path, json={"qty": qty}, name=name)
            else:
                answer = self.delete(path, name=name)
        self.check(answer)

    def read(self) -> None:
        """Look into the cart."""
        least = self.cart.least()
        self.check(self.get("/api/cart"), least)

    def check(self, answer: Answer, least: dict[str, int] | None = None) -> None:
        """Compare the cart in an answer with the model."""
        cart = answer.json()
        found = {item["sku"]: item["qty"] for item in cart["items"]}
        self.hold(
            cart["count"] == sum(found.values())
            and cart["total_cents"] == sum(i["qty"] * i["price_cents"] for i in cart["items"]),
            Kind.WRONG_ANSWER, f"count or total do not fit the items: {cart}", answer,
        )  # fmt: skip
        if difference := self.cart.difference(found, least):
            # A lost update leaves the other lines; an empty cart is another session's.
            kind = Kind.LOST_UPDATE if found else Kind.LOST_SESSION
            raise Finding(kind, f"{difference}{_from(answer)}", answer)

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send what an ``Idempotency-Key`` makes safe to send again, and do so if need be."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        how: How = {"json": body, "headers": headers}
        try:
            return self.browser.ask(method, path, **how)
        except Refused as refused:
            if not refused.is_outcome_unknown or "idempotency" not in self.plan.offers:
                raise
        return self.browser.ask(method, path, **how)

    def _check_hits(self, answer: Answer) -> None:
        self.hits += 1
        found = answer.json()["hits"]
        kind = Kind.LOST_SESSION if found == 1 else Kind.LOST_UPDATE
        self.hold(
            found == self.hits,
            kind,
            f"call {self.hits} to the session counts {found}{_from(answer)}",
        )


def _from(answer: Answer) -> str:
    return f" (cookie from {answer.issuer})" if answer.issuer else ""
