"""A cluster in place of the servers that the contract suite starts."""

from collections.abc import Iterator

import pytest

from tests.support.stores.cluster import AtCluster, Cluster
from tests.support.stores.places import LimitedStore


@pytest.fixture(name="cluster", scope="session")
def _cluster() -> Iterator[Cluster]:
    """The cluster that all tests share."""
    cluster = Cluster()
    yield cluster
    cluster.stop()


@pytest.fixture(name="server_place")
def _server_place(cluster: Cluster) -> Iterator[AtCluster]:
    """A cluster, empty."""
    place = AtCluster(cluster)
    yield place
    place.close()


@pytest.fixture(name="place")
def _place(server_place: AtCluster) -> AtCluster:
    """The same."""
    return server_place


@pytest.fixture(name="store")
def _store(place: AtCluster) -> LimitedStore:
    """A store in it, empty."""
    return place.new_store()


@pytest.fixture(name="own_server")
def _own_server() -> Iterator[AtCluster]:
    """A cluster that one test may fill or demote: of one server, which is what such a test does."""
    cluster = Cluster(1)
    place = AtCluster(cluster)
    try:
        yield place
    finally:
        place.close()
        cluster.stop()
