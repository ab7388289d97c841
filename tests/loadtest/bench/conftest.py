"""A store for the applications that are compared."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.frameworks import servers
from loadtest.frameworks.servers import Running


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
