"""A store at a server, which the library's tests share."""

from collections.abc import Iterator

import pytest

from tests.library.security.valkey import Valkey


@pytest.fixture(name="valkey", scope="session")
def _valkey() -> Iterator[Valkey]:
    """A store that tests share; each application on it has a prefix of its own."""
    server = Valkey()
    server.start()
    yield server
    server.dispose()


@pytest.fixture(name="store", params=["memory", "valkey"])
def _store(request: pytest.FixtureRequest) -> str:
    """Where sessions live: a test that takes this runs on each store."""
    if request.param == "memory":
        return "memory://"
    server: Valkey = request.getfixturevalue("valkey")
    return server.url
