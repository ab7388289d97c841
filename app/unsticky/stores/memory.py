"""Stores of documents, and the one that keeps them in this process's memory."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import TypeVar

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
    Store,
    Unreadable,
    WriteOutcome,
)
from .documents import Document
from .planning import Plan

T = TypeVar("T")


class DocumentStore(Store):
    """A store without scripts: it only loads documents, and replaces them under a condition.

    A further store implements `carry_out`, `sweep`, `probe` and `close`, and has a `description`.
    """

    @abstractmethod
    def carry_out(self, call: Callable[[Plan], T], deadline: Deadline) -> T:
        """Make a plan, let `call` use it, store the documents that it replaces; return the answer.

        Either all of `plan.replaced` is stored, and no document that the plan loaded has changed
        since, or nothing is stored and all is done again:

            while not deadline.passed():
                plan = Plan(load, now, caps)
                answer = call(plan)
                if replace(plan.replaced):
                    return answer
        """

    def read(
        self, reference: Reference, lifetimes: Lifetimes, deadline: Deadline, *, slide: bool = True
    ) -> Record | Missing | Gone | Unreadable:
        """See `Store.read`."""
        return self.carry_out(lambda plan: plan.read(reference, lifetimes, slide=slide), deadline)

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
        return self.carry_out(
            lambda plan: plan.write(
                reference, changes, operation, lifetimes, create=create, finish=finish, load=load
            ),
            deadline,
        )

    def sessions(self, user: Reference, deadline: Deadline) -> tuple[Listed, ...]:
        """See `Store.sessions`."""
        return self.carry_out(lambda plan: plan.sessions(user), deadline)

    def end_all(
        self,
        user: Reference,
        keep: Reference | None,
        stamp: int | None,
        operation: Operation,
        lifetimes: Lifetimes,
        deadline: Deadline,
        *,
        forget: bool = False,
    ) -> tuple[Reference, ...]:
        """See `Store.end_all`; a second time it changes nothing, so no result is kept."""
        del operation, lifetimes
        return self.carry_out(lambda plan: plan.end_all(user, keep, stamp, forget=forget), deadline)

    def quarantine(
        self, reference: Reference, field: bytes, observed: bytes, deadline: Deadline
    ) -> bool:
        """See `Store.quarantine`."""
        return self.carry_out(lambda plan: plan.quarantine(reference, field, observed), deadline)


class MemoryStore(DocumentStore):
    """Sessions in this process's memory: for tests, development and single-process programs.

    Args:
        caps: what a session may grow to.
        clock: returns seconds since 1970.
    """

    description = "memory://"
    round_trips = 0
    lacks = frozenset({"processes"})

    def __init__(self, caps: Caps, clock: Callable[[], float] = time.time) -> None:
        self._caps = caps
        self._clock = clock
        self._lock = threading.Lock()
        self._documents: dict[str, Document] = {}
        self._cleared_at = 0

    def carry_out(self, call: Callable[[Plan], T], deadline: Deadline) -> T:
        """See `DocumentStore.carry_out`; under a lock, so that nothing else changes meanwhile."""
        del deadline
        with self._lock:
            now = int(self._clock() * 1000)
            self._clear(now)
            plan = Plan(self._documents.get, now, self._caps)
            answer = call(plan)
            self._documents.update(plan.replaced)
            return answer

    def sweep(
        self, cursor: bytes, deadline: Deadline
    ) -> tuple[bytes | None, tuple[Reference, ...]]:
        """See `Store.sweep`; all in one step."""
        del cursor
        return None, self.carry_out(lambda plan: plan.end_each(self._documents), deadline)

    def probe(self, deadline: Deadline) -> None:
        """See `Store.probe`."""
        del deadline

    def close(self) -> None:
        """See `Store.close`."""

    def _clear(self, now: int) -> None:
        """Forget what expired, once a second."""
        if now >= self._cleared_at + 1000:
            self._cleared_at = now
            self._documents = {
                key: document
                for key, document in self._documents.items()
                if document.expires is None or document.expires > now
            }
