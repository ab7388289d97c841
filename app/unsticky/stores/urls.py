"""Make a client: from a URL, or with the settings of another library's client."""

from __future__ import annotations

import copy
import inspect
import re
from types import SimpleNamespace
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

import redis
from redis.sentinel import SentinelConnectionPool

from ..errors import ConfigurationError
from .client import Client
from .cluster import Address, ClusterClient, Member, Slots
from .pool import IDLE_LIMIT, MOST, Pool
from .sentinel import SCHEMES, Place, Primary, confirm_primary

C = TypeVar("C", bound=Client)

_SCHEMES: Final = {"redis", "rediss", "unix"}
_CLUSTERS: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
"""Schemes of a cluster, and those by which each of its servers is reached."""


def client_from_url(url: str) -> Client:
    """Return a client of the server at `url`. It does not connect yet.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with options, as redis-py reads it; or
            `redis+sentinel://` or `rediss+sentinel://`, as `sentinel.Place` reads it; or
            `redis+cluster://` or `rediss+cluster://` with one or several `host:port`, by commas.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    scheme, _, rest = url.partition("://")
    if scheme in _CLUSTERS:
        return _cluster_from_url(_CLUSTERS[scheme], rest)
    if scheme in SCHEMES:
        return _client(_pool_of_service(Place.parse(url)), Client)
    return _client(_pool_for(url), Client)


def client_like(client: Any) -> Client:
    """Return a client with the settings of another library's client. It does not connect yet.

    Args:
        client: of one server, with a connection pool, such as redis.Redis, valkey.Valkey, or what
            `Sentinel.master_for` returns; or redis.RedisCluster. Its settings are used, its
            connections are not.

    Raises:
        ConfigurationError: it has no pool of one server, is asynchronous, or reads from replicas.
    """
    if hasattr(client, "nodes_manager"):
        return _cluster_like(client)
    return _client(_pool_of(client), Client)


def _cluster_from_url(scheme: str, rest: str) -> ClusterClient:
    place, slash, more = rest.partition("/")
    if not slash:
        place, mark, more = place.partition("?")
        more = mark + more
    user, at, hosts = place.rpartition("@")
    urls = [f"{scheme}://{user}{at}{host}/{more}" for host in hosts.split(",")]
    pools = [_pool_for(url, "+cluster") for url in urls]
    if pools[0].connection_kwargs.get("db"):
        raise ConfigurationError("the store's URL names a database: a cluster has only database 0")
    return _cluster(pools[0], [_address_in(pool.connection_kwargs) for pool in pools])


def _cluster_like(client: Any) -> ClusterClient:
    nodes, manager = client.get_nodes(), client.nodes_manager
    if inspect.iscoroutinefunction(getattr(client, "initialize", None)):
        why = "it is asynchronous"
    elif client.read_from_replicas or getattr(client, "load_balancing_strategy", None):
        why = "it reads from replicas, which take no writes"
    else:
        library = "redis" if hasattr(nodes[0], "redis_connection") else "valkey"
        pool = _pool_of(getattr(nodes[0], f"{library}_connection"))
        pool = _at(pool, Address(nodes[0].host, nodes[0].port))
        # The library puts its own function in the place of the user's.
        pool.connection_kwargs[f"{library}_connect_func"] = client.user_on_connect_func
        addresses = [Address(node.host, node.port) for node in nodes]
        return _cluster(pool, addresses, getattr(manager, "address_remap", None))
    raise ConfigurationError(f"SESSION_REDIS is a {type(client).__qualname__}, and {why}")


def _cluster(pool: Any, nodes: list[Address], remap: Any = None) -> ClusterClient:
    _client(pool, Member)  # refuses wrong options now

    def make(address: Address) -> Member:
        return _client(_at(pool, address), Member)

    return ClusterClient(Slots(make, nodes, *([remap] if remap is not None else [])))


def _at(pool: Any, address: Address) -> Any:
    """Return the same pool for another server; only its settings are used."""
    other = copy.copy(pool)
    other.connection_kwargs = pool.connection_kwargs | address._asdict()
    return other


def _address_in(settings: dict[str, Any]) -> Address:
    return Address(settings["host"], settings.get("port", 6379))


def _client(pool: Any, kind: type[C]) -> C:
    primary = _primary(pool)
    found = {} if primary is None else {"connection_pool": primary}
    try:
        _made(pool, **found)
    except Exception as error:  # noqa: BLE001 (each library has its own)
        message = f"a connection to {_address(pool)} cannot be made: {type(error).__qualname__}"
        raise ConfigurationError(f"{message}; check the options in the store's URL") from None
    connections = Pool(
        lambda: _made(pool, **found),
        most=min(MOST, getattr(pool, "max_connections", MOST)),
        idle_limit=float(pool.connection_kwargs.get("health_check_interval") or IDLE_LIMIT),
        confirm=None if primary is None else confirm_primary,
    )
    return kind(connections, _address(pool), primary=primary)


def _pool_for(url: str, kind: str = "") -> Any:
    """Return a pool for a URL as redis-py reads it, which was given with `kind` in its scheme."""
    scheme, separator, _ = url.partition("://")
    if scheme not in _SCHEMES or not separator:
        known = scheme if separator and re.fullmatch("[a-z]{1,9}", scheme) else "something else"
        message = (
            f"UNSTICKY_STORE begins with {known!r}: use memory://, sqlite:////, redis://, "
            "rediss://, unix://, redis+sentinel://, rediss+sentinel://, redis+cluster://, "
            "rediss+cluster://, mongodb:// or mongodb+srv://"
        )
        raise ConfigurationError(message)
    try:
        _require_plain(url)
        pool = redis.ConnectionPool.from_url(url, **_quiet())
        _made(pool)
    except (ValueError, TypeError, redis.RedisError):
        # Neither the URL nor the reason is repeated: both may contain a piece of the password.
        message = (
            f"the store's {scheme}{kind}:// URL cannot be read (it may hold a password, so it is "
            "not shown): it names a host or a socket's path, a database by its number, and options "
            "that redis-py takes; write / as %2F, # as %23, ? as %3F and @ as %40 in a password"
        )
        raise ConfigurationError(message) from None
    return pool


def _pool_of_service(place: Place) -> Any:
    """Return what a user would make: the pool of `Sentinel.master_for`."""
    servers = _pool_for(place.server, "+sentinel")
    settings = {k: v for k, v in servers.connection_kwargs.items() if k not in {"host", "port"}}
    make: Any = SentinelConnectionPool  # it has no types
    manager: Any = SimpleNamespace(min_other_sentinels=0)
    pools = [_pool_for(url, "+sentinel") for url in place.sentinels]
    manager.sentinels = [redis.Redis(connection_pool=pool) for pool in pools]
    return make(
        place.service,
        manager,
        ssl=place.server.startswith("rediss"),
        max_connections=servers.max_connections,
        **settings,
    )


def _require_plain(url: str) -> None:
    """Refuse URLs that redis-py silently reads as something else.

    It reads `redis://:12#34@store` as this machine at port 12, `redis://store/one` as database 0.
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
    """Return the settings that stop redis-py from naming itself, which costs two round trips."""
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
    elif not _asks_as_usual(getattr(pool, "sentinel_manager", None)):
        why = "its Sentinel has its own discover_master"
    else:
        return pool
    message = (
        f"SESSION_REDIS is a {type(client).__qualname__}, and {why}: use a redis.Redis, a "
        "valkey.Valkey, Sentinel.master_for() or a redis.RedisCluster"
    )
    raise ConfigurationError(message)


def _asks_as_usual(manager: Any) -> bool:
    asks = getattr(type(manager), "discover_master", None)
    return asks is None or asks.__module__.partition(".")[0] in {"redis", "valkey"}


def _primary(pool: Any) -> Primary | None:
    """Return by what a connection asks Sentinel within the deadline, None without Sentinel.

    The user's own clients ask one Sentinel after the other, and a dead one again and again.
    """
    manager = getattr(pool, "sentinel_manager", None)
    return None if manager is None else Primary(manager, pool.service_name, _made)


def _made(pool: Any, **others: Any) -> Any:
    """Return a connection that redis-py's pool does not count: it would not see that it closes."""
    return pool.connection_class(**_settings(pool, **others))


def _settings(pool: Any, **others: Any) -> dict[str, Any]:
    """Return the settings of the pool's connections, with changes.

    RESP2, because RESP3 sends pushes between replies, such as maintenance notices. No retries and
    no health checks by the library, because they would not keep the deadline of `Client`.
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
