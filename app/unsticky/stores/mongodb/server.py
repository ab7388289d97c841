"""The servers that a MongoDB URL names: one call, one deadline, and what its failure means."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import pymongo
from bson.errors import BSONError
from pymongo import MongoClient, ReadPreference, WriteConcern, errors, monitoring, uri_parser
from pymongo.read_concern import ReadConcern

from ...errors import ConfigurationError, OutcomeUnknown, StoreUnavailable
from ..base import Deadline
from ..breaker import Breaker, require_time

T = TypeVar("T")

COLLECTIONS: Final = ("sessions", "users", "results", "quarantine")
_CLEANED_AFTER: Final = 60
"""Seconds after its end that a document may be deleted."""


class Database:
    """The collections of the sessions, as one call uses them.

    Attributes:
        seconds: what the call may take.
        committing: whether what is sent from now on may change something that must not be repeated.
        sent: how many commands were sent since then.
    """

    def __init__(
        self,
        client: MongoClient[dict[str, Any]],
        name: str,
        prefix: str,
        concern: dict[str, Any],
    ) -> None:
        self.client = client
        self.concern: WriteConcern = WriteConcern(**concern)
        self._database = client.get_database(
            name,
            write_concern=self.concern,
            read_concern=ReadConcern("local"),
            read_preference=ReadPreference.PRIMARY,
        )
        self._prefix = prefix
        self.seconds = 0.0
        self.committing = False
        self.sent = 0

    def __getitem__(self, kind: str) -> Any:
        """Return a collection, one of `COLLECTIONS`."""
        return self._database[f"{self._prefix}{kind}"]

    def confirmed(self, kind: str) -> Any:
        """Return a collection that answers only from the primary which a majority follows."""
        return self[kind].with_options(read_concern=ReadConcern("linearizable"))

    def now(self) -> int:
        """Return the primary's clock, in ms since 1970."""
        return int(self.client.admin.command("hello")["localTime"].timestamp() * 1000)

    def prepare(self, address: str) -> None:
        """Make the collections and the indexes that clean them.

        Raises:
            StoreUnavailable: it is a single server without a replica set.
        """
        hello = self.client.admin.command("hello")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise StoreUnavailable(
                f"{address} is a standalone server, which has no majority and no transactions: "
                "start mongod with --replSet and run rs.initiate() once; one member is enough"
            )
        for kind in COLLECTIONS:
            if kind == "users":  # their documents have no end
                continue
            self[kind].create_index("ttl", expireAfterSeconds=_CLEANED_AFTER)


class Server:
    """A replica set, or a sharded cluster, that speaks MongoDB's protocol.

    Threads may share it; so may forked processes, each of which connects for itself.

    Args:
        url: `mongodb://` or `mongodb+srv://`, with options, as PyMongo reads it. Its path names
            the database, `unsticky` if it names none.
        prefix: what the names of all collections begin with.

    Attributes:
        address: the address for logs, without secrets.
        round_trips: how many calls this process has sent.

    Raises:
        ConfigurationError: the URL cannot be read, or asks for what loses changes.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix
        parsed = _parsed(url)
        self._database = parsed.get("database") or "unsticky"
        options = parsed["options"]
        self._concern = {"w": options.get("w", "majority"), "j": options.get("journal", True)}
        hosts = ",".join(_place(host, port) for host, port in parsed["nodelist"])
        if parsed.get("fqdn"):
            hosts = parsed["fqdn"]
        scheme = url.partition("://")[0]
        self.address = f"{scheme}://{hosts}/{quote(self._database)}"
        self.round_trips = 0
        self.forget()

    def forget(self) -> None:
        """Forget the parent process's connections without using them."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._client: MongoClient[dict[str, Any]] | None = None
        self._is_ready = False
        self._breaker = Breaker()
        self._calling: Any = threading.local()

    def run(self, call: Callable[[Database], T], deadline: Deadline) -> T:
        """Return what `call` returns, within the deadline.

        Raises:
            StoreUnavailable: nothing was changed.
            OutcomeUnknown: the call was committing, and no answer came.
        """
        if self._process != os.getpid():
            self.forget()
        with deadline:
            require_time(deadline)
            self._breaker.admit(deadline)
            database = None
            try:
                with pymongo.timeout(deadline.left()):
                    database = self._calling.database = self._opened()
                    database.seconds = deadline.left()
                    if not self._is_ready:
                        database.prepare(self.address)
                        self._is_ready = True
                    answer = call(database)
            except (errors.PyMongoError, BSONError, OSError) as error:
                raise self._failure(error, deadline, database) from error
            finally:
                self._calling.database = None
            self._breaker.answered()
            return answer

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        with self._lock:
            client, self._client, self._is_ready = self._client, None, False
        if client is not None and self._process == os.getpid():
            client.close()

    def _failure(
        self, error: Exception, deadline: Deadline, database: Database | None
    ) -> StoreUnavailable | OutcomeUnknown:
        refused = isinstance(error, errors.OperationFailure) and bool(error.details)
        hung = not refused and (getattr(error, "timeout", False) or deadline.passed())
        if hung:
            self._breaker.hung(deadline)
        elif refused:  # it answers, if only this: a session may be locked for the whole deadline
            self._breaker.answered()
        sent = 0 if database is None else database.sent
        failure: StoreUnavailable | OutcomeUnknown = OutcomeUnknown(_reason(error))
        # PyMongo may have sent it before, and then been refused: of one answer it is known.
        if sent == 0 or (sent == 1 and refused and not _may_be_done(error)):
            failure = StoreUnavailable(_reason(error))
        failure.cause = "timeout" if hung else ""
        return failure

    def _opened(self) -> Database:
        with self._lock:
            if self._client is None:
                counter = _Counter(self, self._calling)
                self._client = MongoClient(
                    self._url, connect=False, event_listeners=[counter], tz_aware=True
                )
            return Database(self._client, self._database, self._prefix, self._concern)


