"""The documents of the stores as MongoDB keeps them.

Sessions and their tombstones are documents that the server's own expressions can read
(`pipelines`), because a write is carried out there. Their `_id` is the handle. A field's name is in
hex, after an x, because BSON names hold no NUL; a counter is an integer, every other value binary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bson import Int64
from bson.binary import Binary

from ...cookie import Reference
from ...errors import StoreUnavailable
from ..base import COUNTER_LIMIT, ENVELOPE, Record, Written
from ..documents import Damaged, Document, Index, Result, Session, Tombstone, packed, unpacked

VERSION: Final = int(ENVELOPE)
UNCOUNTED: Final = ("_id", "at", "lock", "ttl")
"""What a document may have that holds nothing: it remains of a write that was refused."""

_TIMES: Final = ("created", "ends_at")
_CANONICAL: Final = re.compile(rb"0|-?[1-9][0-9]{0,15}")


class NotASessionError(Exception):
    """What is stored there is not a session of this library."""


def hexed(name: bytes) -> str:
    """Return the name of a field, or of a prefix of fields, as a key of BSON."""
    return f"x{name.hex()}"


def to_bson(value: bytes) -> Int64 | Binary:
    """Return a field's value: an integer if it is one within the limits of a counter."""
    if _CANONICAL.fullmatch(value) and abs(int(value)) <= COUNTER_LIMIT:
        return Int64(value)
    return Binary(value)


def from_bson(value: Any) -> bytes:
    """Return the bytes that `to_bson` was given."""
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return b"%d" % value
    raise NotASessionError


def fields_of(pairs: Iterable[tuple[str, Any]]) -> dict[bytes, bytes]:
    """Return fields as they were before `hexed` and `to_bson`."""
    return {bytes.fromhex(name[1:]): from_bson(value) for name, value in pairs}


def session_document(raw: Mapping[str, Any]) -> Session | Tombstone | None:
    """Return what a document of the sessions' collection holds, None if it holds nothing.

    Raises:
        NotASessionError: it is not one of this library.
        StoreUnavailable: another release wrote it.
    """
    if not raw.keys() - set(UNCOUNTED):
        return None
    version = raw.get("e")
    if isinstance(version, int) and version != VERSION:
        raise StoreUnavailable("a newer release wrote this session, and one must answer")
    try:
        if "kind" in raw:
            return Tombstone(str(raw["kind"]), int(raw["expires"]))
        user = raw.get("user")
        return Session(
            created=_number(raw["created"]),
            ends_at=_number(raw["ends_at"]),
            expires=_number(raw["expires"]),
            seen=_optional(raw.get("seen")),
            idle=_optional(raw.get("idle")),
            absolute=_optional(raw.get("absolute")),
            user=None if user is None else _reference(user),
            name=bytes(raw.get("name", b"")),
            label=bytes(raw.get("label", b"")),
            fields=fields_of(raw["fields"].items()),
            results=results_of(raw, of_session=True),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise NotASessionError from error


def results_of(raw: Mapping[str, Any], *, of_session: bool = False) -> dict[str, Result]:
    """Return the answers of operations that are kept beside a session or its tombstone, by name.

    With `of_session`, only those that end with the session.
    """
    try:
        ops = [each for each in raw.get("ops", ()) if each["w"] or not of_session]
        return {each["n"].hex(): _result(each, raw) for each in ops}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise NotASessionError from error


def raw_session(
    document: Session | Tombstone, before: Mapping[str, Any] | None, now: int
) -> dict[str, Any]:
    """Return the document that replaces `before`, whose answers outlive the session."""
    kept = [each for each in (before or {}).get("ops", ()) if not each["w"] and each["e"] > now]
    raw: dict[str, Any] = {"e": VERSION, "expires": Int64(document.expires), "at": Int64(now)}
    raw["ttl"] = date(document.expires)
    if isinstance(document, Tombstone):
        times = {name: each for name, each in (before or {}).items() if name in _TIMES}
        return raw | times | {"kind": document.kind, "ops": kept}
    kept += [_raw_result(name, each) for name, each in document.results.items()]
    raw |= {
        "created": Int64(document.created),
        "ends_at": Int64(document.ends_at),
        "fields": {hexed(name): to_bson(value) for name, value in document.fields.items()},
        "ops": kept,
    }
    numbers = {"seen": document.seen, "idle": document.idle, "absolute": document.absolute}
    raw |= {name: Int64(value) for name, value in numbers.items() if value is not None}
    texts = {"name": document.name, "label": document.label}
    raw |= {name: Binary(value) for name, value in texts.items() if value}
    return raw if document.user is None else raw | {"user": document.user.handle}


def raw_index(index: Index) -> dict[str, Any]:
    """Return a user's index."""
    entries = {reference.handle: Int64(at) for reference, at in index.entries.items()}
    stamp = {} if index.stamp is None else {"stamp": Int64(index.stamp)}
    return {"e": VERSION, "entries": entries} | stamp


def index_document(raw: Mapping[str, Any]) -> Index:
    """Return what `raw_index` made."""
    entries = {_reference(name): int(at) for name, at in raw.get("entries", {}).items()}
    return Index(entries, _optional(raw.get("stamp")))


def raw_packed(document: Result | Session | Damaged) -> dict[str, Any]:
    """Return a document that is only kept, until it expires."""
    return {"data": Binary(packed(document)), "ttl": date(document.expires or 0)}


def packed_document(raw: Mapping[str, Any]) -> Document:
    """Return what `raw_packed` made."""
    return unpacked(bytes(raw.get("data", b"")))


def date(milliseconds: int) -> datetime:
    """Return a time as the index that cleans needs it."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC)


def _result(raw: Mapping[str, Any], session: Mapping[str, Any]) -> Result:
    record = raw.get("rec")
    if record is None:  # that of the session, but for whether its idle limit slid
        record = {"c": session["created"], "e": session["ends_at"], "sl": "s" in raw}
    results = tuple(
        fields_of((pair["k"], pair["v"]) for pair in each)
        if isinstance(each, list)
        else _number(each)
        for each in raw["r"]
    )
    was = Record(
        created=_number(record["c"]),
        ends_at=_number(record["e"]),
        seen=_optional(record.get("s")),
        slid=record["sl"],
        fields=None,
        label=bytes(record.get("l", b"")),
        idle=_optional(record.get("i")),
        user=_bytes(record.get("u")),
    )
    ended = tuple(_reference(handle) for handle in raw.get("d", ()))
    return Result(int(raw["e"]), Written(was, results, ended))


def _raw_result(name: str, result: Result) -> dict[str, Any]:
    was, written = result.written.record, result.written
    record: dict[str, Any] = {
        "c": was.created,
        "e": was.ends_at,
        "s": was.seen,
        "sl": was.slid,
        "i": was.idle,
    }
    record |= {"l": Binary(was.label), "u": None if was.user is None else Binary(was.user)}
    results = [
        each
        if isinstance(each, int)
        else [{"k": hexed(field), "v": to_bson(value)} for field, value in each.items()]
        for each in written.results
    ]
    ended = {"d": [reference.handle for reference in written.ended]} if written.ended else {}
    return {
        "n": bytes.fromhex(name),
        "e": Int64(result.expires),
        "w": True,
        "r": results,
        "rec": record,
    } | ended


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise NotASessionError
    return int(value)


def _optional(value: Any) -> int | None:
    return None if value is None else _number(value)


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


def _reference(handle: str) -> Reference:
    reference = Reference.from_handle(handle)
    if reference is None:
        raise NotASessionError
    return reference
