"""Sessions in an SQLite database: the example of docs/writing-a-store.md."""

from __future__ import annotations

import math
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias, TypeVar
from weakref import WeakSet

from ..errors import ConfigurationError, OutcomeUnknown, StoreUnavailable
from . import Caps, Deadline, Document, DocumentStore, Plan, Reference, packed, unpacked

T = TypeVar("T")
Now: TypeAlias = Callable[[], float]
Swept: TypeAlias = tuple[bytes | None, tuple[Reference, ...]]
Work: TypeAlias = Callable[[sqlite3.Connection], T]

_SCHEMA: Final = """PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS documents (key TEXT PRIMARY KEY, expires INTEGER, data BLOB);
    CREATE INDEX IF NOT EXISTS expiring ON documents (expires)"""
_GET: Final = "SELECT data FROM documents WHERE key = ?"
_PUT: Final = "REPLACE INTO documents VALUES (?, ?, ?)"
_PROBE: Final = ("probe", 0, b"")
_CLEAR: Final = """DELETE FROM documents
    WHERE key IN (SELECT key FROM documents WHERE expires <= ? LIMIT ?)"""
_SWEEP: Final = "SELECT key FROM documents WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
_STEP: Final = 200  # documents that one transaction clears or sweeps, so that it is short
_NETWORKS: Final = {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "nfs", "nfs4", "smb3"}
_DAMAGED: Final = "restore it, or move it away with its -wal file to begin an empty one"
_HINTS: Final = {
    sqlite3.SQLITE_CANTOPEN: "make its folder, and let the user of the processes write there",
    sqlite3.SQLITE_READONLY: "let the user of the processes write to the file and its folder",
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_IOERR: "look for a fault of its disk in the system's log",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}
# No connection crosses a fork: the child would believe that it holds its parent's locks.
_gate: Final = threading.Condition()
_stores: Final[WeakSet[SqliteStore]] = WeakSet()
_lent: Final[set[sqlite3.Connection]] = set()


