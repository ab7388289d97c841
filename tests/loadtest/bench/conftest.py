"""Stores for the applications that are compared."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.frameworks import servers
from loadtest.frameworks.servers import Running
from tests.support.stores.mongodb import MongoServer


@pytest.fixture(name="folder")
def _folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="b-") as name:
        yield Path(name)


@pytest.fixture(name="store")
def _store(folder: Path) -> Iterator[Running]:
    """A store for one test."""
    with servers.store(folder) as running:
        yield running


@pytest.fixture(name="mongodb", scope="module")
def _mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A MongoDB server at MONGODB_URL, unless there is one."""
    if os.environ.get("MONGODB_URL"):
        yield
        return
    server = MongoServer(tmp_path_factory.mktemp("mongodb"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MONGODB_URL", server.url)
        yield
    server.stop()
