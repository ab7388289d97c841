"""The stores of these tests: memory, a database and real servers behind one interface."""

import importlib
import secrets
import tempfile
import time
from base64 import urlsafe_b64encode
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fakeredis
from flask import Flask
from unsticky import Unsticky
from unsticky.cookie import Reference
from unsticky.limits import Lifetimes
from unsticky.stores.base import (
    Caps,
    Change,
    Deadline,
    Gone,
    Listed,
    Missing,
    Operation,
    Record,
    Store,
    Unreadable,
    Write,
    WriteOutcome,
    Written,
)
from unsticky.stores.documents import Session, Tombstone, key_of
from unsticky.stores.memory import DocumentStore, MemoryStore
from unsticky.stores.planning import Plan
from unsticky.stores.redis import RedisStore
from unsticky.stores.urls import client_like, open_store

from tests.support.stores.servers import Server
from tests.support.stores.sqlite import SqliteStore
from tests.support.waiting import PATIENCE

HOUR = 3_600_000
LIFETIMES = Lifetimes(idle=HOUR, absolute=24 * HOUR, unused=HOUR // 6)
CAPS = Caps(fields=1024, bytes=65_536)


class LimitedStore:
    """A store with the same lifetimes in each call.

    Attributes:
        store: the store itself.
    """

    def __init__(self, store: Store, lifetimes: Lifetimes) -> None:
        self.store = store
        self._lifetimes = lifetimes
        self.sweep = store.sweep
        self.quarantine = store.quarantine
        self.probe = store.probe
        self.close = store.close

    def sessions(self, user: Reference) -> tuple[Listed, ...]:
        """See `Store.sessions`."""
        return self.store.sessions(user, deadline())

    def under(self, lifetimes: Lifetimes) -> "LimitedStore":
        """Return the same store with other lifetimes."""
        return LimitedStore(self.store, lifetimes)

    def read(
        self, reference: Reference, within: Deadline | None = None, *, slide: bool = True
    ) -> Record | Missing | Gone | Unreadable:
        """See `Store.read`."""
        return self.store.read(reference, self._lifetimes, within or deadline(), slide=slide)

    def record(self, reference: Reference, *, slide: bool = True) -> Record:
        """Return a session that must be there."""
        found = self.read(reference, slide=slide)
        assert isinstance(found, Record), found
        return found

    def write(
        self,
        reference: Reference,
        changes: tuple[Change, ...],
        name: Operation | None = None,
        **options: Any,
    ) -> WriteOutcome:
        """See `Store.write`; without a `name`, this write was never sent before."""
        name = name or operation()
        return self.store.write(reference, changes, name, self._lifetimes, deadline(), **options)

    def apply(self, *arguments: Any, **options: Any) -> Written:
        """Write what must be applied; see `write`."""
        written = self.write(*arguments, **options)
        assert isinstance(written, Written), written
        return written

    def end_all(
        self,
        user: Reference,
        keep: Reference | None = None,
        stamp: int | None = None,
        name: Operation | None = None,
        *,
        forget: bool = False,
    ) -> tuple[Reference, ...]:
        """See `Store.end_all`."""
        name = name or operation()
        return self.store.end_all(
            user, keep, stamp, name, self._lifetimes, deadline(), forget=forget
        )


class Memory:
    """This process's memory, with a clock that only a test moves."""

    name = "memory"

    def __init__(self) -> None:
        self._seconds = time.time()
        self._stores: list[DocumentStore] = []

    def new_store(self, lifetimes: Lifetimes = LIFETIMES, caps: Caps = CAPS) -> LimitedStore:
        """Return the store of this place, whose caps the first call sets."""
        if not self._stores:
            self._stores.append(self._made(caps))
        return LimitedStore(self._stores[0], lifetimes)

    def now(self) -> int:
        """Return the store's clock, in ms since 1970."""
        return int(self._clock() * 1000)

    def let_pass(self, milliseconds: int) -> None:
        """Let the store's clock advance."""
        self._seconds += milliseconds / 1000

    def successor(self, where: Reference, user: Reference) -> Reference:
        """Return a reference that a session can get when it is bound."""
        del where
        return reference(user.bucket)

    def plant(self, reference: Reference, field: bytes, data: bytes) -> None:
        """Overwrite stored bytes, as someone who can write to the store could."""

        def planted(plan: Plan) -> None:
            found = plan.find(reference)
            assert isinstance(found, Session)
            plan.put(reference, replace(found, fields={**found.fields, field: data}))

        self._stores[0].carry_out(planted, deadline())

    def expire(self, reference: Reference) -> None:
        """Let the session there, or its tombstone, expire."""

        def expired(plan: Plan) -> None:
            found = plan.get(key_of("session", reference))
            if isinstance(found, (Session, Tombstone)):
                plan.put(reference, replace(found, expires=0))

        self._stores[0].carry_out(expired, deadline())

    def serve(self, app: Flask, **settings: Any) -> Unsticky:
        """Give an application sessions in this store."""
        app.config.update(SECRET_KEY="x" * 20, **settings)
        caps = Caps(CAPS.fields, settings.get("UNSTICKY_MAX_BYTES", CAPS.bytes))
        return Unsticky(app, store=self.new_store(caps=caps).store)

    def close(self) -> None:
        """Leave nothing behind."""

    def _clock(self) -> float:
        return self._seconds

    def _made(self, caps: Caps) -> DocumentStore:
        return MemoryStore(caps, self._clock)


class InSqlite(Memory):
    """An SQLite database, in a store as an application would write it."""

    name = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="c-")

    def close(self) -> None:
        """See `Memory.close`."""
        self._folder.cleanup()

    def _made(self, caps: Caps) -> DocumentStore:
        return SqliteStore(Path(self._folder.name, "db"), caps, self._clock)


