"""Two visitors, whose sessions a client reads."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

from redis.sentinel import Sentinel
from unsticky.errors import StoreUnavailable
from unsticky.stores import Client, Deadline, Record, RedisStore, Script, Write
from unsticky.stores.connection import Connection

from tests.support.stores.places import CAPS, LIFETIMES, AtServer, LimitedStore, deadline, reference
from tests.support.waiting import PATIENCE, wait_until

DEADLINE: Final = 0.5
GENEROUS: Final = DEADLINE + 1.0
"""The deadline and what this process's own work adds to it; see `at_most` (seconds)."""

PUSH: Final = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n"

Opened: TypeAlias = Callable[[Any], Client]


class Visitors:
    """Two visitors with a session each.

    Attributes:
        store: reads them through the client.
        places: where each visitor's session is.
    """

    def __init__(self, client: Client, place: AtServer) -> None:
        self.store = LimitedStore(RedisStore(client, place.prefix, CAPS), LIFETIMES)
        self.places = {b"ann": reference(), b"bob": reference()}
        for name, where in self.places.items():
            write = (Write(b"who", name, None),)
            place.new_store().apply(where, write, create=True)

    def found(self, name: bytes, within: float = PATIENCE) -> bytes | None:
        """Return whose session a visitor gets, None if the store cannot say in time."""
        try:
            record = self.store.read(self.places[name], Deadline(within))
        except StoreUnavailable:
            return None
        assert isinstance(record, Record)
        assert record.fields is not None
        return record.fields[b"who"]

    def check(self, times: int = 1) -> None:
        """Check that each visitor gets their own session."""
        for name in list(self.places) * times:
            assert self.found(name) == name


def sentinel_of(*hosts: tuple[str, int], **settings: Any) -> Any:
    """Return redis-py's Sentinel, which has no types."""
    make: Any = Sentinel
    return make(hosts, **settings)


def tls_options(certificate: Path) -> tuple[str, ...]:
    """Return a server's options, of the command line, for the fixture `certificate`."""
    file, key = str(certificate / "certificate"), str(certificate / "key")
    files = ("--tls-cert-file", file, "--tls-ca-cert-file", file, "--tls-key-file", key)
    return (*files, "--tls-auth-clients", "no")


def run(client: Client) -> Any:
    """Run a script that returns 0."""
    return client.call(Script.from_text("return 0"), (), (), deadline())


def taken(client: Client) -> Connection:
    """Return a connection as a call takes it."""
    with deadline() as time_left:
        return client._pool.take(time_left)  # noqa: SLF001


def connecting() -> set[threading.Thread]:
    """Return the threads that connect to a server."""
    return {thread for thread in threading.enumerate() if thread.name == "unsticky-connect"}


def await_no_threads(before: set[threading.Thread]) -> None:
    """Wait until no more threads connect than before."""
    wait_until(lambda: not connecting() - before, "no thread that still connects")
