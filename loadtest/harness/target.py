"""What the target is and offers: asked before the load begins."""

import http.client
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from runs.errors import RunError

_PATIENCE = 10.0


@dataclass(frozen=True)
class Target:
    """A server that answers.

    Attributes:
        url: its address, without a slash at the end.
        offers: which parts of the shop's contract it has.
        tells_workers: whether its answers say who served them.
    """

    url: str
    offers: tuple[str, ...]
    tells_workers: bool


@dataclass(frozen=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def ask(url: str, accounts: Sequence[tuple[str, str]] = ()) -> Target:
    """Find out what a target offers, with about ten requests.

    Args:
        url: its address.
        accounts: users who should exist there; the first of them logs in and out.

    Raises:
        RunError: it does not answer.
    """
    probe = _Probe(url)
    first = probe.send("GET", "/api/products")
    offers = []
    products = first.json()
    if first.status == http.client.OK and isinstance(products, list) and products:
        offers.append("products")
    if _has(probe.send("GET", "/api/session").json(), "handle", "hits"):
        offers.append("session")
    if _has(probe.send("GET", "/api/cart").json(), "items", "count", "total_cents"):
        offers.append("cart")
    if {"products", "session", "cart"} <= set(offers):
        # Only where the contract is there: a stranger's server gets no POST.
        offers += _beyond_cart(probe, str(products[0]["sku"]), accounts)
    return Target(url, tuple(offers), "x-served-by" in first.headers)


def _beyond_cart(probe: "_Probe", sku: str, accounts: Sequence[tuple[str, str]]) -> list[str]:
    offers = []
    key = {"Idempotency-Key": str(uuid.uuid4())}
    for _ in range(2):
        added = probe.send("POST", "/api/cart/items", {"sku": sku, "qty": 1}, key).json()
    if isinstance(added, dict) and added.get("count") == 1:
        offers.append("idempotency")
    if probe.send("POST", "/api/checkout").status in {http.client.CREATED, http.client.CONFLICT}:
        offers.append("checkout")
    for name, password in accounts[:1]:
        body = {"username": name, "password": password}
        if probe.send("POST", "/api/login", body).status == http.client.OK:
            offers.append("accounts")
            probe.send("POST", "/api/logout")
    return offers


class _Probe:
    """One client with a cookie jar."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._cookies: dict[str, str] = {}

    def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> _Reply:
        parts = urlsplit(self._url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        sent = dict(headers or {})
        if self._cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        data = None
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = kind(parts.netloc, timeout=_PATIENCE)
        try:
            connection.request(method, parts.path + path, body=data, headers=sent)
            response = connection.getresponse()
            text = response.read(1_000_000)
        except (OSError, http.client.HTTPException) as error:
            raise RunError(
                f"{self._url} does not answer ({error!r}).",
                "Start it (`make up` for the stack of this checkout), or give another HOST=",
            ) from error
        finally:
            connection.close()
        for line in response.headers.get_all("Set-Cookie", []):
            self._cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        found = {name.lower(): value for name, value in response.headers.items()}
        return _Reply(response.status, found, text)


def _has(document: Any, *names: str) -> bool:
    return isinstance(document, dict) and all(name in document for name in names)
