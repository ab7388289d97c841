"""All records of the shop, opened together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from shop.records.accounts import Accounts, MemoryAccounts, RedisAccounts
from shop.records.answers import Answers, MemoryAnswers, RedisAnswers
from shop.records.attempts import Attempts, MemoryAttempts, RedisAttempts
from shop.records.carts import Carts, MemoryCarts, RedisCarts
from shop.records.joining import Joining, MemoryJoining, RedisJoining
from shop.records.memory import Memory
from shop.records.orders import MemoryOrders, Orders, RedisOrders
from shop.records.seam import Seam


@dataclass(frozen=True)
class Records:
    """What the shop keeps beside its sessions, one attribute for each kind.

    Attributes:
        close: Gives connections back.
    """

    accounts: Accounts
    attempts: Attempts
    carts: Carts
    joining: Joining
    orders: Orders
    answers: Answers
    close: Callable[[], None]

    @classmethod
    def open(cls, url: str | None) -> Self:
        """Open the records at a server, or in this process's memory where there is no URL."""
        if url is None:
            memory = Memory()
            return cls(
                accounts=MemoryAccounts(memory),
                attempts=MemoryAttempts(memory),
                carts=MemoryCarts(memory),
                joining=MemoryJoining(memory),
                orders=MemoryOrders(memory),
                answers=MemoryAnswers(memory),
                close=lambda: None,
            )
        seam = Seam(url)
        return cls(
            accounts=RedisAccounts(seam),
            attempts=RedisAttempts(seam),
            carts=RedisCarts(seam),
            joining=RedisJoining(seam),
            orders=RedisOrders(seam),
            answers=RedisAnswers(seam),
            close=seam.close,
        )
