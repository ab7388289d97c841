"""The MongoDB server at MONGODB_URL, which the benchmark does not start."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil

from loadtest.errors import LoadTestError

START_SECONDS = 5.0


def lacks() -> str | None:
    """Return why there is no such server, or None; whether it answers is seen later."""
    if not os.environ.get("MONGODB_URL"):
        return "MONGODB_URL is not set: name a MongoDB server on this machine"
    return None


@contextmanager
def database(name: str) -> Iterator[str]:
    """Yield the URL of a database, and drop it in the end."""
    place = urlsplit(os.environ["MONGODB_URL"])
    with client() as server:
        try:
            yield urlunsplit(place._replace(path=f"/{name}"))
        finally:
            server.drop_database(name)


def client() -> Any:
    """Return a client of the server."""
    import pymongo  # only a benchmark with MongoDB needs it

    return pymongo.MongoClient(
        os.environ["MONGODB_URL"], serverSelectionTimeoutMS=START_SECONDS * 1000
    )


def description() -> str:
    """Return what the server says it is, with its version."""
    with client() as server:
        answer = server.admin.command("buildInfo")
    if own := answer.get("secantusVersion"):
        return f"SecantusDB {own}"
    return f"mongod {answer['version']}"


def pid() -> int:
    """Return the id of the server's process.

    Raises:
        LoadTestError: it does not answer, or is not on this machine.
    """
    import pymongo

    try:
        with client() as server:
            status = server.admin.command("serverStatus")
    except pymongo.errors.PyMongoError as error:
        raise LoadTestError(f"the server at MONGODB_URL does not answer: {error}") from None
    # A server elsewhere, or in a container, may have the id of another process here.
    process = int(status["pid"])
    name = status["process"]
    if not psutil.pid_exists(process) or name not in " ".join(psutil.Process(process).cmdline()):
        raise LoadTestError(
            f"the server at MONGODB_URL says that it is {name} with the id {process}, "
            "and there is no such process here",
            "start it on this machine: its processor time is part of the figures",
        )
    return process
