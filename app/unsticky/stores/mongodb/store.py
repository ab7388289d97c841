"""The store of sessions in MongoDB."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from ...cookie import Reference
from ...errors import StoreUnavailable
from ...limits import Lifetimes
from ..base import (
    Bind,
    Caps,
    Change,
    Deadline,
    Finish,
    Gone,
    Missing,
    Move,
    Operation,
    Record,
    TooLarge,
    Unreadable,
    WriteOutcome,
    Written,
)
from ..documents import Document, Session, key_of
from ..memory import DocumentStore
from ..planning import Plan, operation_name
from . import pipelines
from .bson_documents import NotASessionError, results_of, session_document
from .calls import changed, looked, set_aside, transacted
from .server import Database, Server

T = TypeVar("T")

_BATCH: Final = 10
"""How many sessions a sweep looks at in one step."""


class MongoStore(DocumentStore):
    """Sessions in a replica set of MongoDB.

    A read is one call; so is a write that binds and moves nothing (`pipelines`). What concerns a
    user, or two references, is a transaction. A change is answered when a majority has it in its
    journal, so that no fail-over undoes it.

    Args:
        url: see `Server`.
        prefix: what the names of all collections begin with.
        caps: what a session may grow to.
    """

    def __init__(self, url: str, prefix: str, caps: Caps) -> None:
        self._server = Server(url, prefix)
        self._caps = caps

    @property
    def description(self) -> str:
        """See `Store.description`."""
        return self._server.address

    @property
    def round_trips(self) -> int:
        """How many calls this process has sent."""
        return self._server.round_trips

    def read(
        self, reference: Reference, lifetimes: Lifetimes, deadline: Deadline, *, slide: bool = True
    ) -> Record | Missing | Gone | Unreadable:
        """See `Store.read`; a slide that is due is a second call."""
        try:
            raw = self._server.run(lambda db: looked(db, reference), deadline)
            before = self._plan(reference, raw)
            due = before.read(reference, lifetimes, slide=slide)
            if not isinstance(due, Record) or not due.slid:
                return due
            pipeline = pipelines.touching(lifetimes)
            raw = self._server.run(lambda db: changed(db, reference, pipeline), deadline)
            after = self._plan(reference, raw).read(reference, lifetimes, slide=False)
        except NotASessionError:
            return Unreadable()
        if not isinstance(after, Record):
            return after
        return after._replace(seen=due.seen, slid=after.seen != due.seen)

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
        """See `Store.write`; what binds, moves or makes once is a transaction."""
        try:
            if operation.makes_once or isinstance(finish, Move | Bind) or (create and finish):
                return super().write(
                    reference,
                    changes,
                    operation,
                    lifetimes,
                    deadline,
                    create=create,
                    finish=finish,
                    load=load,
                )
            name = operation_name(reference, changes, operation, finish)
            pipeline = pipelines.writing(
                bytes.fromhex(name),
                changes,
                operation,
                lifetimes,
                self._caps,
                create=create,
                finish=finish,
            )
            raw = self._server.run(
                lambda db: changed(db, reference, pipeline, create=create, commits=True), deadline
            )
            outcome = self._fresh(raw, name, operation, load=load) or self._plan(
                reference, raw
            ).write(
                reference, changes, operation, lifetimes, create=create, finish=finish, load=load
            )
        except NotASessionError:
            return Unreadable()
        if isinstance(outcome, Written) and raw is not None:
            if name not in (kept := results_of(raw)):
                if len(kept) >= pipelines.MOST_ANSWERS:
                    return TooLarge("operations", len(kept) + 1, pipelines.MOST_ANSWERS)
                raise StoreUnavailable("the store did not apply a change that it could apply")
            if raw.get("seen") == raw["at"] and finish is None:
                outcome = replace(outcome, record=outcome.record._replace(slid=True))
            if "kind" in raw and raw.get("user") is not None:
                self._leave(reference, raw, deadline)
        return outcome

    @staticmethod
    def _fresh(
        raw: Mapping[str, Any] | None, name: str, operation: Operation, *, load: bool
    ) -> Written | None:
        """Return what an operation did just now, None if it did nothing, or came before."""
        found = session_document(raw) if raw is not None else None
        if raw is None or found is None:
            return None
        first = results_of(raw).get(name)
        if first is None or first.expires != raw["at"] + operation.kept:
            return None
        if not isinstance(found, Session):
            return first.written
        return replace(
            first.written, record=found.record(slid=first.written.record.slid, load=load)
        )

    def carry_out(self, call: Callable[[Plan], T], deadline: Deadline) -> T:
        """See `DocumentStore.carry_out`; in a transaction."""
        while True:
            answer = self._server.run(lambda db: transacted(db, call, self._caps), deadline)
            if answer is not None:
                return answer[0]
            if deadline.remaining <= 0:
                raise StoreUnavailable("other requests changed the same sessions all the time")
            with deadline:
                # At random, so that two that met do not meet again.
                time.sleep(min(random.uniform(0, 0.003), deadline.left()))

    def quarantine(
        self, reference: Reference, field: bytes, observed: bytes, deadline: Deadline
    ) -> bool:
        """See `Store.quarantine`."""
        if field or observed:
            with contextlib.suppress(NotASessionError):
                return super().quarantine(reference, field, observed, deadline)
            return False
        return self._server.run(lambda db: set_aside(db, reference), deadline)

    def sweep(
        self, cursor: bytes, deadline: Deadline
    ) -> tuple[bytes | None, tuple[Reference, ...]]:
        """See `Store.sweep`; ten sessions in each step."""
        after = "" if cursor == b"0" else cursor.decode()

        def listed(db: Database) -> list[str]:
            found = db["sessions"].find({"_id": {"$gt": after}}, {"_id": 1})
            return [raw["_id"] for raw in found.sort("_id", 1).limit(_BATCH)]

        handles = self._server.run(listed, deadline)
        keys = [f"session:{handle}" for handle in handles]
        ended = self.carry_out(lambda plan: plan.end_each(keys), deadline) if keys else ()
        return (handles[-1].encode() if len(handles) == _BATCH else None), ended

    def probe(self, deadline: Deadline) -> None:
        """See `Store.probe`."""
        now = [{"$set": {"ttl": "$$NOW"}}]
        self._server.run(
            lambda db: db["results"].find_one_and_update({"_id": "probe"}, now, upsert=True),
            deadline,
        )

    def close(self) -> None:
        """See `Store.close`."""
        self._server.close()

    def _plan(self, reference: Reference, raw: Mapping[str, Any] | None) -> Plan:
        """Return a plan of one session as it was when the server's clock was `at`."""
        found = None if raw is None else session_document(raw)
        if isinstance(found, Session):
            found = replace(found, results=results_of(raw or {}))
        results = results_of(raw or {})

        def load(key: str) -> Document | None:
            kind, _, name = key.partition(":")
            if kind == "result":
                return results.get(name)
            return found if key == key_of("session", reference) else None

        return Plan(load, (raw or {}).get("at", 0), self._caps)

    def _leave(self, reference: Reference, ended: Mapping[str, Any], deadline: Deadline) -> None:
        """Remove an ended session from its user's index; a list would find it dead, too."""
        entry = f"entries.{reference.handle}"
        # Not that of a later session of this name.
        found = {"_id": ended["user"], entry: ended["created"]}
        with contextlib.suppress(StoreUnavailable):
            self._server.run(
                lambda db: db["users"].update_one(found, {"$unset": {entry: ""}}), deadline
            )
