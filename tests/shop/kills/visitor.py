"""Somebody who visits a shop on a unix socket, in as many threads as they like."""

import http.client
import json
import random
import socket
import time
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from tests.support.wire import PATIENCE, Answer, ask_on


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Visitor:
    """One browser.

    Args:
        path: The socket of the workers.
        user: Whose session it becomes; ``None`` for a guest.
    """

    def __init__(self, path: Path, user: str | None = None) -> None:
        self._path = path
        self._cookie = ""
        answer = self.ask("POST", f"/test/user/{user}") if user else self.ask("GET", "/api/session")
        assert answer is not None
        self._cookie = (
            SimpleCookie(answer.headers["Set-Cookie"])["sid"].OutputString().split(";")[0]
        )

    def ask(
        self,
        method: str,
        path: str,
        document: object = None,
        *,
        key: str | None = None,
        **headers: str,
    ) -> Answer | None:
        """Send a request on a connection of its own; ``None`` if the worker died of it."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Content-Type": "application/json"}
        if self._cookie:
            sent["Cookie"] = self._cookie
        if key is not None:
            sent["Idempotency-Key"] = key
        connection = _Connection(self._path)
        try:
            body = json.dumps(document).encode()
            return ask_on(connection, method, path, body, sent)
        except ConnectionError:
            return None
        finally:
            connection.close()

    def add(self, sku: str, qty: int = 1, key: str | None = None, **headers: str) -> Answer | None:
        """Add to the cart."""
        document = {"sku": sku, "qty": qty}
        return self.ask("POST", "/api/cart/items", document, key=key, **headers)

    def check_out(self, key: str | None = None, **headers: str) -> Answer | None:
        """Check out."""
        return self.ask("POST", "/api/checkout", key=key, **headers)

    def insist(self, method: str, path: str, document: object = None, *, key: str) -> Answer:
        """Send a request with its key until it is answered and nobody else is working on it."""
        end = time.monotonic() + PATIENCE
        while True:
            answer = self.ask(method, path, document, key=key)
            if answer is not None and not (answer.status == 409 and in_flight(answer)):
                return answer
            assert time.monotonic() < end, "the key stays in flight"
            time.sleep(random.uniform(0.01, 0.05))

    def cart(self) -> dict[str, int]:
        """Return what is in the cart."""
        answer = self.ask("GET", "/api/cart")
        assert answer is not None
        assert answer.status == 200, answer
        return quantities(answer.json())

    def orders(self) -> list[dict[str, Any]]:
        """Return the orders as the API shows them."""
        answer = self.ask("GET", "/api/orders")
        assert answer is not None
        assert answer.status == 200, answer
        found: list[dict[str, Any]] = answer.json()
        return found

    def ordered(self) -> list[dict[str, int]]:
        """Return what each order holds."""
        return [quantities(order) for order in self.orders()]


def in_flight(answer: Answer) -> bool:
    """Tell whether it says that another request with the key is being answered."""
    return bool(answer.json().get("code") == "idempotency-key-in-flight")


def quantities(document: dict[str, Any]) -> dict[str, int]:
    """Return what a cart or an order holds, as the API shows it."""
    return {item["sku"]: item["qty"] for item in document["items"]}
