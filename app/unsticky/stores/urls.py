"""Open the store that the configuration names: a URL, the user's own client, or this process."""

from __future__ import annotations

import copy
import inspect
import logging
import re
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

import redis

from ..errors import ConfigurationError
from .base import Caps, Store
from .client import Client
from .memory import MemoryStore
from .pool import IDLE_LIMIT, MOST, Pool
from .redis import RedisStore

_log = logging.getLogger("unsticky")

_SENTINEL_SECONDS: Final = 0.3
"""How long one Sentinel may take, so that a dead one leaves time to ask the next."""

_SCHEMES: Final = {"redis", "rediss", "unix"}


def open_store(url: str, client: Any, prefix: str, caps: Caps) -> Store:
    """Return the store that the configuration names; nothing is connected yet.

    Args:
        url: `memory://`, a URL as for `client_from_url`, or `client`.
        client: what `SESSION_REDIS` holds, used if `url` is `client`.
        prefix: what all keys at a server begin with.
        caps: what a session may grow to.

    Raises:
        ConfigurationError: the URL cannot be read, or the client is of another kind.
    """
    if url == "client":
        if client is None:
            raise ConfigurationError(
                "UNSTICKY_STORE is 'client' and SESSION_REDIS is not set: set it"
            )
        return RedisStore(client_like(client), prefix, caps)
    if client is not None:
        _log.warning("SESSION_REDIS is not used: UNSTICKY_STORE names another store")
    if url.partition(":")[0] == "memory":
        return MemoryStore(caps)
    return RedisStore(client_from_url(url), prefix, caps)


