"""The proofs of continuity and of races, and a login, with the sessions in MongoDB."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import StartStack
from tests.stack.local import test_continuity
from tests.support.stacks.local import Stack
from tests.support.stores.mongodb import MongoServer
from tests.support.waiting import wait_until

# Collected here, with this stack.
test_every_worker_sees_and_changes_one_cart = (
    test_continuity.test_every_worker_sees_and_changes_one_cart
)
test_sessions_do_not_mix = test_continuity.test_sessions_do_not_mix


@pytest.fixture(name="mongo", scope="module")
def _mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    folder: Path = tmp_path_factory.mktemp("mongodb")
    server = MongoServer(folder)
    yield server
    server.stop()


@pytest.fixture(name="stack", scope="module")
def _stack(new_stack: StartStack, mongo: MongoServer) -> Iterator[Stack]:
    stack = new_stack(REPLICAS="2", WORKERS="2", STORE="mongodb", MONGODB_URL=mongo.url)
    stack.up()
    yield stack
    assert not stack.dispose()


def test_concurrent_adds_count_once(stack: Stack) -> None:
    """Of 200 adds to one cart, 12 at a time over 4 workers, none is lost and none counts twice.

    One that is answered 503 is sent again with its key: on a machine that is busy with other
    things, this server, which is no mongod, sometimes takes longer than the deadline.
    """
    skus = ("tea", "jam", "honey", "rice")
    browser = stack.browser()
    browser.session()
    workers: set[str] = set()

    def add(number: int) -> None:
        tab, key = browser.tab(), os.urandom(8).hex()

        def is_added() -> bool:
            answer = tab.add(skus[number % 4], key=key)
            workers.add(answer.headers["X-Served-By"])
            assert answer.status in {200, 409, 503}, answer
            return answer.status == 200

        wait_until(is_added, "an add that is answered 200")

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(add, range(200)))
    assert browser.cart() == dict.fromkeys(skus, 50)
    assert len(workers) == 4


def test_a_login_and_a_logout(stack: Stack, mongo: MongoServer) -> None:
    """The session is in MongoDB and not in the shop's store; a logout ends it for every worker."""
    with stack.browser() as browser:
        browser.logged_in("ada").fill(tea=2)
        assert browser.cart() == {"tea": 2}
        before = mongo.raw.get_default_database()["unsticky:sessions"].count_documents({})
        assert before > 0
        assert not [key for key in stack.stored() if key.startswith(b"unsticky:")]
        assert browser.log_out().status == 204
        assert [browser.user() for _ in range(12)] == [None] * 12
