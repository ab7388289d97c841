"""What a worker did or tried: a line in its journal before each operation, and one after."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """What an operation does to its session; its tag is what it leaves there."""

    BEGIN = "begin"
    """Creates a session: `lineage` is the tag, `ledger` and `log` are empty."""
    ADD = "add"
    """Adds 1 to the entry of that tag in the map `tags`."""
    PARCEL = "parcel"
    """The same in the map `parcels`."""
    TOTAL = "total"
    """Adds 1 to the counter `total`."""
    SET = "set"
    """Sets a plain key that nothing else sets, without reading it."""
    REPLACE = "replace"
    """Reads `note` and sets it to the tag."""
    MERGE = "merge"
    """Puts the tag into the dict `ledger`."""
    LOG = "log"
    """Appends the tag to the list `log`, in a transaction."""
    TAKE = "take"
    """Takes all parcels, into the journal."""
    MOVE = "move"
    """Takes all entries of `tags` into a plain key that nothing else sets, in a transaction."""
    ROTATE = "rotate"
    DESTROY = "destroy"


class Outcome(StrEnum):
    """The answer that the worker got; UNKNOWN also if it was killed before the answer came."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass
class Operation:
    """One operation as its worker saw it.

    Attributes:
        tag: unique among all.
        handle: the handle of the session in the cookie, empty if there was none.
        started, ended: seconds of the system's monotonic clock, which all processes share.
        landed: the handle of the session in the answer's cookie, if there was one.
        taken: what a take returned.
        replaced: the note that was read before it was set.
        code: the code of the problem, if it was refused or its outcome is unknown.
    """

    tag: str
    kind: Kind
    handle: str
    started: float
    outcome: Outcome = Outcome.UNKNOWN
    ended: float = float("inf")
    landed: str = ""
    taken: dict[str, int] = field(default_factory=dict)
    replaced: str | None = None
    code: str = ""


class Journal:
    """A file that survives its process: one system call writes each whole line."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def intend(self, operation: Operation) -> None:
        """Note an operation before it is tried."""
        self._write(operation, "kind", "handle", "started")

    def conclude(self, operation: Operation) -> None:
        """Note its outcome."""
        self._write(operation, "outcome", "ended", "landed", "taken", "replaced", "code")

    def _write(self, operation: Operation, *names: str) -> None:
        entry = {name: getattr(operation, name) for name in ("tag", *names)}
        os.write(self._file, json.dumps(entry).encode() + b"\n")


def read_journals(paths: Iterable[Path]) -> list[Operation]:
    """Return all operations of some journals."""
    operations: dict[str, Operation] = {}
    for entry in _entries(paths):
        tag = entry["tag"]
        if tag not in operations:
            operations[tag] = Operation(tag, Kind(entry["kind"]), entry["handle"], entry["started"])
        else:
            entry["outcome"] = Outcome(entry["outcome"])
            vars(operations[tag]).update(entry)
    return list(operations.values())


def _entries(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        for line in path.read_bytes().splitlines():
            yield json.loads(line)
