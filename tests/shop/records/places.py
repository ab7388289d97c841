"""Where records are kept in these tests: this process's memory, and real servers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.crc import key_slot
from shop.records.accounts import Accounts, MemoryAccounts, RedisAccounts
from shop.records.answers import Answers, MemoryAnswers, RedisAnswers
from shop.records.attempts import Attempts, MemoryAttempts, RedisAttempts
from shop.records.carts import Carts, MemoryCarts, RedisCarts
from shop.records.joining import Joining, MemoryJoining, RedisJoining
from shop.records.memory import Memory
from shop.records.orders import MemoryOrders, Orders, RedisOrders
from shop.records.seam import Script, Seam


class Clock:
    """A clock in seconds, for memory, that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class StrictSeam(Seam):
    """A seam that takes what a Cluster takes: all keys of a call lie in one slot.

    Args:
        url: Of the server.
        times: How often each call is sent, as where answers were lost; the last one answers.
    """

    def __init__(self, url: str, times: int = 1) -> None:
        super().__init__(url)
        self._times = times

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int] = ()) -> Any:
        """See `Seam.run`.

        Raises:
            AssertionError: The keys lie in several slots.
        """
        assert len({key_slot(key.encode()) for key in keys}) == 1, keys
        reply = None
        for _ in range(self._times):
            reply = super().run(script, keys, arguments)
        return reply


@dataclass
class Place:
    """The records at one place.

    Attributes:
        raw: The server's client; ``None`` for memory.
        clock: Of memory.
        times: How often each call is made; see `StrictSeam`.
    """

    accounts: Accounts
    attempts: Attempts
    carts: Carts
    joining: Joining
    orders: Orders
    answers: Answers
    raw: Any = None
    clock: Clock = field(default_factory=Clock)
    times: int = 1


def in_memory() -> Place:
    """Return records in this process's memory."""
    clock = Clock()
    memory = Memory(clock)
    return Place(
        accounts=MemoryAccounts(memory),
        attempts=MemoryAttempts(memory),
        carts=MemoryCarts(memory),
        joining=MemoryJoining(memory),
        orders=MemoryOrders(memory),
        answers=MemoryAnswers(memory, clock),
        clock=clock,
    )


def at_server(seam: Seam, raw: Any, times: int = 1) -> Place:
    """Return records at a server."""
    return Place(
        accounts=RedisAccounts(seam),
        attempts=RedisAttempts(seam),
        carts=RedisCarts(seam),
        joining=RedisJoining(seam),
        orders=RedisOrders(seam),
        answers=RedisAnswers(seam),
        raw=raw,
        times=times,
    )
