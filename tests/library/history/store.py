"""A store with an append-only file, for histories that kill it, pause it and cut its power."""

import os
import sqlite3
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from unsticky.codec import decode
from unsticky.cookie import Reference
from unsticky.fields import MAP, PLAIN, entry_key, map_prefix, name_of
from unsticky.stores.documents import Session, unpacked
from unsticky.stores.mongodb.bson_documents import session_document

from tests.support.stores.cluster import Cluster
from tests.support.stores.mongodb import MongoServer
from tests.support.stores.servers import Server

Fsync = Literal["everysec", "always", "majority", "sqlite"]


class DurableStore(Server):
    """A server with an append-only file, which it reads when it is started again."""

    def __init__(self, program: str, folder: Path, fsync: Fsync) -> None:
        options = ("--appendonly", "yes", "--appendfsync", fsync)
        # Never rewritten: one file from beginning to end, so that it can be cut.
        super().__init__(program, folder, *options, "--auto-aof-rewrite-percentage", "0")

    def file_size(self) -> int:
        """Return the bytes in the append-only file."""
        return self._file().stat().st_size

    def cut_file(self, size: int) -> None:
        """Cut the file of a killed server to what the disk had when it was `size` bytes long."""
        os.truncate(self._file(), size)

    def sessions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield handle and content of every living session: plain keys, and maps as dicts."""
        yield from _sessions_at(self)

    def _file(self) -> Path:
        (found,) = self.folder.glob("appendonlydir/*.incr.aof")
        return found


class DurableCluster(Cluster):
    """The same with the servers of a cluster, all of which are killed or paused at once."""

    def __init__(self, folder: Path, fsync: Fsync) -> None:
        options = ("--appendonly", "yes", "--appendfsync", fsync)
        super().__init__(3, *options, "--auto-aof-rewrite-percentage", "0", folder=folder)

    def file_size(self) -> list[int]:
        """See `DurableStore.file_size`."""
        return [self._file(node).stat().st_size for node in self.nodes]

    def cut_file(self, size: list[int]) -> None:
        """See `DurableStore.cut_file`."""
        for node, bytes_ in zip(self.nodes, size, strict=True):
            os.truncate(self._file(node), bytes_)

    def sessions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """See `DurableStore.sessions`."""
        for node in self.nodes:
            yield from _sessions_at(node)

    def start(self) -> None:
        """Start the servers again, and wait until they are a cluster."""
        for node in self.nodes:
            node.start()
        self.wait()

    def stop(self) -> None:
        """Kill the servers."""
        for node in self.nodes:
            node.stop()

    def pause(self) -> None:
        """Let the servers answer nothing."""
        for node in self.nodes:
            node.pause()

    def resume(self) -> None:
        """Let them continue."""
        for node in self.nodes:
            node.resume()

    @staticmethod
    def _file(node: Server) -> Path:
        (found,) = node.folder.glob("appendonlydir/*.incr.aof")
        return found


class DurableMongo(MongoServer):
    """A server that speaks MongoDB's protocol."""

    def sessions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """See `DurableStore.sessions`."""
        for raw in self.raw.get_default_database()["unsticky:sessions"].find():
            found = session_document(raw)
            if isinstance(found, Session):
                yield raw["_id"], _content(dict(found.fields))


class DurableFile:
    """An SQLite database: it has no process that could be killed, only those that use it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "sessions.db"
        self.url = f"sqlite:///{self._path}"
        self._held: sqlite3.Connection | None = None

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def pause(self) -> None:
        """Hold the lock that each change needs, as a process that hangs would."""
        self._held = sqlite3.connect(self._path, 10, isolation_level=None)
        self._held.execute("BEGIN IMMEDIATE")

    def resume(self) -> None:
        """Let go."""
        assert self._held is not None
        self._held.close()

    def sessions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """See `DurableStore.sessions`."""
        with closing(sqlite3.connect(self._path)) as database:
            rows = database.execute("SELECT key, data FROM documents WHERE key LIKE '%session:%'")
            for key, data in rows:
                found = unpacked(data)
                if isinstance(found, Session):
                    yield key.rpartition(":")[2], _content(dict(found.fields))


def _sessions_at(server: Server) -> Iterator[tuple[str, dict[str, Any]]]:
    for key in server.raw.scan_iter("unsticky:*:s:*"):
        fields = server.raw.hgetall(key)
        if b"\0m" in fields:
            yield _handle(key), _content(fields)


def _handle(key: bytes) -> str:
    bucket, _, rest = key.partition(b"{")[2].partition(b"}")
    reference = Reference(int(bucket), urlsafe_b64decode(rest.rpartition(b":")[2] + b"=="))
    return reference.handle


def _content(fields: dict[bytes, bytes]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for field, data in fields.items():
        if field.startswith(PLAIN):
            content[name_of(field)] = decode(data)
        elif field.startswith(MAP):
            name = name_of(field)
            content.setdefault(name, {})[entry_key(map_prefix(name), field)] = decode(data)
    return content
