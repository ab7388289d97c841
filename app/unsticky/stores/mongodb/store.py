"""The store of sessions in MongoDB."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from bson import ObjectId
from pymongo import ReturnDocument, errors
from pymongo.read_concern import ReadConcern

from ...cookie import Reference
from ...errors import StoreUnavailable, repeatable
from ...limits import TOMBSTONE_LIFETIME_MS, Lifetimes
from ..base import (
    QUARANTINE_LIFETIME_MS,
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
    Unreadable,
    WriteOutcome,
    Written,
)
from ..documents import Document, Index, Result, Session, Tombstone, key_of
from ..memory import DocumentStore
from ..planning import Plan, operation_name
from . import pipelines
from .bson_documents import (
    NotASessionError,
    date,
    index_document,
    packed_document,
    raw_index,
    raw_packed,
    raw_session,
    results_of,
    session_document,
)
from .server import Database, Server

T = TypeVar("T")

_BATCH: Final = 100
"""How many sessions a sweep looks at in one step."""
_COLLECTION: Final = {
    "session": "sessions",
    "index": "users",
    "result": "results",
    "quarantine": "quarantine",
}


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
            raw = self._server.run(lambda db: _looked(db, reference), deadline, changes=False)
            before = self._plan(reference, raw)
            due = before.read(reference, lifetimes, slide=slide)
            if not isinstance(due, Record) or not due.slid:
                return due
            pipeline = pipelines.touching(lifetimes)
            raw = self._server.run(
                lambda db: _changed(db, reference, pipeline, create=False), deadline, changes=False
            )
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
                lambda db: _changed(db, reference, pipeline, create=create), deadline
            )
            outcome = self._fresh(raw, name, operation, load=load) or self._plan(
                reference, raw
            ).write(
                reference, changes, operation, lifetimes, create=create, finish=finish, load=load
            )
        except NotASessionError:
            return Unreadable()
        if isinstance(outcome, Written) and raw is not None:
            if name not in results_of(raw):
                raise StoreUnavailable("the store did not apply a change that it could apply")
            if raw.get("seen") == raw["at"] and finish is None:
                outcome = replace(outcome, record=outcome.record._replace(slid=True))
            if "kind" in raw and raw.get("user") is not None:
                self._leave(reference, raw["user"], deadline)
        return outcome

    @staticmethod
    def _fresh(
        raw: Mapping[str, Any] | None, name: str, operation: Operation, *, load: bool
    ) -> Written | None:
        """Return what an operation did just now, None if it did nothing, or came before."""
        first = results_of(raw or {}).get(name)
        if raw is None or first is None or first.expires != raw["at"] + operation.kept:
            return None
        found = session_document(raw)
        if not isinstance(found, Session):
            return first.written
        return replace(
            first.written, record=found.record(slid=first.written.record.slid, load=load)
        )

    def carry_out(self, call: Callable[[Plan], T], deadline: Deadline) -> T:
        """See `DocumentStore.carry_out`; in a transaction."""
        while True:
            answer = self._server.run(lambda db: _transacted(db, call, self._caps), deadline)
            if answer is not None:
                return answer[0]
            if deadline.remaining <= 0:
                raise StoreUnavailable("other requests changed the same sessions all the time")
            with deadline:
                time.sleep(min(random.uniform(0, 0.003), deadline.left()))

    def quarantine(
        self, reference: Reference, field: bytes, observed: bytes, deadline: Deadline
    ) -> bool:
        """See `Store.quarantine`."""
        if field or observed:
            with contextlib.suppress(NotASessionError):
                return super().quarantine(reference, field, observed, deadline)
            return False
        return self._server.run(lambda db: _set_aside(db, reference), deadline)

    def sweep(
        self, cursor: bytes, deadline: Deadline
    ) -> tuple[bytes | None, tuple[Reference, ...]]:
        """See `Store.sweep`; a hundred sessions in each step."""
        after = "" if cursor == b"0" else cursor.decode()

        def listed(db: Database) -> list[str]:
            found = db["sessions"].find({"_id": {"$gt": after}}, {"_id": 1})
            return [raw["_id"] for raw in found.sort("_id", 1).limit(_BATCH)]

        with repeatable():
            handles = self._server.run(listed, deadline, changes=False)
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

    def _leave(self, reference: Reference, user: str, deadline: Deadline) -> None:
        """Remove an ended session from its user's index, which no reader takes it for alive in."""
        entry = {f"entries.{reference.handle}": ""}
        with contextlib.suppress(StoreUnavailable), repeatable():
            self._server.run(
                lambda db: db["users"].update_one({"_id": user}, {"$unset": entry}), deadline
            )


