"""Sessions in this process's memory: for tests, development and single-process programs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..cookie import Reference
from ..limits import Lifetimes
from .base import (
    Caps,
    Change,
    Deadline,
    Finish,
    Gone,
    Listed,
    Missing,
    Operation,
    Record,
    WriteOutcome,
)
from .documents import Document
from .planning import Plan


class MemoryStore:
    """A store that plans each call on a dictionary of documents, under one lock.

    Args:
        caps: what a session may grow to.
        clock: returns seconds since 1970.
    """

    description = "memory://"
    round_trips = 0

    def __init__(self, caps: Caps, clock: Callable[[], float] = time.time) -> None:
        self._caps = caps
        self._clock = clock
        self._lock = threading.Lock()
        self._documents: dict[str, Document] = {}
        self._cleared_at = 0

    def read(
        self, reference: Reference, lifetimes: Lifetimes, deadline: Deadline, *, slide: bool = True
    ) -> Record | Missing | Gone:
        """See `Store.read`."""
        del deadline
        with self._planned() as plan:
            return plan.read(reference, lifetimes, slide=slide)

    def write(
        self,
        reference: Reference,
        changes: tuple[Change, ...],
        operation: Operation,
        lifetimes: Lifetimes,
        deadline: Deadline,
        *,
        create: bool = False,
        finish: Finish = None,
        load: bool = False,
    ) -> WriteOutcome:
        """See `Store.write`."""
        del deadline
        with self._planned() as plan:
            return plan.write(
                reference, changes, operation, lifetimes, create=create, finish=finish, load=load
            )

    def sessions(self, user: Reference, deadline: Deadline) -> tuple[Listed, ...]:
        """See `Store.sessions`."""
        del deadline
        with self._planned() as plan:
            return plan.sessions(user)

    def end_all(
        self,
        user: Reference,
        keep: Reference | None,
        stamp: int | None,
        operation: Operation,
        lifetimes: Lifetimes,
        deadline: Deadline,
    ) -> tuple[Reference, ...]:
        """See `Store.end_all`."""
        del operation, lifetimes, deadline
        with self._planned() as plan:
            return plan.end_all(user, keep, stamp)

    def sweep(
        self, cursor: bytes, deadline: Deadline
    ) -> tuple[bytes | None, tuple[Reference, ...]]:
        """See `Store.sweep`; all in one step."""
        del cursor, deadline
        with self._planned() as plan:
            return None, plan.end_each(self._documents)

    def quarantine(
        self, reference: Reference, field: bytes, observed: bytes, deadline: Deadline
    ) -> bool:
        """See `Store.quarantine`."""
        del deadline
        with self._planned() as plan:
            return plan.quarantine(reference, field, observed)

    def probe(self, deadline: Deadline) -> None:
        """See `Store.probe`."""
        del deadline

    def close(self) -> None:
        """See `Store.close`."""

    @contextmanager
    def _planned(self) -> Iterator[Plan]:
        """Replace the documents that the plan names when it is complete."""
        with self._lock:
            now = int(self._clock() * 1000)
            self._clear(now)
            plan = Plan(self._documents.get, now, self._caps)
            yield plan
            self._documents.update(plan.replaced)

    def _clear(self, now: int) -> None:
        """Forget what expired, once a second."""
        if now >= self._cleared_at + 1000:
            self._cleared_at = now
            self._documents = {
                key: document
                for key, document in self._documents.items()
                if document.expires is None or document.expires > now
            }
