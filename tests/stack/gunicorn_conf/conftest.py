"""Servers that end with their test."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.gunicorn import Server

NewServer = Callable[..., Server]


@pytest.fixture(name="new_server")
def _new_server() -> Iterator[NewServer]:
    """Make servers that are not started yet, each in a folder of its own with a short path."""
    made: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="gunicorn-") as folder:

        def make(*arguments: str, **settings: str) -> Server:
            own = Path(folder) / str(len(made))
            own.mkdir()
            made.append(Server(own, *arguments, **settings))
            return made[-1]

        yield make
        for server in made:
            server.stop()
