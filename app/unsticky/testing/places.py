"""Where a test finds its store: an empty place, and what the test does there behind its back."""

from __future__ import annotations

import inspect
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from flask import Flask

from .. import Unsticky
from ..cookie import Reference
from ..limits import Lifetimes
from ..stores.base import (
    Bind,
    Caps,
    Change,
    Deadline,
    Finish,
    Gone,
    Listed,
    Missing,
    Move,
    Operation,
    Record,
    SetLimits,
    Store,
    Unreadable,
    Write,
    WriteOutcome,
    Written,
)
from ..stores.documents import Session, Tombstone, key_of
from ..stores.memory import DocumentStore
from ..stores.planning import Plan
from .promises import not_kept

Factory: TypeAlias = Callable[..., Store]
"""Makes the store that is tested: `factory(folder, caps)` or `factory(folder, caps, clock)`.

`folder` is an empty folder with a unique name, for a file or as the name of a database; a second
store that is made for the same folder has the same data, as in another process. `caps` are what a
session may grow to. If the store takes its time from a `clock`, a function that returns seconds
since 1970, tests move it; otherwise they wait.
"""

HOUR: Final = 3_600_000
LIFETIMES: Final = Lifetimes(idle=HOUR, absolute=24 * HOUR, unused=HOUR // 6)
CAPS: Final = Caps(fields=1024, bytes=65_536)
PATIENCE: Final = 30.0
"""Seconds that no call takes, also on a busy machine."""


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
        self._need_users()
        return self.store.sessions(user, deadline())

    def under(self, lifetimes: Lifetimes) -> LimitedStore:
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
        *,
        finish: Finish = None,
        **options: Any,
    ) -> WriteOutcome:
        """See `Store.write`; without a `name`, this write was never sent before."""
        if isinstance(finish, Bind) or (isinstance(finish, Move) and finish.bind is not None):
            self._need_users()
        name = name or operation()
        return self.store.write(
            reference, changes, name, self._lifetimes, deadline(), finish=finish, **options
        )

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
        self._need_users()
        name = name or operation()
        return self.store.end_all(
            user, keep, stamp, name, self._lifetimes, deadline(), forget=forget
        )

    def _need_users(self) -> None:
        if "users" in getattr(self.store, "lacks", ()):
            not_kept("users")


class Place:
    """A place where a store keeps its sessions, empty at first.

    Attributes:
        name: the kind of store.
        moves_clock: `let_pass` moves the store's clock, and does not wait.
    """

    name: str
    moves_clock = False

    def new_store(self, lifetimes: Lifetimes = LIFETIMES, caps: Caps = CAPS) -> LimitedStore:
        """Return a store; all stores of a place have the same data."""
        raise NotImplementedError

    def now(self) -> int:
        """Return the store's clock, in ms since 1970."""
        raise NotImplementedError

    def let_pass(self, milliseconds: int) -> None:
        """Let the store's clock advance."""
        raise NotImplementedError

    def successor(self, where: Reference, user: Reference) -> Reference:
        """Return a reference that a session can get when it is bound."""
        del where
        return reference(user.bucket)

    def plant(self, reference: Reference, field: bytes, data: bytes) -> None:
        """Overwrite stored bytes, as someone who can write to the store could."""
        raise NotImplementedError

    def expire(self, reference: Reference) -> None:
        """Let the session there, or its tombstone, expire."""
        raise NotImplementedError

    def leftovers(self, where: Reference) -> list[Any]:
        """Return the results that are kept for the bucket of a session, if a test can see them."""
        del where
        return []

    def serve(self, app: Flask, **settings: Any) -> Unsticky:
        """Give an application sessions in this store."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave nothing behind."""


class Made(Place):
    """A place of the stores that a factory makes."""

    def __init__(self, factory: Factory, name: str = "", parent: str | None = None) -> None:
        self.name = name or factory.__name__
        self.moves_clock = takes_clock(factory)
        self._parent = parent
        self._folder: Path | None = None
        self._factory = factory
        self._seconds = time.time()
        self._stores: list[Store] = []

    def new_store(self, lifetimes: Lifetimes = LIFETIMES, caps: Caps = CAPS) -> LimitedStore:
        """See `Place.new_store`; one that is its process's own is made once."""
        if self._stores and "processes" in getattr(self._stores[0], "lacks", ()):
            return LimitedStore(self._stores[0], lifetimes)
        clock = {"clock": self._clock} if self.moves_clock else {}
        self._stores.append(self._factory(self.folder, caps, **clock))
        return LimitedStore(self._stores[-1], lifetimes)

    @property
    def folder(self) -> Path:
        """What the factory is given."""
        self._folder = self._folder or Path(tempfile.mkdtemp(prefix="store-", dir=self._parent))
        return self._folder

    def now(self) -> int:
        """See `Place.now`; a clock that cannot be moved is read from a session that is made."""
        if self.moves_clock:
            return int(self._clock() * 1000)
        store = LimitedStore(self._stores[0], LIFETIMES)
        return store.apply(reference(), (), create=True).record.created

    def let_pass(self, milliseconds: int) -> None:
        """See `Place.let_pass`."""
        if self.moves_clock:
            self._seconds += milliseconds / 1000
        else:
            time.sleep(milliseconds / 1000)

    def plant(self, reference: Reference, field: bytes, data: bytes) -> None:
        """See `Place.plant`."""

        def planted(plan: Plan) -> None:
            found = plan.find(reference)
            assert isinstance(found, Session)
            plan.put(reference, replace(found, fields={**found.fields, field: data}))

        if not isinstance(self._stores[0], DocumentStore):
            pytest.skip("only bytes of a DocumentStore can be overwritten here")
        self._stores[0].carry_out(planted, deadline())

    def expire(self, reference: Reference) -> None:
        """See `Place.expire`."""

        def expired(plan: Plan) -> None:
            found = plan.get(key_of("session", reference))
            if isinstance(found, (Session, Tombstone)):
                plan.put(reference, replace(found, expires=0))

        if isinstance(self._stores[0], DocumentStore):
            self._stores[0].carry_out(expired, deadline())
        else:
            self.let_pass(2)
            changes = (SetLimits(None, 1),)
            LimitedStore(self._stores[0], LIFETIMES).apply(reference, changes)

    def serve(self, app: Flask, **settings: Any) -> Unsticky:
        """See `Place.serve`."""
        app.config.update(SECRET_KEY="x" * 20, **settings)
        caps = Caps(CAPS.fields, settings.get("UNSTICKY_MAX_BYTES", CAPS.bytes))
        return Unsticky(app, store=self.new_store(caps=caps).store)

    def close(self) -> None:
        """See `Place.close`."""
        for store in self._stores:
            store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _clock(self) -> float:
        return self._seconds


def takes_clock(factory: Factory) -> bool:
    """Tell whether a factory takes the store's clock."""
    return "clock" in inspect.signature(factory).parameters


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
