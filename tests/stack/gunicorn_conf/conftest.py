"""Servers that end with their test."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.stacks.gunicorn import Gunicorn

_APP = "tests.stack.gunicorn_conf.application:app"

NewServer = Callable[..., Gunicorn]


@pytest.fixture(name="new_server")
def _new_server() -> Iterator[NewServer]:
    """Make servers that are not started yet, each in a folder of its own with a short path."""
    made: list[Gunicorn] = []
    with tempfile.TemporaryDirectory(prefix="gunicorn-") as folder:

        def make(*arguments: str, app: str = _APP, **settings: str) -> Gunicorn:
            own = Path(folder) / str(len(made))
            own.mkdir()
            made.append(Gunicorn(own, app, *arguments, **settings))
            return made[-1]

        yield make
        for server in made:
            server.stop()