class AtServer:
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
        """See `Memory.new_store`."""
        self._stores.append(open_store(self.server.url, None, self.prefix, caps))
        return LimitedStore(self._stores[-1], lifetimes)

    def now(self) -> int:
        """See `Memory.now`."""
        return self.server.milliseconds()

    def let_pass(self, milliseconds: int) -> None:
        """See `Memory.let_pass`; a server's clock can only be waited for."""
        until = self.now() + milliseconds
        while (missing := until - self.now()) > 0:
            time.sleep(missing / 1000)

    def successor(self, where: Reference, user: Reference) -> Reference:
        """See `Memory.successor`."""
        del where
        return reference(user.bucket)

    def plant(self, reference: Reference, field: bytes, data: bytes) -> None:
        """See `Memory.plant`."""
        self.server.raw.hset(self.key(reference), field, data)

    def expire(self, reference: Reference) -> None:
        """See `Memory.expire`."""
        self.server.raw.pexpireat(self.key(reference), 1)

    def serve(self, app: Flask, **settings: Any) -> Unsticky:
        """See `Memory.serve`."""
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

    def close(self) -> None:
        """Give connections back."""
        for store in self._stores:
            store.close()


class InFakeredis(AtServer):
    """fakeredis, which users have in their own tests, with a clock that only a test moves.

    It takes some milliseconds for a call, and on a busy machine longer than the lifetimes of tests.
    """

    def __init__(self) -> None:
        self._seconds = time.time()
        fake: Any = SimpleNamespace(raw=fakeredis.FakeRedis(), milliseconds=self.now)
        super().__init__("fakeredis", fake)
        self._set_clock(SimpleNamespace(**vars(time) | {"time": lambda: self._seconds}))

    def now(self) -> int:
        """See `Memory.now`."""
        return int(self._seconds * 1000)

    def let_pass(self, milliseconds: int) -> None:
        """See `Memory.let_pass`."""
        self._seconds += milliseconds / 1000

    def close(self) -> None:
        """See `Memory.close`."""
        self._set_clock(time)
        super().close()

    @staticmethod
    def _set_clock(clock: object) -> None:
        for name in ("_helpers", "_socket._base", "commands_mixins.server_mixin"):
            vars(importlib.import_module(f"fakeredis.{name}"))["time"] = clock

    def new_store(self, lifetimes: Lifetimes = LIFETIMES, caps: Caps = CAPS) -> LimitedStore:
        """See `Memory.new_store`."""
        self._stores.append(RedisStore(client_like(self.server.raw), self.prefix, caps))
        return LimitedStore(self._stores[-1], lifetimes)

    def serve(self, app: Flask, **settings: Any) -> Unsticky:
        """See `Memory.serve`."""
        app.config["SESSION_REDIS"] = self.server.raw
        self.server.url = "client"
        return super().serve(app, **settings)


Place = Memory | AtServer
"""A store, and what a test does behind its back."""


def deadline() -> Deadline:
    """Return enough time for a call, also on a busy machine."""
    return Deadline(PATIENCE)


def operation() -> Operation:
    """Return an operation that was never sent."""
    return Operation(secrets.token_bytes(16), 1)


def reference(bucket: int = 7) -> Reference:
    """Return a reference without a session."""
    return Reference(bucket, secrets.token_bytes(16))


def make(store: LimitedStore) -> Reference:
    """Make a session with a counter and two entries."""
    where = reference()
    fields = {b"n": b"1", b"ma": b"1", b"mb": b"2"}
    writes = tuple(Write(name, value, None) for name, value in fields.items())
    store.apply(where, writes, create=True)
    return where
