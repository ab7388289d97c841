"""Containers whose sessions are in a MongoDB elsewhere; that of the overlay is not run here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.local import test_continuity
from tests.support.stacks.containers import ContainerStack, StartContainers, docker, require_engine
from tests.support.stores.mongodb import MongoServer

# Collected here, with this stack.
test_every_worker_sees_and_changes_one_cart = (
    test_continuity.test_every_worker_sees_and_changes_one_cart
)


@pytest.fixture(name="mongo", scope="module")
def _mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    require_engine()
    folder: Path = tmp_path_factory.mktemp("mongodb")
    form = "{{(index .IPAM.Config 0).Gateway}}"
    server = MongoServer(folder, host=docker("network", "inspect", "bridge", "--format", form))
    yield server
    server.stop()


@pytest.fixture(name="stack", scope="module")
def _stack(new_stack: StartContainers, mongo: MongoServer) -> Iterator[ContainerStack]:
    stack = new_stack(STORE="mongodb", MONGODB_URL=mongo.url)
    stack.up()
    yield stack
    assert not stack.dispose()


def test_a_mongodb_elsewhere_has_the_sessions(stack: ContainerStack, mongo: MongoServer) -> None:
    """A login is in MongoDB; the shop's store stays, no other server is made, no secret shown."""
    with stack.browser() as browser:
        browser.logged_in("ada").fill(tea=2)
        sessions = mongo.raw.get_default_database()["unsticky:sessions"]
        assert sessions.count_documents({}) > 0
        assert browser.log_out().status == 204
        assert browser.user() is None
    assert stack.inspect("redis")
    assert not stack.inspect("mongodb")
    shown = str(stack.inspect("app"))
    assert "UNSTICKY_STORE_FILE=/run/secrets/mongodb_url" in shown
    assert "mongodb://" not in shown
    assert "Nothing to deploy" in stack.up()