def client_from_url(url: str) -> Client:
    """Return a client of the server at `url`; nothing is connected yet.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with options, as redis-py reads it.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    return _client(_pool_for(url))


def client_like(client: Any) -> Client:
    """Return a client with the settings of another library's; nothing is connected yet.

    Args:
        client: of one server, with a connection pool, such as redis.Redis, valkey.Valkey, or what
            `Sentinel.master_for` returns. Its settings are used, its connections are not.

    Raises:
        ConfigurationError: it is a client of another kind.
    """
    return _client(_pool_of(client))


def _client(pool: Any) -> Client:
    sentinels = _own_sentinels(pool)
    try:
        _made(pool, **sentinels)
    except Exception as error:  # noqa: BLE001 (each library has its own)
        message = f"a connection to {_address(pool)} cannot be made: {type(error).__qualname__}"
        raise ConfigurationError(f"{message}; look at the options of the store") from None
    connections = Pool(
        lambda: _made(pool, **sentinels),
        most=min(MOST, getattr(pool, "max_connections", MOST)),
        idle_limit=float(pool.connection_kwargs.get("health_check_interval") or IDLE_LIMIT),
    )
    return Client(connections, _address(pool))


def _pool_for(url: str) -> Any:
    scheme, separator, _ = url.partition("://")
    if scheme not in _SCHEMES or not separator:
        known = scheme if separator and re.fullmatch("[a-z]{1,9}", scheme) else "something else"
        message = (
            f"UNSTICKY_STORE begins with {known!r}: use memory://, redis://, rediss:// or unix://"
        )
        raise ConfigurationError(message)
    try:
        _require_plain(url)
        pool = redis.ConnectionPool.from_url(url, **_quiet())
        _made(pool)
    except (ValueError, TypeError, redis.RedisError):
        # Neither the URL nor the reason is repeated: both may hold a piece of the password.
        message = (
            f"the store's {scheme}:// URL cannot be read (it may hold a password, so it is not "
            "shown): it names a host or a socket's path, a database by its number, and options "
            "that redis-py takes; write / as %2F, # as %23, ? as %3F and @ as %40 in a password"
        )
        raise ConfigurationError(message) from None
    return pool


def _require_plain(url: str) -> None:
    """Refuse what redis-py reads as something else than was meant, and says nothing.

    `redis://:12#34@store` is its own machine at port 12, `redis://store/one` is database 0.
    """
    parts = urlsplit(url)
    parse_qsl(parts.query, strict_parsing=True) if parts.query else None
    if "#" in url:
        raise ValueError("a fragment")
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not parts.path.strip("/"):
            raise ValueError("no path")
    elif not parts.hostname or not re.fullmatch(r"/?\d*/?", parts.path):
        raise ValueError("no host, or a database that is no number")


def _quiet() -> dict[str, Any]:
    """Return what keeps redis-py from naming itself at each connection: two round trips."""
    known = inspect.signature(redis.connection.AbstractConnection.__init__).parameters
    return (
        {"driver_info": None} if "driver_info" in known else {"lib_name": None, "lib_version": None}
    )


def _pool_of(client: Any) -> Any:
    pool = getattr(client, "connection_pool", None)
    kind = getattr(pool, "connection_class", None)
    if not callable(kind) or not isinstance(getattr(pool, "connection_kwargs", None), dict):
        why = "it has no connection pool of one server"
    elif inspect.iscoroutinefunction(getattr(kind, "connect", None)):
        why = "it is asynchronous"
    elif not getattr(pool, "is_master", True):
        why = "it reads from replicas, which take no writes"
    else:
        return pool
    message = (
        f"SESSION_REDIS is a {type(client).__qualname__}, and {why}: use a redis.Redis, a "
        "valkey.Valkey or Sentinel.master_for()"
    )
    raise ConfigurationError(message)


def _own_sentinels(pool: Any) -> dict[str, Any]:
    """Return what makes a connection ask Sentinel with clients of our own, without retries.

    Those of the user would ask a Sentinel that is gone again and again, beyond any deadline.
    """
    if not hasattr(pool, "sentinel_manager"):
        return {}
    manager = copy.copy(pool.sentinel_manager)
    manager.sentinels = [_impatient(client) for client in manager.sentinels]
    proxy = copy.copy(pool.connection_kwargs["connection_pool"])
    proxy.sentinel_manager = manager
    return {"connection_pool": proxy}


def _impatient(client: Any) -> Any:
    pool = client.connection_pool
    limits = {"socket_timeout": _SENTINEL_SECONDS, "socket_connect_timeout": _SENTINEL_SECONDS}
    settings = _settings(pool, **limits)
    own = type(pool)(connection_class=pool.connection_class, **settings)
    return type(client)(connection_pool=own)


def _made(pool: Any, **others: Any) -> Any:
    """Return a connection that the pool does not count: it would never learn that it was closed."""
    return pool.connection_class(**_settings(pool, **others))


def _settings(pool: Any, **others: Any) -> dict[str, Any]:
    """Return what the pool gives to its connections, with changes.

    RESP2, because RESP3's pushes come between replies; maintenance notices are such pushes. No
    retries and no checks by the library: each would take its own time, and `Client` has one
    deadline.
    """
    settings = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if not name.startswith(("maint_notifications_", "oss_cluster_maint_", "orig_"))
    }
    return settings | {
        "protocol": 2,
        "decode_responses": False,
        "retry": None,
        "retry_on_timeout": False,
        "retry_on_error": [],
        "health_check_interval": 0,
        **others,
    }


def _address(pool: Any) -> str:
    settings = pool.connection_kwargs
    if service := getattr(pool, "service_name", None):
        return f"the primary that Sentinel names for {service!r}"
    database = settings.get("db") or 0
    if path := settings.get("path"):
        return f"unix://{quote(path)}?db={database}"
    secure = any("SSL" in kind.__name__ for kind in inspect.getmro(pool.connection_class))
    host = quote(str(settings.get("host", "localhost")), safe=":")
    place = f"[{host}]" if ":" in host else host
    return f"{'rediss' if secure else 'redis'}://{place}:{settings.get('port', 6379)}/{database}"
