"""Open the store that the configuration names."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from ..errors import ConfigurationError
from .base import Caps, Store, Wait
from .client import Client
from .cluster import ClusterClient, ClusterStore
from .memory import MemoryStore
from .redis import RedisStore
from .urls import client_from_url, client_like

_log = logging.getLogger("unsticky")

_MAJORITY: Final = "where a majority has each change"
_WITHOUT_WAIT: Final = {
    "memory": "which has no replicas",
    "sqlite": "which has no replicas",
    "mongodb": _MAJORITY,
    "mongodb+srv": _MAJORITY,
}


def open_store(url: str, client: Any, prefix: str, caps: Caps, wait: Wait | None = None) -> Store:
    """Return the store that the configuration names. It does not connect yet.

    `url` is `memory://`, `sqlite:////path`, a URL as for `client_from_url`, `mongodb://` or
    `mongodb+srv://` as PyMongo reads them, or `client`: then `client` is used, which is what
    `SESSION_REDIS` holds. All keys at a server, or names of collections, begin with `prefix`. With
    `wait`, changes are on replicas before they are answered.

    Raises:
        ConfigurationError: the URL cannot be read, the client cannot be used, or there can be no
            replicas.
    """
    if url == "client":
        if client is None:
            raise ConfigurationError(
                "UNSTICKY_STORE is 'client' and SESSION_REDIS is not set: set it"
            )
        return _store_at(client_like(client), prefix, caps, wait)
    if client is not None:
        _log.warning("SESSION_REDIS is not used: UNSTICKY_STORE names another store")
    scheme = url.partition(":")[0]
    if wait is not None and scheme in _WITHOUT_WAIT:
        raise ConfigurationError(
            f"UNSTICKY_WAIT is set and the store is {scheme}://, {_WITHOUT_WAIT[scheme]}: remove it"
        )
    if scheme == "memory":
        return MemoryStore(caps)
    if scheme == "sqlite":
        return _sqlite_store(url, prefix, caps)
    if scheme in {"mongodb", "mongodb+srv"}:
        return _store_in_mongodb(url, prefix, caps)
    return _store_at(client_from_url(url), prefix, caps, wait)


def _sqlite_store(url: str, prefix: str, caps: Caps) -> Store:
    # Late: it imports from this package, and not every Python has SQLite.
    from .sqlite import SqliteStore

    place = urlsplit(url)
    if place.netloc or place.query or place.fragment or not place.path.startswith("//"):
        raise ConfigurationError(
            f"the store's URL {url!r} names no absolute path: write it with four slashes, "
            "as in sqlite:////srv/app/sessions.db"
        )
    return SqliteStore(Path(unquote(place.path[1:])), caps, prefix=prefix)


def _store_in_mongodb(url: str, prefix: str, caps: Caps) -> Store:
    try:
        from .mongodb import MongoStore
    except ImportError:
        raise ConfigurationError(
            "the store is MongoDB and PyMongo is not installed: install pymongo (the extra "
            "`mongodb` of this library)"
        ) from None
    return MongoStore(url, prefix, caps)


def _store_at(client: Client, prefix: str, caps: Caps, wait: Wait | None) -> Store:
    if isinstance(client, ClusterClient):
        if wait is not None:
            raise ConfigurationError(
                "UNSTICKY_WAIT is set and the store is a cluster, where it does nothing: remove it"
            )
        return ClusterStore(client, prefix, caps)
    return RedisStore(client, prefix, caps, wait)
