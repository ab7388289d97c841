"""A client with one cookie jar, over one kept connection or over fresh ones."""

import http.client
import json
import ssl
from collections.abc import Mapping
from http.cookies import SimpleCookie
from types import TracebackType
from typing import Any, Self

from tests.support.wire import PATIENCE, Answer, ask_on

Cart = dict[str, int]


class Browser:
    """One visitor of the shop.

    Args:
        port: where the shop answers on 127.0.0.1.
        keep_alive: one connection for all requests; else a fresh one for each. A kept one is
            never opened again: an answer that closes it makes the next request fail, unless the
            answer said so.
        tls: whom it trusts, if it comes by TLS.
    """

    def __init__(
        self, port: int, *, keep_alive: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        """Arrive without a cookie."""
        self._port = port
        self._keep_alive = keep_alive
        self._tls = tls
        self._connection: http.client.HTTPConnection | None = None
        self.cookies: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Leave the connection open until the block ends."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; the cookies stay."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request with the cookies, and keep those of the answer."""
        sent = dict(headers or {})
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self._connection is None:
            self._connection = self._connect()
        try:
            answer = ask_on(self._connection, method, path, body, sent)
        except BaseException:
            self.close()
            raise
        if not self._keep_alive or answer.headers.get("Connection") == "close":
            self.close()
        self._keep(answer)
        return answer

    def send(self, method: str, path: str, document: object) -> Answer:
        """Send a JSON document."""
        body = json.dumps(document).encode()
        return self.ask(method, path, body, {"Content-Type": "application/json"})

    def add(self, sku: str, qty: int = 1) -> Answer:
        """Add to the cart."""
        return self.send("POST", "/api/cart/items", {"sku": sku, "qty": qty})

    def cart(self) -> Cart:
        """Return the quantities in the cart by sku.

        Raises:
            AssertionError: the shop did not answer with a cart.
        """
        answer = self.ask("GET", "/api/cart")
        assert answer.status == 200, answer
        return {item["sku"]: item["qty"] for item in answer.json()["items"]}

    def session(self) -> dict[str, Any]:
        """Count one more hit of the session and return what the shop says of it.

        Raises:
            AssertionError: the shop did not answer with a session.
        """
        answer = self.ask("GET", "/api/session")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.json()
        return found

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        return http.client.HTTPSConnection(
            "127.0.0.1", self._port, timeout=PATIENCE, context=self._tls
        )

    def _keep(self, answer: Answer) -> None:
        for line in answer.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
