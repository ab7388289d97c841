"""A store as an application could write one: its documents are rows of an SQLite database."""

import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from unsticky.errors import StoreUnavailable
from unsticky.stores import (
    Caps,
    Deadline,
    Document,
    DocumentStore,
    Plan,
    Reference,
    packed,
    unpacked,
)

T = TypeVar("T")

_TABLE = """CREATE TABLE IF NOT EXISTS documents
    (key TEXT PRIMARY KEY, version INTEGER NOT NULL, expires INTEGER, data BLOB NOT NULL)"""


class SqliteStore(DocumentStore):
    """Sessions in an SQLite database.

    Args:
        path: the database's file.
        caps: what a session may grow to.
        clock: returns seconds since 1970.
    """

    def __init__(self, path: Path, caps: Caps, clock: Callable[[], float]) -> None:
        self._path, self._caps, self._clock = path, caps, clock
        with closing(self._connected()) as database:
            database.execute(_TABLE)

    @property
    def description(self) -> str:
        """See `Store.description`."""
        return f"sqlite:{self._path}"

    def carry_out(self, call: Callable[[Plan], T], deadline: Deadline) -> T:
        """See `DocumentStore.carry_out`."""
        try:
            with deadline, closing(self._connected()) as database:
                while not deadline.passed():
                    versions: dict[str, int] = {}
                    now = int(self._clock() * 1000)

                    def load(key: str, versions: dict[str, int] = versions) -> Document | None:
                        row = _row(database, key)
                        versions[key] = row[0]
                        return unpacked(row[1]) if row[0] else None

                    plan = Plan(load, now, self._caps)
                    answer = call(plan)
                    if not plan.replaced or _replace(database, versions, plan.replaced):
                        return answer
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error
        raise StoreUnavailable("other requests changed the same session all the time")

    def sweep(
        self, cursor: bytes, deadline: Deadline
    ) -> tuple[bytes | None, tuple[Reference, ...]]:
        """See `Store.sweep`."""
        del cursor
        with closing(self._connected()) as database:
            keys = [key for (key,) in database.execute("SELECT key FROM documents")]
        return None, self.carry_out(lambda plan: plan.end_each(keys), deadline)

    def probe(self, deadline: Deadline) -> None:
        """See `Store.probe`; clears what expired, too."""
        now = int(self._clock() * 1000)
        with deadline, closing(self._connected()) as database:
            database.execute("DELETE FROM documents WHERE expires <= ?", (now,))

    def close(self) -> None:
        """See `Store.close`."""

    def _connected(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, isolation_level=None)
        database.execute("PRAGMA synchronous = OFF")  # a test's data need not survive a power cut
        return database


def _row(database: sqlite3.Connection, key: str) -> tuple[int, bytes]:
    found = database.execute("SELECT version, data FROM documents WHERE key = ?", (key,))
    return found.fetchone() or (0, b"")


def _replace(
    database: sqlite3.Connection, versions: dict[str, int], documents: dict[str, Document]
) -> bool:
    """Store documents if those that were loaded are unchanged; tell whether they were."""
    database.execute("BEGIN IMMEDIATE")
    unchanged = all(_row(database, key)[0] == version for key, version in versions.items())
    if unchanged:
        database.executemany(
            "REPLACE INTO documents VALUES (?, ?, ?, ?)",
            [
                (key, 1 + secrets.randbits(62), document.expires, packed(document))
                for key, document in documents.items()
            ],
        )
    database.execute("COMMIT")
    return unchanged
