"""The target: what it offers, found out before the load begins."""

import http.client
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.errors import LoadTestError

_TIMEOUT = 10.0


@dataclass(frozen=True)
class Target:
    """A server that answers.

    Attributes:
        url: its address, without a slash at the end.
        offers: the parts of the shop's contract that it has.
        tells_workers: whether its answers carry `X-Served-By`.
        is_ours: whether it is the stack of our state folder.
        login: what it answered to the login of the first account, if that was not a success.
    """

    url: str
    offers: tuple[str, ...]
    tells_workers: bool
    is_ours: bool = False
    login: str = ""


def ask(url: str, accounts: Sequence[tuple[str, str]] = ()) -> Target:
    """Find out what a target offers, with about ten requests.

    Args:
        url: its address.
        accounts: users who should exist there; the first of them logs in and out.

    Raises:
        LoadTestError: it does not answer.
    """
    client = _Client(url)
    products = client.send("GET", "/api/products")
    offers: list[str] = []
    login = ""
    if isinstance(products, list) and products:
        offers.append("products")
    if _has(client.send("GET", "/api/session"), "handle", "hits"):
        offers.append("session")
    if _has(client.send("GET", "/api/cart"), "items", "count", "total_cents"):
        offers.append("cart")
    if {"products", "session", "cart"} <= set(offers):
        # Only a target with the contract gets a POST.
        offers += _beyond_cart(client, str(products[0]["sku"]))
        for name, password in accounts[:1]:
            client.send("POST", "/api/login", {"username": name, "password": password})
            if client.status == http.client.OK:
                offers.append("accounts")
                client.send("POST", "/api/logout")
            else:
                wait = f", Retry-After: {client.retry_after}" if client.retry_after else ""
                login = f"POST /api/login as {name} answered {client.status}{wait}"
    return Target(url, tuple(offers), client.tells_workers, login=login)


def _beyond_cart(client: "_Client", sku: str) -> list[str]:
    offers = []
    key = {"Idempotency-Key": str(uuid.uuid4())}
    for _ in range(2):
        added = client.send("POST", "/api/cart/items", {"sku": sku, "qty": 1}, key)
    if isinstance(added, dict) and added.get("count") == 1:
        offers.append("idempotency")
    client.send("POST", "/api/checkout")
    if client.status in {http.client.CREATED, http.client.CONFLICT}:
        offers.append("checkout")
    return offers


class _Client:
    """A client with a cookie jar.

    Attributes:
        status: of the last answer.
        retry_after: the last refusal's `Retry-After`.
        tells_workers: whether an answer carried `X-Served-By`.
    """

    status = 0
    retry_after: str | None = None
    tells_workers = False

    def __init__(self, url: str) -> None:
        self._url = url
        # Without proxies, as the load generator.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(), _NoRedirects()
        )

    def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send one request; return the body of a good answer, parsed, `None` if it is not JSON."""
        data, kind = None, {}
        if body is not None:
            data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 (the scheme was checked with the settings)
            self._url + path, data, {**kind, **(headers or {})}, method=method
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as response:
                text = response.read(1_000_000)
                self.status = response.status
                self.tells_workers = self.tells_workers or "X-Served-By" in response.headers
        except urllib.error.HTTPError as error:
            error.close()
            self.status, self.retry_after = error.code, error.headers.get("Retry-After")
            return None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise LoadTestError(
                f"{self._url} does not answer ({reason!r})",
                "start it (`make up` starts the stack of this checkout), or give another HOST=",
            ) from error
        try:
            return json.loads(text)
        except ValueError:
            return None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Take the redirect for the answer."""


def _has(document: Any, *names: str) -> bool:
    return isinstance(document, dict) and all(name in document for name in names)
