"""The stores of these tests: memory, a database and real servers behind one interface."""

import importlib
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fakeredis
from flask import Flask
from unsticky import Unsticky
from unsticky.cookie import Reference
from unsticky.limits import Lifetimes
from unsticky.stores.base import Caps, Store
from unsticky.stores.memory import MemoryStore
from unsticky.stores.opening import open_store
from unsticky.stores.redis import RedisStore
from unsticky.stores.sqlite import SqliteStore
from unsticky.stores.urls import client_like
from unsticky.testing.places import (
    CAPS,
    HOUR,
    LIFETIMES,
    LimitedStore,
    Made,
    Place,
    deadline,
    make,
    operation,
    reference,
)

from tests.support import disks
from tests.support.stores.servers import Server

__all__ = [
    "CAPS",
    "HOUR",
    "LIFETIMES",
    "AtServer",
    "InFakeredis",
    "InSqlite",
    "LimitedStore",
    "Memory",
    "Place",
    "deadline",
    "make",
    "operation",
    "reference",
]


def _in_memory(folder: Path, caps: Caps, clock: Callable[[], float]) -> Store:
    del folder
    return MemoryStore(caps, clock)


def _in_sqlite(folder: Path, caps: Caps, clock: Callable[[], float] = time.time) -> Store:
    """Make a store in an SQLite database."""
    return SqliteStore(folder / "sessions.db", caps, clock)


class Memory(Made):
    """This process's memory, with a clock that only a test moves."""

    def __init__(self) -> None:
        super().__init__(_in_memory, "memory")

    @property
    def folder(self) -> Path:
        """None: nothing is left where a test does not close its place."""
        return Path()

    def close(self) -> None:
        """See `Place.close`."""


class InSqlite(Made):
    """An SQLite database, likewise."""

    def __init__(self) -> None:
        super().__init__(_in_sqlite, "sqlite", disks.FAST)


class AtServer(Place):
    """A server, with a key prefix that nothing else uses.

    Attributes:
        bind_trips: what a bind costs in round trips.
    """

    bind_trips = 1

    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self.server = server
        self.prefix = f"t{secrets.token_hex(6)}:"
        self._stores: list[Store] = []

    def new_store(self, lifetimes: Lifetimes = LIFETIMES, caps: Caps = CAPS) -> LimitedStore:
        """See `Place.new_store`."""
        self._stores.append(open_store(self.server.url, None, self.prefix, caps))
        return LimitedStore(self._stores[-1], lifetimes)

    def empty(self) -> None:
        """Forget all sessions."""
        for key in self.server.raw.scan_iter(f"{self.prefix}*", count=10_000):
            self.server.raw.delete(key)

    def now(self) -> int:
        """See `Place.now`."""
        return self.server.milliseconds()

    def let_pass(self, milliseconds: int) -> None:
        """See `Place.let_pass`; a server's clock can only be waited for."""
        until = self.now() + milliseconds
        while (missing := until - self.now()) > 0:
            time.sleep(missing / 1000)

    def plant(self, reference: Reference, field: bytes, data: bytes) -> None:
        """See `Place.plant`."""
        self.server.raw.hset(self.key(reference), field, data)

    def expire(self, reference: Reference) -> None:
        """See `Place.expire`."""
        self.server.raw.pexpireat(self.key(reference), 1)

    def serve(self, app: Flask, **settings: Any) -> Unsticky:
        """See `Place.serve`."""
        app.config.update(
            SECRET_KEY="x" * 20,
            UNSTICKY_STORE=self.server.url,
            SESSION_KEY_PREFIX=self.prefix,
            **settings,
        )
        sessions = Unsticky(app)
        self._stores.append(sessions.state.store)
        return sessions

    def key(self, reference: Reference, kind: str = "s") -> str:
        """Return the key of a session, or of another kind of key under its reference."""
        text = urlsafe_b64encode(reference.digest)[:22].decode()
        return f"{self.prefix}{{{reference.bucket}}}:{kind}:{text}"

    def leftovers(self, where: Reference) -> list[Any]:
        """See `Place.leftovers`."""
        tag = f"{self.prefix}{{{where.bucket}}}:r:*"
        return list(self.server.raw.scan_iter(tag, count=10_000))

    def close(self) -> None:
        """Give connections back."""
        for store in self._stores:
            store.close()


class InFakeredis(AtServer):
    """fakeredis, which users have in their own tests, with a clock that only a test moves.

    It takes some milliseconds for a call, and on a busy machine longer than the lifetimes of tests.
    """

    moves_clock = True

    def __init__(self) -> None:
        self._seconds = time.time()
        fake: Any = SimpleNamespace(raw=fakeredis.FakeRedis(), milliseconds=self.now)
        super().__init__("fakeredis", fake)
        self._set_clock(SimpleNamespace(**vars(time) | {"time": lambda: self._seconds}))

    def now(self) -> int:
        """See `Place.now`."""
        return int(self._seconds * 1000)

    def let_pass(self, milliseconds: int) -> None:
        """See `Place.let_pass`."""
        self._seconds += milliseconds / 1000

    def close(self) -> None:
        """See `Place.close`."""
        self._set_clock(time)
        super().close()

    @staticmethod
    def _set_clock(clock: object) -> None:
        for name in ("_helpers", "_socket._base", "commands_mixins.server_mixin"):
            vars(importlib.import_module(f"fakeredis.{name}"))["time"] = clock

    def new_store(self, lifetimes: Lifetimes = LIFETIMES, caps: Caps = CAPS) -> LimitedStore:
        """See `Place.new_store`."""
        self._stores.append(RedisStore(client_like(self.server.raw), self.prefix, caps))
        return LimitedStore(self._stores[-1], lifetimes)

    def serve(self, app: Flask, **settings: Any) -> Unsticky:
        """See `Place.serve`."""
        app.config["SESSION_REDIS"] = self.server.raw
        self.server.url = "client"
        return super().serve(app, **settings)
