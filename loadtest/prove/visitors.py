"""Visitors who know what was acknowledged, and count every request and every loss."""

import http.client
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from loadtest.frameworks import contract

VISITORS = 12
_TIMEOUT = 40.0
# Seconds. Visitors leave room on two cores for what is done to the stack.
_PAUSE = 0.05
_ADDS = 8
# Until a worker that was killed has a successor.
_ATTEMPTS, _AGAIN = 20, 0.25
# At most, before a client hangs up: about as long as an answer takes.
_HASTE = 0.03
_SHOWN = 5
_NO_ANSWER = (OSError, http.client.HTTPException)


@dataclass
class Tally:
    """What visitors met.

    Attributes:
        requests: how many were sent.
        failed: those that were not answered as they should be.
        details: the first of these, in words.
        acknowledged: changes that were answered with success.
        lost: acknowledged changes that are not there.
        doubled: changes that are there more often than they were sent.
    """

    requests: int = 0
    failed: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    details: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, problem: str = "", acknowledged: int = 0) -> None:
        """Count one request."""
        with self.lock:
            self.requests += 1
            self.acknowledged += acknowledged
            if problem:
                self.failed += 1
                self.say(problem)

    def compare(self, found: int, least: int, most: int, where: str) -> None:
        """Count what is missing of the least, or above the most that may be there."""
        with self.lock:
            self.lost += max(0, least - found)
            self.doubled += max(0, found - most)
            if not least <= found <= most:
                self.say(f"{where}: {found} instead of {least}" + f" to {most}" * (least < most))

    def say(self, problem: str) -> None:
        """Keep a detail, if there are few so far."""
        if len(self.details) < _SHOWN:
            self.details.append(problem)


class Client:
    """A browser: a connection that is kept, and cookies. `tab` shares the cookies."""

    def __init__(self, port: int, tally: Tally, cookies: dict[str, str] | None = None) -> None:
        self._port, self._tally = port, tally
        self.cookies: dict[str, str] = {} if cookies is None else cookies
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)

    def tab(self) -> "Client":
        """Return another connection with the same cookies."""
        return Client(self._port, self._tally, self.cookies)

    def copy(self) -> "Client":
        """Return another browser that has the same cookies now."""
        return Client(self._port, self._tally, dict(self.cookies))

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str = "",
        good: Sequence[int] = (200,),
        change: int = 0,
    ) -> tuple[int, Any]:
        """Send one request and count it; return the status, 0 without an answer, and the JSON."""
        try:
            self._request(method, path, body, key)
            answer = self._connection.getresponse()
            text = answer.read()
        except _NO_ANSWER as error:
            self.close()
            self._tally.note(f"{method} {path}: no answer: {error!r}")
            return 0, None
        for header in answer.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(header).items():
                self.cookies[name] = morsel.value
        is_good = answer.status in good
        asked = answer.headers.get("X-Request-ID", "")
        problem = "" if is_good else f"{method} {path}: {answer.status} {asked}".rstrip()
        self._tally.note(problem, change if answer.status in {200, 204} else 0)
        is_json = "json" in answer.headers.get_content_type()
        return answer.status, json.loads(text) if is_json and text else None

    def hang_up(self, method: str, path: str, body: object, key: str) -> None:
        """Send one request and go away before its answer; it counts for nothing."""
        with suppress(*_NO_ANSWER):
            self._request(method, path, body, key)
            time.sleep(random.uniform(0, _HASTE))
        self.close()

    def _request(self, method: str, path: str, body: object, key: str) -> None:
        headers = {"Host": "localhost"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={text}" for name, text in self.cookies.items())
        if key:
            headers["Idempotency-Key"] = key
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, headers)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()


Visit = Callable[[Client, Tally], None]
"""What a visitor does, again and again, each time without cookies."""


@contextmanager
def visitors(
    port: int, visit: Visit, number: int = VISITORS, pause: float = _PAUSE
) -> Iterator[Tally]:
    """Let visitors come until the block ends; then wait for the end of their visits."""
    tally, end = Tally(), threading.Event()

    def come() -> None:
        while not end.wait(pause):
            client = Client(port, tally)
            try:
                visit(client, tally)
            except (KeyError, TypeError, ValueError) as error:
                tally.note(f"an answer that shows no cart: {error!r}")
            finally:
                client.close()

    with ThreadPoolExecutor(number) as pool:
        coming = [pool.submit(come) for _ in range(number)]
        try:
            yield tally
        finally:
            end.set()
        for each in coming:
            each.result()


