"""The target: what it offers, found out before the load begins."""

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests

from loadtest.errors import LoadTestError

_TIMEOUT = 10.0
_PAUSE = 0.1


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
    """Find out what a target offers, with about ten requests; the first account logs in and out.

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
            if client.status == HTTPStatus.OK:
                offers.append("accounts")
                client.send("POST", "/api/logout")
            else:
                wait = f", Retry-After: {client.retry_after}" if client.retry_after else ""
                login = f"POST /api/login as {name} answered {client.status}{wait}"
    return Target(url, tuple(offers), client.tells_workers, login=login)


def recovers(url: str, limits: Mapping[str, float], seconds: float) -> bool:
    """Wait until a target answers one request at a time in good time, and not with a 5xx.

    Args:
        url: its address.
        limits: by path, within how many ms the answer to a GET has to come.
        seconds: how long to wait at most, besides the answers of a round.

    Returns:
        Whether it does.
    """
    client, end = _Client(url), time.monotonic() + seconds
    while not all(client.wait(path) < limit for path, limit in limits.items()):
        if time.monotonic() >= end:
            return False
        time.sleep(_PAUSE)
    return True


def _beyond_cart(client: "_Client", sku: str) -> list[str]:
    offers = []
    key = {"Idempotency-Key": str(uuid.uuid4())}
    for _ in range(2):
        added = client.send("POST", "/api/cart/items", {"sku": sku, "qty": 1}, key)
    if isinstance(added, dict) and added.get("count") == 1:
        offers.append("idempotency")
    client.send("POST", "/api/checkout")
    if client.status in {HTTPStatus.CREATED, HTTPStatus.CONFLICT}:
        offers.append("checkout")
    return offers


class _Client:
    """A client with a cookie jar.

    Attributes:
        status: of the last answer.
        retry_after: its `Retry-After`.
        tells_workers: whether a good answer carried `X-Served-By`.
    """

    status = 0
    retry_after: str | None = None
    tells_workers = False

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        # Without proxies, as the load generator.
        self._session.trust_env = False

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send one request; return the body of a good answer, parsed, `None` if it is not JSON."""
        try:
            answer = self._session.request(
                method, self._url + path, json=body, headers=headers, timeout=_TIMEOUT,
                allow_redirects=False,
            )  # fmt: skip
        except requests.RequestException as error:
            raise LoadTestError(
                f"{self._url} does not answer ({_reason(error)!r})",
                "start it (`make up` starts the stack of this checkout), or give another HOST=",
            ) from error
        self.status, self.retry_after = answer.status_code, answer.headers.get("Retry-After")
        if answer.status_code // 100 != 2:
            return None
        self.tells_workers = self.tells_workers or "X-Served-By" in answer.headers
        try:
            return answer.json()
        except ValueError:
            return None

    def wait(self, path: str) -> float:
        """Return after how many ms the answer to a GET came; `math.inf` if none or a 5xx did."""
        begun = time.perf_counter()
        try:
            self.send("GET", path)
        except LoadTestError:
            return math.inf
        is_wrong = self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return math.inf if is_wrong else (time.perf_counter() - begun) * 1000


def _reason(error: BaseException) -> BaseException:
    """Return the system's error behind those of the HTTP library."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _has(document: Any, *names: str) -> bool:
    return isinstance(document, dict) and all(name in document for name in names)