class SqliteStore(DocumentStore):
    """Sessions in one file, for the processes of one machine; each change is synced to the disk.

    Requests that write take turns, within their deadline; only a disk that hangs is beyond it.

    Args:
        path: the database's file, in a folder that exists, on a disk of this machine.
        caps: what a session may grow to.
        clock: returns seconds since 1970.
        prefix: what all keys begin with, if applications share a file.

    Raises:
        ConfigurationError: the database cannot be used; the message says what to do.
    """

    def __init__(self, path: Path, caps: Caps, clock: Now = time.time, prefix: str = "") -> None:
        self._path = path.absolute()
        self._caps, self._clock, self._prefix, self._clear_at = caps, clock, prefix, 0
        self._idle: list[tuple[object, sqlite3.Connection]] = []
        self.turns: list[object] = []
        _stores.add(self)
        if (kind := _file_system(self._path.parent)) in _NETWORKS:
            problem = f"is on a network's file system ({kind}), where SQLite loses changes"
            raise ConfigurationError(f"{self._path} {problem}: use a disk of this machine")
        try:
            self._attempt("BEGIN IMMEDIATE", lambda database: database.execute(_PUT, _PROBE))
        except (StoreUnavailable, OutcomeUnknown) as error:
            raise ConfigurationError(str(error)) from error
        finally:
            self.close()  # a server that forks without Python, such as uWSGI, inherits nothing

    @property
    def description(self) -> str:
        """See `Store.description`."""
        return f"sqlite:///{self._path}"

    def carry_out(self, call: Callable[[Plan], T], deadline: Deadline) -> T:
        """See `DocumentStore.carry_out`."""
        return self._transaction(lambda database: self._planned(database, call), deadline)

    def sweep(self, cursor: bytes, deadline: Deadline) -> Swept:
        """See `Store.sweep`; the cursor is the last key that was looked at."""
        own, after = self._prefix, "session:" if cursor == b"0" else cursor.decode()

        def swept(database: sqlite3.Connection) -> Swept:
            found = database.execute(_SWEEP, (own + after, f"{own}session;", _STEP))
            keys = [key.removeprefix(own) for (key,) in found]
            ended = self._planned(database, lambda plan: plan.end_each(keys))
            return keys[-1].encode() if len(keys) == _STEP else None, ended

        return self._transaction(swept, deadline)

    def probe(self, deadline: Deadline) -> None:
        """See `Store.probe`."""
        self._transaction(lambda database: database.execute(_PUT, _PROBE), deadline)

    def close(self) -> None:
        """See `Store.close`."""
        with _gate:
            while self._idle:
                self._idle.pop()[1].close()

    def _planned(self, database: sqlite3.Connection, call: Callable[[Plan], T]) -> T:
        """Make a plan within a transaction, and store what it replaces."""
        now = int(self._clock() * 1000)

        def load(key: str) -> Document | None:
            found = database.execute(_GET, (self._prefix + key,)).fetchone()
            return unpacked(found[0]) if found else None

        plan = Plan(load, now, self._caps)
        answer = call(plan)
        if plan.replaced:
            for key, each in plan.replaced.items():
                database.execute(_PUT, (self._prefix + key, each.expires, packed(each)))
            if now >= self._clear_at:
                more = database.execute(_CLEAR, (now, _STEP)).rowcount == _STEP
                self._clear_at = now if more else now + 1000
        return answer

    def _transaction(self, work: Work[T], deadline: Deadline) -> T:
        """Do `work` in a transaction; at first without the lock, because most reads write nothing.

        SQLite's own timeout is not used: it tries less and less often, so that some requests never
        get their turn, and no other greenlet runs meanwhile. Here the oldest request of each
        process tries, and the longer it has waited, the more often.
        """
        turn, turns = object(), self.turns
        with deadline:
            done = self._attempt("BEGIN", work)
            turns.append(turn)
            try:
                while done is None:
                    if deadline.passed():
                        raise StoreUnavailable(f"{self._path} was locked for the whole deadline")
                    waited = 1 - deadline.left() / deadline.total
                    pause = 0.001 * turns.index(turn) or max(0.0002, 0.002 * math.exp(-10 * waited))
                    time.sleep(random.uniform(0.5, 1) * pause)
                    if turns[0] is turn:
                        done = self._attempt("BEGIN IMMEDIATE", work)
            finally:
                turns.remove(turn)
            return done[0]

    def _attempt(self, begin: str, work: Work[T]) -> tuple[T] | None:
        """Do `work` in a transaction; return None if the database is locked.

        No other greenlet runs within: it would wait for ever for the lock that this one holds.
        """
        changed = False
        try:
            with self._connection() as database:
                before = database.total_changes
                database.execute(begin)
                answer = work(database)
                changed = database.total_changes > before
                database.execute("COMMIT")
                return (answer,)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                return None
            hint = f": {_HINTS[code]}" if code in _HINTS else ""
            # On a full disk a commit is not complete. After other faults it may be.
            unknown = changed and code != sqlite3.SQLITE_FULL
            failure = OutcomeUnknown if unknown else StoreUnavailable
            raise failure(f"{self._path}: {error}{hint}") from error

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for one transaction, and keep it for the next one."""
        with _gate:
            file, database = self._opened()
            _lent.add(database)
        try:
            yield database
        finally:
            with _gate:
                _lent.discard(database)
                _gate.notify_all()
                try:
                    database.rollback()  # unless it was committed
                    self._idle.append((file, database))
                except sqlite3.Error:
                    database.close()

    def _opened(self) -> tuple[object, sqlite3.Connection]:
        """Return a connection to the file that has this path now."""
        file = _file(self._path)
        while self._idle:
            found, database = self._idle.pop()
            if found == file:
                return found, database
            database.close()
        with suppress(OSError):  # only a new file: to close one that is there drops SQLite's locks
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
        database = sqlite3.connect(self._path, 0, isolation_level=None, check_same_thread=False)
        try:
            database.executescript(_SCHEMA)
        except BaseException:
            database.close()
            raise
        return _file(self._path), database


def _file(path: Path) -> object:
    """Return what tells a file from another one that has the same path later."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def _file_system(folder: Path) -> str:
    """Return the type of a folder's file system; empty if it is not known."""
    with suppress(OSError):
        device = folder.stat().st_dev
        number = f" {os.major(device)}:{os.minor(device)} "
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        return next((line.partition(" - ")[2].split()[0] for line in mounts if number in line), "")
    return ""


def _before_fork() -> None:
    _gate.acquire()
    while _lent:
        _gate.wait()
    for store in _stores:
        store.close()


def _after_fork() -> None:
    for store in _stores:
        store.turns = []  # no thread of the parent runs here
    with suppress(RuntimeError):  # a server forked without Python, and `_before_fork` did not run
        _gate.release()


os.register_at_fork(before=_before_fork, after_in_parent=_gate.release, after_in_child=_after_fork)