class _Counter(monitoring.CommandListener):
    """Counts the commands that are sent; PyMongo calls it in the thread of the call."""

    def __init__(self, server: Server, calling: Any) -> None:
        self._server = server
        self._calling = calling

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        del event
        self._server.round_trips += 1
        database: Database | None = getattr(self._calling, "database", None)
        if database is not None and database.committing:
            database.sent += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def _parsed(url: str) -> dict[str, Any]:
    scheme, _, rest = url.partition("://")
    try:
        if scheme == "mongodb+srv":
            # Its name is looked up when it connects.
            plain = re.sub(r"(?<=[?&])srv\w+=[^&]*&?", "", rest)
            parsed = dict(uri_parser.parse_uri(f"mongodb://{plain}", validate=True))
            (parsed["fqdn"],) = _names(url)
        else:
            parsed = dict(uri_parser.parse_uri(url, validate=True))
    except (errors.PyMongoError, ValueError, TypeError, OSError):
        # Neither the URL nor the reason is repeated: both may contain a piece of the password.
        raise ConfigurationError(
            f"the store's {scheme}:// URL cannot be read (it may hold a password, so it is not "
            "shown): it names hosts, a database, and options that PyMongo takes; write / as %2F, "
            ": as %3A, # as %23, ? as %3F and @ as %40 in a password"
        ) from None
    options = parsed["options"]
    if options.get("w") == 0:
        raise ConfigurationError(
            "the store's URL has w=0, with which a lost change would go unnoticed: remove it"
        )
    if options.get("readPreference", "primary") != "primary":
        raise ConfigurationError(
            "the store's URL has a readPreference, and secondaries answer from the past: remove it"
        )
    return parsed


def _names(url: str) -> list[str]:
    """Return the names of a URL's hosts that have no ports."""
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    return [host for host in hosts if host and ":" not in host]


def _place(host: str, port: int | None) -> str:
    if host.endswith(".sock"):
        return quote(host, safe="")
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


def _may_be_done(error: Exception) -> bool:
    """Tell whether a change may have been made although the server answered with an error."""
    return isinstance(error, errors.WriteConcernError) or (
        isinstance(error, errors.PyMongoError)
        and any(
            map(error.has_error_label, ("RetryableWriteError", "UnknownTransactionCommitResult"))
        )
    )


def _reason(error: Exception) -> str:
    """Return what went wrong, without what was sent."""
    if isinstance(error, errors.OperationFailure) and error.details:
        name = error.details.get("codeName") or f"code {error.code}"
        return f"the store refused: {name}"
    if isinstance(error, BSONError):
        return f"MongoDB cannot hold it: {type(error).__name__}"
    what = (
        "cannot reach the store"
        if isinstance(error, (errors.ServerSelectionTimeoutError, OSError))
        else "the store did not answer"
    )
    # PyMongo adds its settings, and all that it knows of each server.
    reason = str(error).partition(" (configured")[0].partition(", Timeout:")[0][:200]
    return f"{what}: {reason or type(error).__name__}"
