"""All records of the shop, opened together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from shop.records.answers import Answers, MemoryAnswers, RedisAnswers
from shop.records.carts import Carts, MemoryCarts, RedisCarts
from shop.records.memory import Memory
from shop.records.orders import MemoryOrders, Orders, RedisOrders
from shop.records.seam import Seam


@dataclass(frozen=True)
class Records:
    """What the shop keeps beside its sessions, one attribute for each kind.

    Attributes:
        close: Gives connections back.
    """

    carts: Carts
    orders: Orders
    answers: Answers
    close: Callable[[], None]

    @classmethod
    def open(cls, url: str | None) -> Self:
        """Open the records at a server, or in this process's memory where there is no URL."""
        if url is None:
            memory = Memory()
            carts, orders = MemoryCarts(memory), MemoryOrders(memory)
            return cls(carts, orders, MemoryAnswers(memory), lambda: None)
        seam = Seam(url)
        return cls(RedisCarts(seam), RedisOrders(seam), RedisAnswers(seam), seam.close)
