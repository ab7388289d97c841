"""People who visit the shop by its API, wherever it runs."""

from typing import Any

from tests.library.security.browser import Browser, Send
from tests.support.wire import Answer


class Visitor(Browser):
    """A browser at the shop."""

    def __init__(self, send: Send) -> None:
        super().__init__(send, "sid")
        self._way = send

    def log_in(self, user: str, password: str | None = None, **headers: str) -> Answer:
        """Log in, by default with the demo's password."""
        values = {"username": user, "password": user if password is None else password}
        return self.send("POST", "/api/login", values, headers)

    def change_password(self, current: str, new: str, **headers: str) -> Answer:
        """Change the password."""
        return self.send("PUT", "/api/password", {"current": current, "new": new}, headers)

    def add(self, sku: str, qty: int = 1) -> Answer:
        """Add to the cart."""
        return self.post("/api/cart/items", sku=sku, qty=qty)

    def check_out(self, **headers: str) -> Answer:
        """Order what is in the cart."""
        return self.send("POST", "/api/checkout", {}, headers)

    def ordered(self) -> list[dict[str, int]]:
        """Return what each order holds, sku → quantity, newest first."""
        answer = self.get("/api/orders")
        assert answer.status == 200, answer
        return [{item["sku"]: item["qty"] for item in order["items"]} for order in answer.json()]

    def fill(self, **quantities: int) -> None:
        """Add to the cart what must be taken."""
        for sku, qty in quantities.items():
            assert self.add(sku, qty).status == 200

    def cart(self) -> dict[str, int]:
        """Return the cart, sku → quantity."""
        answer = self.get("/api/cart")
        assert answer.status == 200, answer
        return {item["sku"]: item["qty"] for item in answer.json()["items"]}

    def user(self) -> str | None:
        """Return whom the shop takes this browser for, without beginning a session."""
        answer = self.get("/api/sessions")
        if answer.status == 401:
            return None
        session: dict[str, Any] = self.get("/api/session").json()
        user: str | None = session["user"]
        return user

    def tab(self) -> "Visitor":
        """Return another tab: it holds the cookie that the browser holds now."""
        other = Visitor(self._way)
        other.cookie = self.cookie
        return other
