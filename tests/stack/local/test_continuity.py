"""Any worker serves any request of a session, and all see the same cart."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import StartStack
from tests.support.stacks.local import Stack


def _replica(worker: str) -> str:
    return worker.partition("/")[0]


@pytest.mark.parametrize("keep_alive", [True, False], ids=["one connection", "fresh connections"])
@pytest.mark.parametrize(("requests", "least"), [(60, 3), (400, 4)])
def test_a_session_meets_the_workers(
    stack: Stack, requests: int, least: int, *, keep_alive: bool
) -> None:
    """Requests one after the other reach both replicas and 3 of 4 workers in 60, all in 400.

    Each of them counts exactly one hit, and finds the cart that the first had filled.
    """
    with stack.browser(keep_alive=keep_alive) as browser:
        browser.add("tea", 3)
        shown = [browser.session() for _ in range(requests)]
        workers = Counter(answer["served_by"] for answer in shown)
        assert [answer["hits"] for answer in shown] == list(range(1, requests + 1))
        assert len({answer["handle"] for answer in shown}) == 1
        assert {_replica(worker) for worker in workers} == set(stack.replicas())
        assert len(workers) >= least, workers
        assert browser.cart() == {"tea": 3}


def test_every_worker_sees_and_changes_one_cart(stack: Stack) -> None:
    """A cart changed and read through every worker is one cart."""
    expected = 0
    readers: set[str] = set()
    writers: set[str] = set()
    with stack.browser() as browser:
        for _ in range(49):
            expected += 2
            written = browser.add("tea", 2)
            read = browser.ask("GET", "/api/cart")
            assert written.json()["count"] == read.json()["count"] == expected
            writers.add(written.headers["X-Served-By"])
            readers.add(read.headers["X-Served-By"])
    assert {_replica(worker) for worker in writers | readers} == set(stack.replicas())
    assert len(readers | writers) == 4


def test_sessions_do_not_mix(stack: Stack) -> None:
    """Nineteen visitors at once keep nineteen carts apart."""

    def visit(number: int) -> tuple[dict[str, int], str]:
        with stack.browser(keep_alive=True) as browser:
            for _ in range(5):
                browser.add("tea", number)
                browser.add("jam", 1)
            return browser.cart(), browser.session()["handle"]

    with ThreadPoolExecutor(19) as pool:
        found = list(pool.map(visit, range(1, 20)))
    assert [cart for cart, _ in found] == [{"jam": 5, "tea": 5 * number} for number in range(1, 20)]
    assert len({handle for _, handle in found}) == 19


@pytest.fixture(name="eight_workers", scope="module")
def _eight_workers(new_stack: StartStack) -> Iterator[Stack]:
    stack = new_stack(REPLICAS="2", WORKERS="4")
    stack.up()
    yield stack
    assert not stack.dispose()


@pytest.mark.parametrize("run", range(5))
def test_concurrent_adds_are_all_kept(eight_workers: Stack, run: int) -> None:
    """Of 300 adds to one session, 24 at a time over 8 workers, none is lost."""
    skus = ("tea", "jam", "honey", "rice")
    browser = eight_workers.browser()
    browser.session()
    workers: set[str] = set()

    def add(number: int) -> int:
        answer = browser.tab().add(skus[number % 4])
        workers.add(answer.headers["X-Served-By"])
        return answer.status

    with ThreadPoolExecutor(24) as pool:
        assert set(pool.map(add, range(300))) == {200}
    assert browser.cart() == dict.fromkeys(skus, 75), f"run {run}"
    assert len(workers) == 8
