"""The calls of the store: one on one document, or a transaction on several."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import pymongo
from bson import ObjectId
from pymongo import ReturnDocument, errors
from pymongo.read_concern import ReadConcern

from ...cookie import Reference
from ...limits import TOMBSTONE_LIFETIME_MS
from ..base import QUARANTINE_LIFETIME_MS, Caps
from ..documents import Damaged, Document, Index, Result, Session, Tombstone
from ..planning import Plan
from .bson_documents import (
    NotASessionError,
    date,
    index_document,
    packed_document,
    raw_index,
    raw_packed,
    raw_session,
    session_document,
)
from .expressions import Pipeline
from .server import Database

T = TypeVar("T")

_BEFORE_COMMIT: Final = 0.7
"""The part of a call's time that a transaction may take until it commits."""
_COLLECTION: Final = {
    "session": "sessions",
    "index": "users",
    "result": "results",
    "quarantine": "quarantine",
}


def looked(db: Database, reference: Reference) -> Mapping[str, Any] | None:
    """Return a session's document, with the server's clock as `at`."""
    clock = {"at": {"$toLong": "$$NOW"}}
    stages = [{"$match": {"_id": reference.handle}}, {"$set": clock}, {"$unset": "ops"}]
    found: list[Mapping[str, Any]] = list(db.confirmed("sessions").aggregate(stages))
    return found[0] if found else None


def changed(
    db: Database,
    reference: Reference,
    pipeline: Pipeline,
    *,
    create: bool = False,
    commits: bool = False,
) -> Mapping[str, Any] | None:
    """Return a session's document after a pipeline, None if there was and is none."""
    db.committing = commits
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


def transacted(db: Database, call: Callable[[Plan], T], caps: Caps) -> tuple[T] | None:
    """Carry out a plan in a transaction; return its answer, None if another request was faster."""
    now = db.now()
    loaded: dict[str, Mapping[str, Any] | None] = {}
    with db.client.start_session() as session:

        def load(key: str) -> Document | None:
            kind, _, name = key.partition(":")
            # Locked from now on. One that is absent is protected by its insertion.
            raw = db[_COLLECTION[kind]].find_one_and_update(
                {"_id": name}, {"$set": {"lock": ObjectId()}}, session=session
            )
            try:
                found = None if raw is None else _document(kind, raw)
            except NotASessionError:
                return Damaged(b"")
            loaded[key] = raw
            return found

        session.start_transaction(ReadConcern("snapshot"), db.concern)
        try:
            # Time is left to give the locks back, which others would wait for.
            with pymongo.timeout(db.seconds * _BEFORE_COMMIT):
                plan = Plan(load, now, caps)
                answer = call(plan)
                for key, document in plan.replaced.items():
                    _replace(db, session, key, document, loaded.get(key), now)
            db.committing = True
            session.commit_transaction()
        except errors.PyMongoError as error:
            if session.in_transaction:
                with contextlib.suppress(errors.PyMongoError):
                    session.abort_transaction()
            if isinstance(error, errors.OperationFailure) and error.has_error_label(
                "TransientTransactionError"
            ):
                db.committing, db.sent = False, 0  # it was not committed
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
        case Result() | Session() | Damaged():
            raw = raw_packed(document)
    collection.replace_one({"_id": name}, raw, upsert=True, session=session)


def set_aside(db: Database, reference: Reference) -> bool:
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