def cart(client: Client, tally: Tally, *, keyed: bool = True, is_hasty: bool = False) -> None:
    """Fill a cart of one's own, and compare every answer with what was acknowledged.

    An add without an answer, or with a 5xx, may have been carried out: it is sent again, as a user
    would, with its key if it has one. If the visitor is hasty, all but the first, which begins the
    session, are sent twice: the first time, the visitor does not wait for the answer.
    """
    least = most = 0
    for turn in range(_ADDS):
        key = str(uuid.uuid4()) if keyed else ""
        item = {"sku": contract.SKUS[turn % len(contract.SKUS)], "qty": 1}
        most += 1
        if is_hasty and turn:
            client.hang_up("POST", contract.ITEMS, item, key)
        for attempt in range(_ATTEMPTS):
            # 409: the first attempt is still under way, or its worker died.
            good = (200, 409) if keyed and (attempt or is_hasty) else (200,)
            status, answer = client.send("POST", contract.ITEMS, item, key=key, good=good, change=1)
            if status == 200 or (400 <= status < 500 and status != 409):
                break
            time.sleep(_AGAIN)
        least += status == 200
        least, most = _agreed(tally, client, answer if status == 200 else None, least, most)
        time.sleep(_PAUSE)
        status, answer = client.send("GET", contract.CART)
        least, most = _agreed(tally, client, answer if status == 200 else None, least, most)


def every_method(client: Client, tally: Tally) -> None:
    """Fill a cart of the shop, and set, remove and look with every method that it has."""
    cart(client, tally)
    sku, other = contract.SKUS[0], contract.SKUS[1]
    for method, path, body in (
        ("HEAD", "/", None),
        ("PUT", f"{contract.ITEMS}/{sku}", {"qty": 5}),
        ("OPTIONS", contract.CART, None),
        ("DELETE", f"{contract.ITEMS}/{other}", None),
        ("GET", "/api/products", None),
    ):
        change = int(method in {"PUT", "DELETE"})
        status, answer = client.send(method, path, body, change=change)
        if change and status == 200:
            found = {item["sku"]: item["qty"] for item in answer["items"]}
            wanted = {"PUT": (sku, 5), "DELETE": (other, 0)}[method]
            tally.compare(found.get(wanted[0], 0), wanted[1], wanted[1], f"{method} {path}")
        time.sleep(_PAUSE)


def path_of(path: str) -> Visit:
    """Return visits of one path, which has to answer."""
    good = range(200, 500 if path == "/" else 400)

    def visit(client: Client, _: Tally) -> None:
        for method in ("GET", "HEAD", "GET"):
            client.send(method, path, good=good)
            time.sleep(_PAUSE)

    return visit


def race(client: Client, tally: Tally) -> None:
    """Add in four tabs at once; what was acknowledged has to be there."""
    status, _ = client.send("POST", contract.ITEMS, {"sku": contract.RACED[0]}, change=1)
    acknowledged, lock = int(status == 200), threading.Lock()

    def tab(sku: str) -> None:
        nonlocal acknowledged
        own = client.tab()
        for _ in range(_ADDS):
            status, _answer = own.send("POST", contract.ITEMS, {"sku": sku}, change=1)
            with lock:
                acknowledged += status == 200
        own.close()

    with ThreadPoolExecutor(4) as tabs:
        for each in [tabs.submit(tab, sku) for sku in contract.RACED[:4]]:
            each.result()
    status, answer = client.send("GET", contract.CART)
    if status == 200:
        tally.compare(answer["count"], acknowledged, 1 + 4 * _ADDS, "four tabs")


def leave(client: Client, tally: Tally) -> None:
    """Log in, and out while another tab adds; then the old cookie must not be the user's."""
    client.send("POST", contract.ITEMS, {"sku": contract.RACED[0]})
    status, _ = client.send("POST", contract.LOGIN, contract.CREDENTIALS, good=(200, 429))
    if status != 200:
        return
    old = client.copy()
    ended = range(200, 500)
    with ThreadPoolExecutor(2) as tabs:
        late = [
            tabs.submit(tab.send, "POST", contract.ITEMS, {"sku": "tea"}, good=ended)
            for tab in (client.copy() for _ in range(2))
        ]
        out, _ = client.send("POST", contract.LOGOUT, good=(200, 204), change=1)
        for each in late:
            each.result()
    status, answer = old.send("GET", contract.SESSION, good=ended)
    old.close()
    if out in {200, 204} and status == 200:
        is_back = answer["user"] is not None
        tally.compare(int(not is_back), 1, 1, "the session after its logout")


def _agreed(tally: Tally, client: Client, answer: Any, least: int, most: int) -> tuple[int, int]:
    """Compare a cart with the model; return the model, corrected so that a loss counts once."""
    if answer is None:
        return least, most
    found = answer["count"]
    if least <= found <= most:
        return least, most
    tally.compare(found, least, most, f"a cart of {len(client.cookies)} cookies")
    return found, found
