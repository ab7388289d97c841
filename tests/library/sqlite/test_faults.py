"""What goes wrong around the database: locks, disks, files. Each is said, none holds a request."""

import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from unsticky.errors import ConfigurationError, OutcomeUnknown, StoreUnavailable
from unsticky.stores import (
    Add,
    Caps,
    Deadline,
    Destroy,
    Gone,
    Missing,
    Reference,
    Wait,
    Write,
    sqlite,
)
from unsticky.stores.opening import open_store
from unsticky.stores.sqlite import SqliteStore

from tests.support.disks import small_disk
from tests.support.stores.places import CAPS, LIFETIMES, LimitedStore, make, operation, reference
from tests.support.waiting import at_most


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.seconds = time.time()

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="store")
def _store(path: Path, clock: Clock) -> Iterator[LimitedStore]:
    """A store with a clock that can be moved."""
    store = SqliteStore(path, CAPS, clock)
    yield LimitedStore(store, LIFETIMES)
    store.close()


def fill(store: LimitedStore, where: Reference) -> None:
    """Write 60,000 bytes."""
    for number in range(100):
        store.apply(where, (Write(b"x%d" % number, b"x" * 600, None),))


def rows(path: Path) -> int:
    """Return how many documents a database has."""
    with closing(sqlite3.connect(path)) as database:
        found: int = database.execute("SELECT count(*) FROM documents").fetchone()[0]
        return found


def test_a_lock_is_waited_for_until_the_deadline(store: LimitedStore, path: Path) -> None:
    """Another process holds the lock: writes fail in time, changed nothing, and reads go on."""
    where = make(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with at_most(0.6), pytest.raises(StoreUnavailable, match="locked"):
            store.store.write(where, (Add(b"n", 1),), operation(), LIFETIMES, Deadline(0.3))
        assert time.monotonic() - started > 0.29
        assert store.record(where, slide=False).fields == {b"n": b"1", b"ma": b"1", b"mb": b"2"}
        other.execute("ROLLBACK")
    assert store.apply(where, (Add(b"n", 1),)).results == (2,)


def test_a_full_disk_is_said_and_over_when_there_is_room(clock: Clock) -> None:
    """The write is refused with what to do, and nothing of it is stored."""
    with small_disk(600) as folder:
        store = LimitedStore(SqliteStore(folder / "sessions.db", CAPS, clock), LIFETIMES)
        where = make(store)
        filler = folder / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(1024)):
                pass
        with pytest.raises(StoreUnavailable, match="make room on its disk"):
            fill(store, where)
        filler.unlink()
        assert store.apply(where, (Add(b"n", 1),)).results == (2,)
        store.close()


def test_a_disk_that_takes_no_writes_is_refused_at_the_start(clock: Clock) -> None:
    """The message says who must be allowed to write."""
    with small_disk(600) as folder:
        SqliteStore(folder / "sessions.db", CAPS, clock).close()
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        with pytest.raises(ConfigurationError, match="let the user of the processes write"):
            SqliteStore(folder / "sessions.db", CAPS, clock)


def test_a_missing_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    """The message says to make it."""
    with pytest.raises(ConfigurationError, match="make its folder"):
        SqliteStore(tmp_path / "none" / "sessions.db", CAPS)


def test_another_file_is_refused_at_the_start(path: Path) -> None:
    """It is left as it is."""
    path.write_text("something else, and longer than the header of a database" * 10)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="restore it, or move it away"):
        SqliteStore(path, CAPS)
    assert path.read_bytes() == before


def test_a_file_that_is_damaged_later_is_said(path: Path) -> None:
    """A request is answered with 503; the log says what is wrong, and what to do."""
    SqliteStore(path, CAPS).close()
    store = SqliteStore(path, CAPS)
    store.close()
    path.write_bytes(b"damaged" * 5000)
    with pytest.raises(StoreUnavailable, match="restore it, or move it away"):
        store.probe(Deadline(5))


def test_a_network_s_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines would not see each other's locks."""
    monkeypatch.setattr(sqlite, "_file_system", lambda _: "nfs4")
    with pytest.raises(ConfigurationError, match=r"file system \(nfs4\).*a disk of this machine"):
        SqliteStore(path, CAPS)


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="only Linux says it")
def test_the_file_system_is_known(tmp_path: Path) -> None:
    """By the number of its device."""
    with small_disk(64) as folder:
        assert vars(sqlite)["_file_system"](folder) == "tmpfs"
    assert vars(sqlite)["_file_system"](tmp_path / "none") == ""


