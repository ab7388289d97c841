"""Clients of other libraries, whose settings are used; and TLS."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
import valkey
from redis.sentinel import Sentinel
from unsticky.errors import ConfigurationError, OutcomeUnknown, StoreUnavailable
from unsticky.stores import Client, client_like, open_store

from tests.library.client.visitors import Opened, Visitors, sentinel_of, tls_options
from tests.support.ports import free_port
from tests.support.stores.places import CAPS, AtServer, deadline
from tests.support.stores.servers import Servers


def _used(client: Client, place: AtServer) -> None:
    visitors = Visitors(client, place)
    visitors.check()
    with pytest.raises(StoreUnavailable, match="unknown command"):
        client.ask(deadline(), "NOSUCHCOMMAND", "x")


class _Own(redis.Redis):
    """A subclass, as tracing libraries make."""


@pytest.mark.parametrize("kind", [redis.Redis, _Own])
@pytest.mark.parametrize("pool", [redis.ConnectionPool, redis.BlockingConnectionPool])
def test_clients_of_redis_py_aretaken(
    place: AtServer, opened: Opened, kind: Any, pool: Any
) -> None:
    """Subclasses too, with any pool, and whatever they decode."""
    given = kind(connection_pool=pool.from_url(place.server.url, decode_responses=True))
    _used(opened(given), place)


def test_tls_is_spoken(servers: Servers, certificate: Path, opened: Opened) -> None:
    """By a URL and by a client; a certificate that nobody vouches for is refused."""
    port, file = free_port(), str(certificate / "certificate")
    server = servers.new("redis-server", "--tls-port", str(port), *tls_options(certificate))
    try:
        url = f"rediss://127.0.0.1:{port}"
        given = redis.Redis(host="127.0.0.1", port=port, ssl=True, ssl_ca_certs=file)
        for client in (opened(f"{url}?ssl_ca_certs={file}"), opened(given)):
            assert client.address == f"{url}/0"
            assert client.ask(deadline(), "ECHO", "x" * 100_000) == b"x" * 100_000
            assert client.ask(deadline(), "CLIENT", "ID") == client.ask(deadline(), "CLIENT", "ID")
        with pytest.raises(StoreUnavailable, match="certificate"):
            opened(url).ask(deadline(), "PING")
        given.close()
    finally:
        server.stop()


def test_a_client_of_valkey_py_istaken(place: AtServer, opened: Opened) -> None:
    """Its exceptions are its own, and are understood."""
    given: Any = valkey.Valkey(unix_socket_path=str(place.server.socket))
    _used(opened(given), place)
    with pytest.raises(StoreUnavailable, match="refused: "):
        opened(valkey.Valkey.from_url(f"{place.server.url}&password=x")).ask(deadline(), "PING")
    with pytest.raises(StoreUnavailable, match="cannot reach"):
        opened(valkey.Valkey(port=1)).ask(deadline(), "PING")


def test_fakeredis_istaken(opened: Opened) -> None:
    """A connection without a socket is asked by its public functions; failures are understood."""
    server = fakeredis.FakeServer()
    client = opened(fakeredis.FakeRedis(server=server))
    assert client.ask(deadline(), "SET", "k", "v") == b"OK"
    with pytest.raises(StoreUnavailable, match="wrong kind of value"):
        client.ask(deadline(), "HGET", "k", "f")
    server.connected = False
    with pytest.raises((StoreUnavailable, OutcomeUnknown)):
        client.ask(deadline(), "GET", "k")
    server.connected = True
    assert client.ask(deadline(), "GET", "k") == b"v"


def _replicas() -> Any:
    return sentinel_of(("127.0.0.1", 1)).slave_for("shop")


def _own_way() -> Any:
    class Own(Sentinel):
        def discover_master(self, service_name: str) -> tuple[str, int]:
            return service_name, 1

    make: Any = Own
    return make([("127.0.0.1", 1)]).master_for("shop")


_REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a cluster": (lambda: redis.RedisCluster.__new__(redis.RedisCluster), "RedisCluster"),
    "asynchronous": (redis.asyncio.Redis, "asynchronous"),
    "replicas": (_replicas, "replicas"),
    "an own way to the primary": (_own_way, "discover_master"),
    "a pool": (redis.ConnectionPool, "ConnectionPool"),
    "no client": (object, "object"),
    "nothing": (lambda: None, "NoneType"),
}


@pytest.mark.parametrize("name", _REFUSED)
def test_clients_that_cannot_work_are_refused(name: str) -> None:
    """One clear sentence when the store is opened."""
    make, expected = _REFUSED[name]
    with pytest.raises(ConfigurationError, match=expected):
        client_like(make())


def test_a_configured_client_must_be_given() -> None:
    """The setting that names a ready client and the client itself belong together."""
    with pytest.raises(ConfigurationError, match="SESSION_REDIS is not set"):
        open_store("client", None, "", CAPS)


def test_a_client_that_is_not_used_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Two stores are named: the log says which one is not used."""
    open_store("memory://", redis.Redis(), "", CAPS)
    open_store("redis://store", redis.Redis(), "", CAPS)
    assert caplog.text.count("SESSION_REDIS is not used") == 2
