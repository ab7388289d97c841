"""Orders: begun in the step that empties the cart, and settled once they are priced.

A worker may die in between. What was begun stays in the owner's outbox until someone settles it,
and settling twice is settling once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from shop.records.memory import Memory
from shop.records.owner import Owner
from shop.records.seam import Seam, load

MOST_LISTED: Final = 100

_BEGIN: Final = load("now", "order_begin")
_SETTLE: Final = load("now", "order_settle")
_LIST: Final = load("order_list")
_FORGET: Final = load("order_forget")


@dataclass(frozen=True)
class Line:
    """A product as it was ordered; the price is of one, in cents."""

    sku: str
    name: str
    qty: int
    price_cents: int

    @property
    def total_cents(self) -> int:
        """The price of the whole line in cents."""
        return self.qty * self.price_cents


@dataclass(frozen=True)
class Order:
    """A settled order.

    Attributes:
        id: Its name, which tells nothing.
        created: Milliseconds of the epoch, by the clock of the store.
        lines: By sku, with the prices of that moment.
    """

    id: str
    created: int
    lines: tuple[Line, ...]

    @property
    def total_cents(self) -> int:
        """The price of everything in cents."""
        return sum(line.total_cents for line in self.lines)


@dataclass(frozen=True)
class Begun:
    """An order that was taken out of the cart and is not settled yet.

    Attributes:
        id: As the order's.
        quantities: Sku → quantity.
        created: As the order's; ``None`` for now.
    """

    id: str
    quantities: Mapping[str, int]
    created: int | None = None


class Listed(NamedTuple):
    """What there is of an owner: the newest orders first, and what waits to be settled."""

    orders: tuple[Order, ...]
    begun: tuple[Begun, ...]


class Orders(Protocol):
    """The orders of users and guests. Each method is one atomic step."""

    def begin(self, owner: Owner, id_: str) -> Begun | None:
        """Move the owner's saved cart into an order of this id; ``None`` if it is empty.

        An order of this id that was begun before is returned as it was; one that was settled
        before, without quantities: settling it gives the order.
        """

    def settle(self, owner: Owner, begun: Begun, lines: Sequence[Line], kept: int | None) -> Order:
        """Write an order down and return it; one that is there already is returned as it is.

        Args:
            owner: Whose order it is.
            begun: What it was made from; it leaves the outbox.
            lines: What it says.
            kept: How long the owner's orders are kept from now on (ms); ``None`` for ever.
        """

    def list(self, owner: Owner) -> Listed:
        """Return the newest orders, at most MOST_LISTED, and all that wait to be settled."""

    def forget(self, owner: Owner, ids: Sequence[str]) -> None:
        """Remove these orders; none is no error."""


class MemoryOrders:
    """The orders in this process's memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._latest = 0

    def _now(self) -> int:
        """Return the time in ms, later than any before, so that orders have an order."""
        self._latest = max(int(time.time() * 1000), self._latest + 1)
        return self._latest

    def begin(self, owner: Owner, id_: str) -> Begun | None:
        """See `Orders.begin`."""
        memory = self._memory
        with memory.lock:
            if id_ in memory.read(owner.key("orders")):
                return Begun(id_, {})
            outbox = memory.read(owner.key("outbox"))
            if id_ not in outbox:
                cart = memory.read(owner.key("cart"))
                if not cart:
                    return None
                quantities = {sku: int(qty) for sku, qty in cart.items()}
                outbox[id_] = json.dumps({"created": self._now(), "quantities": quantities})
                memory.write(owner.key("outbox"), outbox)
                memory.write(owner.key("cart"), {})
            return _begun(id_, outbox[id_])

    def settle(self, owner: Owner, begun: Begun, lines: Sequence[Line], kept: int | None) -> Order:
        """See `Orders.settle`."""
        with self._memory.lock:
            contents, times, outbox = map(self._memory.read, _keys(owner))
            if begun.id not in contents:
                contents[begun.id] = _content(lines)
                times[begun.id] = str(begun.created or self._now())
                for key, fields in zip(_keys(owner), (contents, times), strict=False):
                    self._memory.write(key, fields, kept)
            if outbox.pop(begun.id, None):
                self._memory.write(owner.key("outbox"), outbox)
            return _order(begun.id, times[begun.id], contents[begun.id])

    def list(self, owner: Owner) -> Listed:
        """See `Orders.list`."""
        with self._memory.lock:
            contents, times, outbox = map(self._memory.read, _keys(owner))
        newest = sorted(times, key=lambda id_: (int(times[id_]), id_), reverse=True)
        return Listed(
            tuple(_order(id_, times[id_], contents[id_]) for id_ in newest[:MOST_LISTED]),
            tuple(_begun(id_, text) for id_, text in outbox.items()),
        )

    def forget(self, owner: Owner, ids: Sequence[str]) -> None:
        """See `Orders.forget`."""
        with self._memory.lock:
            for key in _keys(owner)[:2]:
                left = self._memory.left_ms(key)
                fields = self._memory.read(key)
                kept = {id_: text for id_, text in fields.items() if id_ not in ids}
                self._memory.write(key, kept, left or None)


class RedisOrders:
    """The orders in Redis or Valkey, three keys an owner: contents, ids by time, and the outbox.

    Args:
        seam: The way to the server.
    """

    def __init__(self, seam: Seam) -> None:
        self._seam = seam

    def begin(self, owner: Owner, id_: str) -> Begun | None:
        """See `Orders.begin`."""
        keys = [owner.key("cart"), owner.key("orders"), owner.key("outbox")]
        status, *begun = self._seam.run(_BEGIN, keys, [id_])
        if not status:
            return None
        return _begun(id_, begun[0]) if begun else Begun(id_, {})

    def settle(self, owner: Owner, begun: Begun, lines: Sequence[Line], kept: int | None) -> Order:
        """See `Orders.settle`."""
        arguments = [begun.id, _content(lines), begun.created or "", kept or ""]
        return _order(begun.id, *self._seam.run(_SETTLE, _keys(owner), arguments))

    def list(self, owner: Owner) -> Listed:
        """See `Orders.list`."""
        orders, outbox = self._seam.ask(_LIST, _keys(owner), [MOST_LISTED])
        return Listed(
            tuple(map(_order, orders[::3], orders[1::3], orders[2::3])),
            tuple(map(_begun, outbox[::2], outbox[1::2])),
        )

    def forget(self, owner: Owner, ids: Sequence[str]) -> None:
        """See `Orders.forget`."""
        if ids:
            self._seam.run(_FORGET, _keys(owner)[:2], ids)


def _keys(owner: Owner) -> list[str]:
    return [owner.key("orders"), owner.key("order-ids"), owner.key("outbox")]


def _content(lines: Sequence[Line]) -> str:
    return json.dumps([[line.sku, line.name, line.qty, line.price_cents] for line in lines])


def _order(id_: str, created: str, content: str) -> Order:
    lines: list[list[Any]] = json.loads(content)
    return Order(id_, int(created), tuple(Line(*line) for line in lines))


def _begun(id_: str, text: str) -> Begun:
    begun = json.loads(text)
    return Begun(id_, begun["quantities"], int(begun["created"]))