def _looked(db: Database, reference: Reference) -> Mapping[str, Any] | None:
    """Return a session's document, with the server's clock as `at`."""
    stages = [{"$match": {"_id": reference.handle}}, {"$set": {"at": {"$toLong": "$$NOW"}}}]
    found: list[Mapping[str, Any]] = list(db.confirmed("sessions").aggregate(stages))
    return found[0] if found else None


def _changed(
    db: Database, reference: Reference, pipeline: pipelines.Pipeline, *, create: bool
) -> Mapping[str, Any] | None:
    """Return a session's document after a pipeline, None if there was and is none."""
    while True:
        try:
            found: Mapping[str, Any] | None = db["sessions"].find_one_and_update(
                {"_id": reference.handle},
                pipeline,
                upsert=create,
                return_document=ReturnDocument.AFTER,
            )
        except errors.DuplicateKeyError:
            continue  # another request has just made it
        return found


def _transacted(db: Database, call: Callable[[Plan], T], caps: Caps) -> tuple[T] | None:
    """Carry out a plan in a transaction; return its answer, None if it was in vain."""
    now = db.now()
    loaded: dict[str, Mapping[str, Any] | None] = {}
    with db.client.start_session() as session:

        def load(key: str) -> Document | None:
            kind, _, name = key.partition(":")
            # Locked from now on: others wait, and this transaction is in vain only if it must wait.
            raw = db[_COLLECTION[kind]].find_one_and_update(
                {"_id": name}, {"$set": {"lock": ObjectId()}}, session=session
            )
            loaded[key] = raw
            return None if raw is None else _document(kind, raw)

        session.start_transaction(ReadConcern("snapshot"), db.concern)
        try:
            plan = Plan(load, now, caps)
            answer = call(plan)
            for key, document in plan.replaced.items():
                _replace(db, session, key, document, loaded.get(key), now)
            session.commit_transaction()
        except errors.PyMongoError as error:
            if error.has_error_label("TransientTransactionError"):
                with contextlib.suppress(errors.PyMongoError):
                    session.abort_transaction()
                return None
            raise
    return (answer,)


def _document(kind: str, raw: Mapping[str, Any]) -> Document | None:
    if kind == "session":
        return session_document(raw)
    return index_document(raw) if kind == "index" else packed_document(raw)


def _replace(
    db: Database,
    session: Any,
    key: str,
    document: Document,
    before: Mapping[str, Any] | None,
    now: int,
) -> None:
    kind, _, name = key.partition(":")
    collection = db[_COLLECTION[kind]]
    match document:
        case Tombstone() if kind == "index":  # it is forgotten
            collection.delete_one({"_id": name}, session=session)
            return
        case Index():
            raw = raw_index(document)
        case Session() | Tombstone() if kind == "session":
            raw = raw_session(document, before, now)
        case Result() | Session():
            raw = raw_packed(document)
    collection.replace_one({"_id": name}, raw, upsert=True, session=session)


def _set_aside(db: Database, reference: Reference) -> bool:
    """Set a document aside that is not a session, and leave a tombstone."""
    now = db.now()
    with (
        db.client.start_session() as session,
        session.start_transaction(ReadConcern("snapshot"), db.concern),
    ):
        raw = db["sessions"].find_one({"_id": reference.handle}, session=session)
        try:
            if raw is None or session_document(raw) is not None:
                return False
        except NotASessionError:
            pass
        aside = {"document": raw, "ttl": date(now + QUARANTINE_LIFETIME_MS)}
        db["quarantine"].replace_one({"_id": reference.handle}, aside, upsert=True, session=session)
        tombstone = raw_session(Tombstone("corrupt", now + TOMBSTONE_LIFETIME_MS), None, now)
        db["sessions"].replace_one({"_id": reference.handle}, tombstone, session=session)
    return True
