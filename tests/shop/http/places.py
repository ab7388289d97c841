"""Where the shop runs in these tests."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from flask import Flask
from shop.store import key

from tests.support.shop.client import ShopClient
from tests.support.stacks.local import Stack
from tests.support.stores.servers import Server


@dataclass(frozen=True)
class Place:
    """A shop with the demo's users.

    Attributes:
        visit: Returns a visitor without a cookie.
        origin: What the visitor sees as scheme, host and port.
        store: Opens a redis-py client of its store; None if the store cannot be reached from here.
    """

    visit: Callable[[], ShopClient]
    origin: str
    store: Callable[[], Any] | None = None

    def sessions(self) -> set[bytes]:
        """Return the keys of all stored sessions; none if they cannot be seen from here."""
        if self.store is None:
            return set()
        with self.store() as store:
            return set(store.scan_iter("unsticky:*:s:*"))

    def reset_password(self, user: str) -> None:
        """Give a user the demo's password again, if the store can be reached from here."""
        if self.store is not None:
            with self.store() as store:
                store.delete(key("account", "user", user))


def in_process(shop: Flask, server: Server) -> Place:
    """Return the shop in this process."""
    return Place(lambda: ShopClient(shop), "http://127.0.0.1", lambda: nullcontext(server.raw))


def of_stack(stack: Stack, *, store: bool) -> Place:
    """Return the shop behind nginx; `store` if not only the stack can reach its store."""
    origin = f"http://127.0.0.1:{stack.port}"
    return Place(stack.browser, origin, stack.store if store else None)