def test_a_file_that_was_moved_away_is_left(store: LimitedStore, path: Path) -> None:
    """Open connections would write to it for ever; the next request begins an empty one."""
    where = make(store)
    for name in ("", "-wal", "-shm"):
        Path(f"{path}{name}").rename(f"{path}.old{name}")
    assert store.read(where) == Missing()
    again = make(store)
    other = SqliteStore(path, CAPS)
    assert LimitedStore(other, LIFETIMES).record(again)
    other.close()


class LosesAnswers(sqlite3.Connection):
    """A connection whose disk fails at the end of a commit."""

    failing = False

    def execute(self, sql: str, *arguments: Any) -> Any:
        """Carry it out, and fail."""
        done = super().execute(sql, *arguments)
        if sql == "COMMIT" and self.failing:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return done


def test_a_commit_that_fails_is_not_called_undone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails at the sync may have stored the change, and a read has changed nothing."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **o: connect(*a, **o, factory=LosesAnswers))
    store = LimitedStore(SqliteStore(path, CAPS), LIFETIMES)
    where = make(store)
    store.record(where)
    monkeypatch.setattr(LosesAnswers, "failing", True)
    with pytest.raises(OutcomeUnknown, match="look for a fault of its disk"):
        store.write(where, (Add(b"n", 1),))
    with pytest.raises(StoreUnavailable, match="look for a fault of its disk"):
        store.read(where)
    store.close()


def test_expired_documents_go_some_at_a_time(store: LimitedStore, path: Path, clock: Clock) -> None:
    """A write deletes 200 of them at most, and the next one more, so that none takes long."""
    for _ in range(450):
        store.apply(reference(), (), create=True)
    clock.seconds += 24 * 3600
    left = []
    for _ in range(4):
        store.apply(reference(), (), create=True)
        left.append(rows(path) // 2)  # beside each session, the result of its write
    assert left[0] > left[1] > left[2] > 100
    for _ in range(4):
        clock.seconds += 2
        store.apply(reference(), (), create=True)
    assert rows(path) < 20


def test_a_sweep_ends_all_in_steps(store: LimitedStore) -> None:
    """So that requests are served between two steps."""
    places = [make(store) for _ in range(450)]
    cursor: bytes | None = b"0"
    steps = []
    while cursor is not None:
        cursor, ended = store.sweep(cursor, Deadline(30))
        steps.append(len(ended))
    assert len(steps) >= 3
    assert sum(steps) == 450
    assert all(store.read(where) == Gone("revoked") for where in places)


def test_the_file_is_its_owner_s_alone(store: LimitedStore, path: Path) -> None:
    """Nobody else of the machine reads sessions, nor what is in the log of the database."""
    make(store)
    modes = [Path(f"{path}{name}").stat().st_mode & 0o777 for name in ("", "-wal", "-shm")]
    assert modes == [0o600] * 3


def test_each_change_is_synced(store: LimitedStore) -> None:
    """Write-ahead log with full syncs: what was answered survives a loss of power."""
    make(store)
    ((_, database),) = vars(store.store)["_idle"]
    settings = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in _SETTINGS]
    assert settings == ["wal", 2]


_SETTINGS = ("journal_mode", "synchronous")


def test_connections_do_not_cross_a_fork(store: LimitedStore, path: Path) -> None:
    """The child would believe that it holds its parent's locks: it opens its own."""
    where = make(store)
    store.write(where, (Add(b"n", 1),))
    child = os.fork()
    if not child:
        status = 1
        try:
            held = [each.resolve() for each in Path("/proc/self/fd").iterdir()]
            assert not any(str(each).startswith(str(path)) for each in held)
            store.write(where, (Add(b"n", 1),))
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert store.apply(where, (Add(b"n", 1),)).results == (4,)


def test_the_url(tmp_path: Path) -> None:
    """With four slashes, as for SQLAlchemy; a relative path would be another one after a deploy."""
    store = open_store(f"sqlite:///{tmp_path}/a%20b.db", None, "", CAPS)
    assert store.description == f"sqlite:///{tmp_path}/a b.db"
    store.probe(Deadline(5))
    store.close()
    assert (tmp_path / "a b.db").exists()
    for wrong in ("sqlite:///sessions.db", "sqlite://", "sqlite:////x.db?mode=ro", "sqlite://h//x"):
        with pytest.raises(ConfigurationError, match="four slashes"):
            open_store(wrong, None, "", CAPS)
    with pytest.raises(ConfigurationError, match="no replicas"):
        open_store(f"sqlite:///{tmp_path}/x.db", None, "", Caps(1, 1), Wait(1, 1))


def test_a_logout_is_remembered_for_a_minute(store: LimitedStore, clock: Clock) -> None:
    """Its tombstone goes as in memory."""
    where = make(store)
    store.write(where, (), finish=Destroy())
    clock.seconds += 59
    assert store.read(where) == Gone("destroyed")
    clock.seconds += 2
    assert store.read(where) == Missing()
