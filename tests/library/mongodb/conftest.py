"""A place in MongoDB."""

from collections.abc import Iterator

import pytest

from tests.support.stores.mongodb import AtMongo
from tests.support.stores.servers import Servers


@pytest.fixture(name="place")
def _place(servers: Servers) -> Iterator[AtMongo]:
    """Collections that nothing else uses."""
    place = AtMongo(servers.mongodb())
    yield place
    place.close()
