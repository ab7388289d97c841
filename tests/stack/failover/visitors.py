"""Visitors of the shop who note each request, and each change that they asked for."""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple

import httpx
from shop import catalog

from tests.support.http.wire import Answer
from tests.support.shop.client import ShopClient, quantities
from tests.support.waiting import wait_until

SHOPPERS: Final = 4
"""They fill carts; one more logs in, one logs out, one ends another one's sessions."""
_SKUS: Final = [product.sku for product in catalog.PRODUCTS]
_STOCK: Final = 90
"""Sessions that are logged in before the fault, and then end; a user may have 100."""
_PAUSE: Final = 0.005
_SLOW: Final = 0.08
"""Between two logouts, so that the stock lasts (seconds)."""
_AGAIN: Final = 0.1
"""After an answer that refused something (seconds)."""


class Kind(StrEnum):
    """What a visitor changes."""

    ADD = "add"
    """Puts a product into the cart, with a key, again and again until it is acknowledged."""
    COUNT = "count"
    """Adds 1 to the session's counter; never sent again."""
    LOGIN = "login"
    LOGOUT = "logout"
    REVOCATION = "revocation"
    """Ends another session of the user."""


ENDS: Final = frozenset({Kind.LOGOUT, Kind.REVOCATION})


class Request(NamedTuple):
    """One request; the status is 0 without an answer."""

    visitor: int
    kind: str
    began: float
    ended: float
    status: int
    code: str

    @property
    def is_good(self) -> bool:
        """Whether the shop did what was asked, or was busy with the same."""
        # A session that the first one of two equal requests ended is not found by the second one.
        found = {404} if self.kind == Kind.REVOCATION else set()
        return self.status in {200, 204, 409, 429} | found


@dataclass
class Change:
    """One change.

    Attributes:
        name: the product, for an add.
        cookie: of the session that it is in.
        began, ended: of the request that was acknowledged, or of the last one.
        outcome: `acknowledged`; `unknown` if one of its requests may have done it; or `refused`.
        found: how often it is there afterwards; for a session that was ended, whether it lives.
    """

    kind: Kind
    name: str
    cookie: str
    began: float
    ended: float
    outcome: str
    found: int = 0


