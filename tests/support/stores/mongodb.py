"""A server that speaks MongoDB's protocol, and a place of sessions in it.

SecantusDB is licensed under the GPL 2; nothing but these tests starts it. TEST_MONGODB_URL names a
server of yours instead, for the tests that only use one.
"""

import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pymongo
from bson import Int64
from bson.binary import Binary
from flask import Flask
from unsticky import Unsticky
from unsticky.cookie import Reference
from unsticky.limits import Lifetimes
from unsticky.stores.base import Caps
from unsticky.stores.mongodb import MongoStore

from tests.support.ports import free_port
from tests.support.stores.places import CAPS, LIFETIMES, LimitedStore, Place
from tests.support.waiting import PATIENCE, wait_until

_LONG = 10_000
"""A longer time is not waited for (ms)."""


class GivenMongo:
    """A server that runs already; its database is the tests' own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.raw: Any = pymongo.MongoClient(url, serverSelectionTimeoutMS=PATIENCE * 1000)

    def stop(self) -> None:
        """Leave it running."""
        self.raw.close()


class MongoServer:
    """A server of its own, whose data are in a folder.

    Attributes:
        url: what `UNSTICKY_STORE` takes.
        raw: a client for what a test does behind the store's back.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._port = free_port()
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"mongodb://127.0.0.1:{self._port}/tests"
        self.raw: Any = None
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        program = Path(sys.executable).with_name("secantusd-py")
        command = [str(program), "--port", str(self._port)]
        command += ["--storage-path", str(self._folder / "db"), *self._options]
        if self.raw is not None:
            self.raw.close()
        self.raw = pymongo.MongoClient(self.url, serverSelectionTimeoutMS=PATIENCE * 1000)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        wait_until(
            lambda: self.raw.admin.command("ping"),
            "an answer of the MongoDB server",
            ignoring=pymongo.errors.PyMongoError,
        )

    def kill(self) -> None:
        """Kill the server as `kill -9` does."""
        self._run.kill()
        self._run.wait()

    def pause(self) -> None:
        """Let the server keep its connections and answer nothing."""
        self._run.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server continue."""
        self._run.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill the server; `start` is possible."""
        self.raw.close()
        self.kill()

    @property
    def _run(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process


class AtMongo(Place):
    """Sessions in MongoDB, in collections that nothing else uses."""

    name = "mongodb"
    bind_trips = None

    def __init__(self, server: MongoServer | GivenMongo) -> None:
        self.server = server
        self.prefix = f"t{secrets.token_hex(6)}:"
        self._stores: list[Any] = []

    @property
    def database(self) -> Any:
        """The database of the sessions."""
        return self.server.raw.get_default_database()

    def new_store(self, lifetimes: Lifetimes = LIFETIMES, caps: Caps = CAPS) -> LimitedStore:
        """See `Place.new_store`."""
        self._stores.append(MongoStore(self.server.url, self.prefix, caps))
        return LimitedStore(self._stores[-1], lifetimes)

    def now(self) -> int:
        """See `Place.now`."""
        return int(self.server.raw.admin.command("hello")["localTime"].timestamp() * 1000)

    def let_pass(self, milliseconds: int) -> None:
        """See `Place.let_pass`; for long times all that is stored gets older."""
        if milliseconds <= _LONG:
            time.sleep(milliseconds / 1000)
            return
        past = Int64(milliseconds)
        times: dict[str, Any] = {
            name: {
                "$cond": [{"$gt": [f"${name}", 0]}, {"$subtract": [f"${name}", past]}, f"${name}"]
            }
            for name in ("created", "ends_at", "expires", "seen")
        }
        older = {"$mergeObjects": ["$$this", {"e": {"$subtract": ["$$this.e", past]}}]}
        times["ops"] = {"$map": {"input": {"$ifNull": ["$ops", []]}, "in": older}}
        self._sessions.update_many({}, [{"$set": times}])

    def plant(self, reference: Reference, field: bytes, data: bytes) -> None:
        """See `Place.plant`."""
        change = {"$set": {f"fields.x{field.hex()}": Binary(data)}}
        self._sessions.update_one({"_id": reference.handle}, change)

    def expire(self, reference: Reference) -> None:
        """See `Place.expire`."""
        change = {"$set": {"expires": Int64(0)}}
        self._sessions.update_one({"_id": reference.handle}, change)

    def serve(self, app: Flask, **settings: Any) -> Unsticky:
        """See `Place.serve`."""
        app.config.update(
            SECRET_KEY="x" * 20,
            UNSTICKY_STORE=self.server.url,
            SESSION_KEY_PREFIX=self.prefix,
            **settings,
        )
        sessions = Unsticky(app)
        self._stores.append(sessions.state.store)
        return sessions

    def empty(self) -> None:
        """Forget all sessions."""
        for name in self.database.list_collection_names():
            if name.startswith(self.prefix):
                self.database[name].delete_many({})

    def close(self) -> None:
        """Leave nothing behind."""
        for store in self._stores:
            store.close()
        for name in self.database.list_collection_names():
            if name.startswith(self.prefix):
                self.database.drop_collection(name)

    @property
    def _sessions(self) -> Any:
        return self.database[f"{self.prefix}sessions"]
