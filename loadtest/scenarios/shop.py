"""The journey that all users of the shop share: a session, a cart, and a model of both.

It compares quantities with what was acknowledged, the session's handle and hits with those of
before, and a cookie with the one before. Each difference is a finding with its kind.
"""

import uuid
from typing import Any

from loadtest import Answer, Expectation, Failure, Finding, Journey, Refused

CART = frozenset({"products", "cart", "session"})
_MOST_REQUESTS = 100
"""For the session after a finding: workers that have ended never answer."""
_MOST_REFUSED = 3


class ShopJourney(Journey):
    """A visit with a session and a cart, which is compared with a model after each answer."""

    cookie = "sid"
    cart: Expectation
    handle: str
    hits: int

    def enter(self) -> None:
        """Begin a session and remember it."""
        self.cart = Expectation()
        self.hits = 0
        answer = self.get("/api/session")
        self.check(
            self.browser.session_cookie(),
            Failure.LOST_SESSION,
            "a new session came without its cookie",
        )
        self.handle = answer.json()["handle"]
        self._check_hits(answer)

    def look(self) -> None:
        """Check that the session is the same, and that it has counted each request for it."""
        answer = self.get("/api/session")
        shown = answer.json()
        self.check(
            shown["handle"] == self.handle,
            Failure.LOST_SESSION,
            f"handle {shown['handle']} instead of {self.handle}{_from(answer)}",
        )
        self._check_hits(answer)

    def explain(self, finding: Finding) -> Finding:
        """Return that the session is lost if any worker does not know it.

        Such a worker shows an empty cart and no orders, and its logout ends nothing.
        """
        if finding.kind is Failure.LOST_SESSION or "session" not in self.plan.offers:
            return finding
        missing, refused = set(self.browser.workers), 0
        for _ in range(_MOST_REQUESTS):
            try:
                missing.discard(self.get("/api/session").served_by)
            except Finding as lost:
                return lost
            except Refused:
                # Counted with its request. After several, it stays unknown.
                refused += 1
            if refused == _MOST_REFUSED or (self.browser.workers and not missing):
                break
        return finding

    def products(self) -> list[str]:
        """Return the stock-keeping units of the catalog."""
        answer = self.get("/api/products")
        skus = [product["sku"] for product in answer.json()]
        self.check(len(set(skus)) == len(skus) > 0, Failure.WRONG_ANSWER, f"catalog: {skus}")
        return skus

    def add(self, sku: str, qty: int = 1) -> None:
        """Add to the cart."""
        body = {"sku": sku, "qty": qty}
        least = self.cart.least()
        with self.cart.adding(sku, qty):
            answer = self._send("POST", "/api/cart/items", body)
        least[sku] = least.get(sku, 0) + qty
        self.check_cart(answer, least)

    def set(self, sku: str, qty: int) -> None:
        """Set a line; 0 removes it."""
        with self.cart.setting(sku, qty):
            path, name = f"/api/cart/items/{sku}", "/api/cart/items/<sku>"
            if qty:
                answer = self.put(path, json={"qty": qty}, name=name)
            else:
                answer = self.delete(path, name=name)
        self.check_cart(answer)

    def read(self) -> None:
        """Read the cart."""
        least = self.cart.least()
        self.check_cart(self.get("/api/cart"), least)

    def check_cart(self, answer: Answer, least: dict[str, int] | None = None) -> None:
        """Compare the cart in an answer with the model."""
        cart = answer.json()
        found = {item["sku"]: item["qty"] for item in cart["items"]}
        self.check(
            cart["count"] == sum(found.values())
            and cart["total_cents"] == sum(i["qty"] * i["price_cents"] for i in cart["items"]),
            Failure.WRONG_ANSWER, f"count or total do not fit the items: {cart}", answer,
        )  # fmt: skip
        if difference := self.cart.difference(found, least):
            # A lost update leaves the other lines; an empty cart is another session's.
            kind = Failure.LOST_UPDATE if found else Failure.LOST_SESSION
            raise Finding(kind, f"{difference}{_from(answer)}", answer)

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send a request with an `Idempotency-Key`; send it again if its outcome is unknown."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        try:
            return self.browser.ask(method, path, json=body, headers=headers)
        except Refused as refused:
            if not refused.is_outcome_unknown or "idempotency" not in self.plan.offers:
                raise
        return self.browser.ask(method, path, json=body, headers=headers)

    def _check_hits(self, answer: Answer) -> None:
        self.hits += 1
        found = answer.json()["hits"]
        kind = Failure.LOST_SESSION if found == 1 else Failure.LOST_UPDATE
        self.check(
            found == self.hits,
            kind,
            f"call {self.hits} to the session counts {found}{_from(answer)}",
        )


def _from(answer: Answer) -> str:
    return f" (cookie from {answer.issuer})" if answer.issuer else ""
