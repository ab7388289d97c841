"""A client of the shop: what visitors do, by the API."""

import random
import time
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlencode

from tests.support.http.client import Client, named
from tests.support.http.wire import Answer
from tests.support.waiting import PATIENCE

Cart = dict[str, int]
"""Quantities by sku."""


class ShopClient(Client):
    """A visitor of the shop."""

    def add(self, sku: str, qty: int = 1, key: str | None = None, **headers: str) -> Answer:
        """Add to the cart, with an `Idempotency-Key` if one is given."""
        document = {"sku": sku, "qty": qty}
        return self.send("POST", "/api/cart/items", document, _keyed(key, headers))

    def fill(self, **quantities: int) -> Self:
        """Add to the cart, which the shop must accept."""
        for sku, qty in quantities.items():
            answer = self.add(sku, qty)
            assert answer.status == 200, answer
        return self

    def set_quantity(self, sku: str, qty: int) -> Answer:
        """Set how many of a product are in the cart."""
        return self.send("PUT", f"/api/cart/items/{sku}", {"qty": qty})

    def cart(self) -> Cart:
        """Return the cart."""
        return quantities(self._read("/api/cart"))

    def check_out(self, key: str | None = None, **headers: str) -> Answer:
        """Order what is in the cart, with an `Idempotency-Key` if one is given."""
        return self.send("POST", "/api/checkout", None, _keyed(key, headers))

    def orders(self) -> list[dict[str, Any]]:
        """Return the orders, newest first."""
        found: list[dict[str, Any]] = self._read("/api/orders")
        return found

    def ordered(self) -> list[Cart]:
        """Return what each order holds, newest first."""
        return [quantities(order) for order in self.orders()]

    def log_in(self, user: str, password: str | None = None, **headers: str) -> Answer:
        """Log in, by default with the demo's password."""
        document = {"username": user, "password": user if password is None else password}
        return self.send("POST", "/api/login", document, named(headers))

    def logged_in(self, user: str) -> Self:
        """Log in with the demo's password, which the shop must accept."""
        answer = self.log_in(user)
        assert (answer.status, answer.json()) == (200, {"user": user})
        return self

    def log_out(self) -> Answer:
        """Log out."""
        return self.send("POST", "/api/logout")

    def submit(self, path: str, fields: Mapping[str, str], **headers: str) -> Answer:
        """Send a form."""
        sent = {"Content-Type": "application/x-www-form-urlencoded", **named(headers)}
        return self.ask("POST", path, urlencode(fields).encode(), sent)

    def visitor(self) -> Self:
        """Return another visitor of the same shop, without a cookie."""
        other = self.tab()
        other.cookies.clear()
        return other

    def change_password(self, current: str, new: str, **headers: str) -> Answer:
        """Change the password."""
        return self.send("PUT", "/api/password", {"current": current, "new": new}, named(headers))

    def session(self) -> dict[str, Any]:
        """Count one more hit of the session; return what the shop says about it."""
        found: dict[str, Any] = self._read("/api/session")
        return found

    def sessions(self) -> list[dict[str, Any]]:
        """Return the user's list of sessions."""
        found: list[dict[str, Any]] = self._read("/api/sessions")
        return found

    def end_session(self, handle: str, **headers: str) -> Answer:
        """End one of the user's sessions."""
        return self.send("DELETE", f"/api/sessions/{handle}", None, named(headers))

    def user(self) -> str | None:
        """Return as whom the shop knows this client, without beginning a session."""
        if self.get("/api/sessions").status == 401:
            return None
        user: str | None = self.session()["user"]
        return user

    def insist(
        self, method: str, path: str, document: object = None, *, key: str | None = None
    ) -> Answer:
        """Send a request until no other one with its key is in flight, and the logins are few."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.send(method, path, document, _keyed(key, {}))
            if not (in_flight(answer) or is_busy(answer)):
                return answer
            assert time.monotonic() < deadline, f"{path} with the key {key}: {answer}"
            time.sleep(random.uniform(0.01, 0.05))

    def _read(self, path: str) -> Any:
        """Return a document, which the shop must answer with."""
        answer = self.get(path)
        assert answer.status == 200, answer
        return answer.json()


def in_flight(answer: Answer) -> bool:
    """Return whether another request with the same `Idempotency-Key` is being answered."""
    return answer.status == 409 and answer.json().get("code") == "idempotency-key-in-flight"


def is_busy(answer: Answer) -> bool:
    """Return whether the replica refused a login because it hashes others."""
    return answer.status == 429 and answer.json().get("code") == "logins-busy"


def quantities(document: dict[str, Any]) -> Cart:
    """Return what a cart or an order holds, as the API shows it."""
    return {item["sku"]: item["qty"] for item in document["items"]}


def _keyed(key: str | None, headers: dict[str, str]) -> dict[str, str]:
    return named(headers) | ({} if key is None else {"Idempotency-Key": key})
