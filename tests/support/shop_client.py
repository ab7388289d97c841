"""A browser at the shop: an httpx client with a cookie jar, in process or over a socket."""

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from tests.support.wire import PATIENCE

Cart = dict[str, int]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class ShopClient:
    """One visitor of the shop, who keeps its cookies.

    Args:
        transport: How requests travel; clients may share it. See `to_app`, `to_port`, `to_socket`.
        origin: The scheme, host and port that the visitor sees.
    """

    def __init__(self, transport: httpx.BaseTransport, origin: str = "http://localhost") -> None:
        self.origin = origin
        self._transport = transport
        self._http = httpx.Client(
            transport=transport, base_url=origin, timeout=PATIENCE, trust_env=False
        )

    @property
    def sid(self) -> str | None:
        """The value of the session's cookie, None without one."""
        return self._http.cookies.get("sid")

    def use(self, sid: str) -> Self:
        """Put this value into the session's cookie."""
        self._http.cookies.set("sid", sid, domain=httpx.URL(self.origin).host + self._local())
        return self

    def forget(self) -> None:
        """Drop all cookies."""
        self._http.cookies.clear()

    def visitor(self) -> "ShopClient":
        """Return another visitor, without a cookie."""
        return ShopClient(self._transport, self.origin)

    def tab(self) -> "ShopClient":
        """Return another tab, or a thief: it has the cookies that this one has now."""
        other = self.visitor()
        other._http.cookies = httpx.Cookies(self._http.cookies)  # noqa: SLF001 (of this class)
        return other

    def request(
        self, method: str, path: str, *, key: str | None = None, **options: Any
    ) -> httpx.Response:
        """Send a request.

        Args:
            method: Of the request.
            path: Of the request.
            key: An Idempotency-Key.
            options: As httpx takes them, such as `json`, `data`, `headers`.
        """
        headers: Mapping[str, str] = options.pop("headers", {})
        if key is not None:
            headers = {**headers, "Idempotency-Key": key}
        return self._http.request(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Send a GET request."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Send a POST request."""
        return self.request("POST", path, **options)

    def add(self, sku: str, qty: int = 1, **options: Any) -> httpx.Response:
        """Add to the cart."""
        return self.post("/api/cart/items", json={"sku": sku, "qty": qty}, **options)

    def fill(self, **quantities: int) -> Self:
        """Add to the cart, which must succeed."""
        for sku, qty in quantities.items():
            assert self.add(sku, qty).status_code == 200
        return self

    def cart(self) -> Cart:
        """Return what is in the cart, sku → quantity."""
        return quantities_of(self._json("/api/cart"))

    def check_out(self, **options: Any) -> httpx.Response:
        """Check out."""
        return self.post("/api/checkout", **options)

    def orders(self) -> list[dict[str, Any]]:
        """Return the orders as the API shows them, the newest first."""
        found: list[dict[str, Any]] = self._json("/api/orders")
        return found

    def ordered(self) -> list[Cart]:
        """Return what each order holds, the newest first."""
        return [quantities_of(order) for order in self.orders()]

    def log_in(self, user: str, password: str | None = None, **options: Any) -> httpx.Response:
        """Log in, by default with the demo's password."""
        values = {"username": user, "password": user if password is None else password}
        return self.post("/api/login", json=values, **options)

    def logged_in(self, user: str) -> Self:
        """Log in, which must succeed."""
        answer = self.log_in(user)
        assert (answer.status_code, answer.json()) == (200, {"user": user})
        return self

    def change_password(self, current: str, new: str, **options: Any) -> httpx.Response:
        """Change the password."""
        values = {"current": current, "new": new}
        return self.request("PUT", "/api/password", json=values, **options)

    def session(self) -> dict[str, Any]:
        """Count one more hit of the session, and return what the shop shows of it."""
        found: dict[str, Any] = self._json("/api/session")
        return found

    def sessions(self) -> list[dict[str, Any]]:
        """Return the user's sessions, the oldest first."""
        found: list[dict[str, Any]] = self._json("/api/sessions")
        return found

    def user(self) -> str | None:
        """Return the user of this session, without creating one."""
        if self.get("/api/sessions").status_code == 401:
            return None
        name: str | None = self.session()["user"]
        return name

    def insist(self, method: str, path: str, *, key: str, **options: Any) -> httpx.Response:
        """Send a request with its key until no other request with that key is being answered."""
        end = time.monotonic() + PATIENCE
        while is_in_flight(answer := self.request(method, path, key=key, **options)):
            assert time.monotonic() < end, "the key stays in flight"
            time.sleep(random.uniform(0.01, 0.05))
        return answer

    def _json(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _local(self) -> str:
        # The standard library's jar calls a host without a dot this.
        return "" if "." in httpx.URL(self.origin).host else ".local"


def to_app(app: Any) -> httpx.BaseTransport:
    """Return the way to a WSGI application in this process."""
    return httpx.WSGITransport(app=app)


def to_port() -> httpx.BaseTransport:
    """Return the way to servers by TCP, on a new connection for each request."""
    return httpx.HTTPTransport(verify=False, limits=httpx.Limits(max_keepalive_connections=0))  # noqa: S501 (no TLS here)


def to_socket(path: Path) -> httpx.BaseTransport:
    """Return the way to a server on a unix socket, on a new connection for each request."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.HTTPTransport(uds=str(path), verify=False, limits=limits)  # noqa: S501 (no TLS here)


def answered(send: Callable[[], httpx.Response]) -> httpx.Response | None:
    """Return the answer of a request, None if its worker died."""
    try:
        return send()
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return None


def is_in_flight(answer: httpx.Response) -> bool:
    """Tell whether another request with the key is being answered."""
    return (
        answer.status_code == 409 and answer.json().get("code") == "idempotency-key-in-flight"
    )


def quantities_of(document: dict[str, Any]) -> Cart:
    """Return what a cart or an order holds, as the API shows it."""
    return {item["sku"]: item["qty"] for item in document["items"]}
