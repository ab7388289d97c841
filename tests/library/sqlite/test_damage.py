"""Rows that hold no document of this library, or one of a newer release."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from unsticky.cookie import Reference
from unsticky.errors import StoreUnavailable
from unsticky.stores.base import UNREAD, Gone, Unreadable, Write
from unsticky.stores.sqlite import SqliteStore

from tests.support.stores.places import CAPS, LIFETIMES, LimitedStore, deadline, make, reference

_DAMAGED = [b"", b"\x00\x01", b"1", b"1\xc1", b"1\xc7\x00\x05", b"1\x81\xa1a\x01"]


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture(name="store")
def _store(file: Path) -> LimitedStore:
    return LimitedStore(SqliteStore(file, CAPS), LIFETIMES)


def plant(file: Path, where: Reference, data: bytes) -> None:
    """Overwrite the row of a session."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute(
            "REPLACE INTO documents VALUES (?, NULL, ?)", (f"session:{where.handle}", data)
        )


@pytest.mark.parametrize("data", _DAMAGED)
def test_what_is_no_session_is_set_aside(file: Path, store: LimitedStore, data: bytes) -> None:
    """It is told from a session, kept apart as it is, and gone as corrupt."""
    where = reference()
    plant(file, where, data)
    assert store.read(where) == Unreadable()
    assert store.write(where, (Write(b"n", b"1", UNREAD),), create=True) == Unreadable()
    assert not store.quarantine(where, b"n", b"1", deadline())
    assert store.quarantine(where, b"", b"", deadline())
    assert store.read(where) == Gone("corrupt")
    with closing(sqlite3.connect(file)) as database:
        (kept,) = database.execute("SELECT data FROM documents WHERE key LIKE 'quarantine:%'")
    assert data in kept[0]


@pytest.mark.parametrize("data", [*_DAMAGED, b"2 of a newer release"])
def test_it_does_not_outlive_the_end_of_all(file: Path, store: LimitedStore, data: bytes) -> None:
    """A sweep ends it, and what is behind it."""
    where, others = reference(), {make(store) for _ in range(3)}
    plant(file, where, data)
    _, ended = store.sweep(b"0", deadline())
    assert set(ended) == {where, *others}
    assert store.read(where) == Gone("revoked")


def test_a_newer_release_s_session_is_left_alone(file: Path, store: LimitedStore) -> None:
    """Neither reading nor writing changes it."""
    where = reference()
    plant(file, where, b"2 of a newer release")
    with pytest.raises(StoreUnavailable, match="a newer release"):
        store.read(where)
    with pytest.raises(StoreUnavailable, match="a newer release"):
        store.write(where, (Write(b"n", b"1", UNREAD),), create=True)