class Visitors:
    """Threads of visitors; they come from the start until `stop`.

    Attributes:
        requests: all that were sent.
        changes: those of visits that are over, once the visitors have stopped.
    """

    def __init__(self, port: int) -> None:
        self.requests: list[Request] = []
        self.changes: list[Change] = []
        self._port = port
        self._stop = threading.Event()
        leaving, ended = self._logged_in("linus"), self._logged_in("ada")
        tasks: list[Callable[[int], None]] = [*[self._shop] * SHOPPERS, self._log_in]
        tasks += [lambda number: self._log_out(number, leaving)]
        tasks += [lambda number: self._revoke(number, ended)]
        self._pool = ThreadPoolExecutor(len(tasks))
        self._tasks = [self._pool.submit(task, number) for number, task in enumerate(tasks)]

    def are_served_since(self, moment: float) -> bool:
        """Tell whether each shopper had a request answered well that began after this moment."""
        recent = [each for each in self.requests[-1000:] if each.began >= moment]
        return {each.visitor for each in recent if each.status == 200}.issuperset(range(SHOPPERS))

    def stop(self) -> None:
        """Wait for the end of all requests."""
        self._stop.set()
        self._pool.shutdown()
        for task in self._tasks:
            task.result()

    def _logged_in(self, user: str) -> list[ShopClient]:
        """Return clients with a session each, which the stock of one thread is."""
        clients = [ShopClient(self._port) for _ in range(_STOCK)]
        with ThreadPoolExecutor(4) as pool:
            for answer in pool.map(lambda each: each.post(f"/test/user/{user}"), clients):
                assert answer.status == 200, answer
        return clients

    def _shop(self, number: int) -> None:
        while not self._stop.is_set():
            with ShopClient(self._port) as client:
                visit: list[Change] = []
                self._count(number, client, visit)
                begun = client.cookie
                for sku in _SKUS:
                    # Without a session, and if it is lost, there is no key that a shop knows.
                    if self._stop.wait(_PAUSE) or not begun or client.cookie != begun:
                        break
                    self._add(number, client, visit, sku)
                    self._count(number, client, visit)
                self.changes += visit
            if not begun:
                self._stop.wait(_AGAIN)

    def _log_in(self, number: int) -> None:
        while not self._stop.wait(_PAUSE):
            with ShopClient(self._port) as client:
                visit: list[Change] = []
                self._count(number, client, visit)
                self._add(number, client, visit, "tea")
                guest = client.cookie
                login = self._change(number, Kind.LOGIN, client, lambda: client.log_in("grace"))
                if login.outcome == "unknown":
                    # Only who has the answer's cookie could look for the rest.
                    visit.clear()
                for change in visit:
                    if change.cookie == guest:
                        change.cookie = login.cookie
                self.changes += [*visit, login]
            # Each login beyond a hundred ends an earlier one.
            self._stop.wait(_SLOW)

    def _log_out(self, number: int, clients: Sequence[ShopClient]) -> None:
        for client in clients:
            self._end(number, Kind.LOGOUT, client, client.log_out)

    def _revoke(self, number: int, clients: Sequence[ShopClient]) -> None:
        first = clients[0]
        for client in clients[1:]:
            if self._stop.is_set():
                return
            shown = self._ask(number, "handle", partial(client.get, "/api/session"))
            if shown is not None and shown.status == 200:
                handle = str(shown.json()["handle"])
                self._end(number, Kind.REVOCATION, client, partial(first.end_session, handle))

    def _end(self, number: int, kind: Kind, client: ShopClient, send: Callable[[], Answer]) -> None:
        """End the session of a client; ask again until it is answered that it has ended."""
        cookie = client.cookie or ""
        while not self._stop.wait(_SLOW):
            change = self._change(number, kind, client, send)
            change.cookie = cookie
            if change.outcome != "unknown":
                self.changes.append(change)
                return

    def _count(self, number: int, client: ShopClient, visit: list[Change]) -> None:
        """Count in the session, which begins if there is none."""
        change = self._change(number, Kind.COUNT, client, lambda: client.get("/api/session"))
        visit.append(change)

    def _add(self, number: int, client: ShopClient, visit: list[Change], sku: str) -> None:
        """Add until it is acknowledged, as a user does; a session that is lost begins again."""
        key, outcomes = secrets.token_hex(8), set()
        while True:
            change = self._change(
                number, Kind.ADD, client, lambda: client.add(sku, key=key), name=sku
            )
            outcomes.add(change.outcome)
            if change.outcome == "acknowledged" or self._stop.wait(_AGAIN):
                break
        if change.outcome != "acknowledged" and "unknown" in outcomes:
            change.outcome = "unknown"
        visit.append(change)

    def _change(
        self,
        number: int,
        kind: Kind,
        client: ShopClient,
        send: Callable[[], Answer],
        name: str = "",
    ) -> Change:
        began = time.monotonic()
        answer = self._ask(number, kind, send)
        outcome = "unknown"
        if answer is not None:
            code = _code(answer)
            # An end may be repeated, so it says "try again" even if it was carried out.
            refused = code == "store-unavailable" and kind not in ENDS
            if answer.status in {200, 204}:
                outcome = "acknowledged"
            elif refused or answer.status in {404, 409, 429}:
                outcome = "refused"
        return Change(kind, name, client.cookie or "", began, time.monotonic(), outcome)

    def _ask(self, number: int, kind: str, send: Callable[[], Answer]) -> Answer | None:
        began, answer = time.monotonic(), None
        try:
            answer = send()
        except httpx.TransportError:
            status, code = 0, ""
        else:
            status, code = answer.status, _code(answer)
        self.requests.append(Request(number, kind, began, time.monotonic(), status, code))
        return answer


def _code(answer: Answer) -> str:
    if answer.media_type != "application/problem+json":
        return ""
    return str(answer.json().get("code", ""))


def look_up(port: int, changes: Sequence[Change]) -> None:
    """Ask the shop for each change, by the cookie of its session, and set `found`."""
    sessions: dict[str, list[Change]] = {}
    for change in changes:
        sessions.setdefault(change.cookie, []).append(change)
    sessions.pop("", None)
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda each: _look_up(port, *each), sessions.items()):
            pass


def _look_up(port: int, cookie: str, changes: Sequence[Change]) -> None:
    with ShopClient(port) as client:
        client.cookie = cookie
        kinds = {change.kind for change in changes}
        if kinds & {Kind.LOGIN, *ENDS}:
            user = _answered(client, "/api/sessions").status == 200
        cart = quantities(_answered(client, "/api/cart").json()) if Kind.ADD in kinds else {}
        # Last, because it counts, and begins another session if there is none.
        counts = int(_answered(client, "/api/session").json()["hits"]) - 1
        for change in changes:
            if change.kind is Kind.ADD:
                change.found = cart.get(change.name, 0)
            elif change.kind is not Kind.COUNT:
                change.found = int(user)
    counted = [c for c in changes if c.kind is Kind.COUNT and c.outcome != "refused"]
    # The first ones, because a fail-over undoes the last ones.
    counted.sort(key=lambda change: (change.outcome != "acknowledged", change.ended))
    for change in counted[:counts]:
        change.found = 1
    if counted and counts > len(counted):
        counted[-1].found += counts - len(counted)


def _answered(client: ShopClient, path: str) -> Answer:
    """Return the answer once the shop can give it."""

    def answered() -> Answer | None:
        answer = client.get(path)
        return answer if answer.status < 500 else None

    return wait_until(answered, f"an answer to {path}", ignoring=httpx.TransportError)
