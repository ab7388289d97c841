"""Saved carts: what a user has in the cart, in every session of theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

from unsticky import OutOfRange

from shop.records.memory import Memory
from shop.records.operation import Operation
from shop.records.owner import Owner
from shop.records.seam import Seam, load

_READ: Final = load("cart_read")
_CHANGE: Final = load("cart_change")


class Changed(NamedTuple):
    """What came of a change.

    Attributes:
        line: The quantity of the line as the operation left it, also where it came again.
        quantities: The cart as it is now, sku → quantity.
    """

    line: int
    quantities: dict[str, int]


class Carts(Protocol):
    """The carts of users. Each method is one atomic step, and at a server one round trip."""

    def quantities(self, owner: Owner) -> dict[str, int]:
        """Return what is in the cart, sku → quantity."""

    def add(self, owner: Owner, sku: str, qty: int, most: int, operation: Operation) -> Changed:
        """Add to a line.

        Raises:
            OutOfRange: The line would pass ``most``; it stays as it is.
        """

    def put(self, owner: Owner, sku: str, qty: int, operation: Operation) -> Changed:
        """Set a line; 0 removes it."""

    def clear(self, owner: Owner, operation: Operation) -> Changed:
        """Remove all lines."""


class MemoryCarts:
    """The carts in this process's memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def quantities(self, owner: Owner) -> dict[str, int]:
        """See `Carts.quantities`."""
        with self._memory.lock:
            return _numbers(self._memory.read(owner.key("cart")))

    def add(self, owner: Owner, sku: str, qty: int, most: int, operation: Operation) -> Changed:
        """See `Carts.add`."""

        def added(cart: dict[str, int]) -> int:
            before = cart.get(sku, 0)
            if before + qty > most:
                raise OutOfRange(before)
            cart[sku] = before + qty
            return cart[sku]

        return self._change(owner, operation, added, "add", sku, qty)

    def put(self, owner: Owner, sku: str, qty: int, operation: Operation) -> Changed:
        """See `Carts.put`."""

        def set_(cart: dict[str, int]) -> int:
            cart[sku] = qty
            return qty

        return self._change(owner, operation, set_, "put", sku, qty)

    def clear(self, owner: Owner, operation: Operation) -> Changed:
        """See `Carts.clear`."""

        def cleared(cart: dict[str, int]) -> int:
            cart.clear()
            return 0

        return self._change(owner, operation, cleared, "clear")

    def _change(
        self,
        owner: Owner,
        operation: Operation,
        change: Callable[[dict[str, int]], int],
        *what: str | int,
    ) -> Changed:
        memory, result = self._memory, operation.key(owner, *what)
        with memory.lock:
            cart = _numbers(memory.read(owner.key("cart")))
            recorded = memory.read(result)
            if recorded:
                return Changed(int(recorded["line"]), cart)
            line = change(cart)
            left = {sku: qty for sku, qty in cart.items() if qty}
            memory.write(owner.key("cart"), {sku: str(qty) for sku, qty in left.items()})
            memory.write(result, {"line": str(line)}, operation.kept)
            return Changed(line, left)


class RedisCarts:
    """The carts in Redis or Valkey: a hash for each, sku → quantity.

    Args:
        seam: The way to the server.
    """

    def __init__(self, seam: Seam) -> None:
        self._seam = seam

    def quantities(self, owner: Owner) -> dict[str, int]:
        """See `Carts.quantities`."""
        return _paired(self._seam.ask(_READ, [owner.key("cart")]))

    def add(self, owner: Owner, sku: str, qty: int, most: int, operation: Operation) -> Changed:
        """See `Carts.add`."""
        return self._change(owner, operation, most, "add", sku, qty)

    def put(self, owner: Owner, sku: str, qty: int, operation: Operation) -> Changed:
        """See `Carts.put`."""
        return self._change(owner, operation, 0, "put", sku, qty)

    def clear(self, owner: Owner, operation: Operation) -> Changed:
        """See `Carts.clear`."""
        return self._change(owner, operation, 0, "clear")

    def _change(self, owner: Owner, operation: Operation, most: int, *what: str | int) -> Changed:
        keys = [owner.key("cart"), operation.key(owner, *what)]
        status, line, *quantities = self._seam.run(_CHANGE, keys, [operation.kept, most, *what])
        if status:
            raise OutOfRange(line)
        return Changed(line, _paired(quantities))


def _paired(flat: list[str]) -> dict[str, int]:
    return _numbers(dict(zip(flat[::2], flat[1::2], strict=True)))


def _numbers(cart: Mapping[str, str]) -> dict[str, int]:
    return {sku: int(qty) for sku, qty in cart.items()}
