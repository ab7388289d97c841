"""What becomes of containers, and what a visitor notices of it."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.support.containers import ContainerStack, docker
from tests.support.load import steady_load
from tests.support.shop_client import ShopClient
from tests.support.waiting import wait_until

_CART = {"tea": 3, "jam": 1}


@pytest.fixture(name="visitor")
def _visitor(own_stack: ContainerStack) -> Iterator[ShopClient]:
    """A visitor with a full cart, of a stack where everything runs."""
    wait_until(own_stack.is_ready_throughout, "every worker is ready again", seconds=40)
    with own_stack.browser() as browser:
        for sku, qty in _CART.items():
            assert browser.add(sku, qty).status == 200
        yield browser


def test_a_container_is_killed(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """A replica killed whole loses no cart: the other serves, and the engine starts it again."""
    victim = own_stack.inspect("app")[0]
    os.kill(victim["State"]["Pid"], signal.SIGKILL)
    for _ in range(10):
        assert visitor.cart() == _CART
    assert [visitor.session()["hits"] for _ in range(5)] == [1, 2, 3, 4, 5]
    wait_until(
        lambda: visitor.session()["served_by"].startswith(victim["Id"][:12]), "it serves again", 40
    )
    assert visitor.cart() == _CART


def test_old_crashes_are_no_matter(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """A replica that was killed twice and is healthy again is what `make up` wants."""
    for _ in range(2):
        victim = own_stack.inspect("app")[1]
        os.kill(victim["State"]["Pid"], signal.SIGKILL)
        wait_until(partial(_is_healthy_again, own_stack, victim), "it is healthy again", 40)
    assert own_stack.inspect("app")[1]["RestartCount"] >= 2
    assert "Nothing to change" in own_stack.up()
    assert visitor.cart() == _CART


def _is_healthy_again(own_stack: ContainerStack, victim: dict[str, Any]) -> bool:
    state = own_stack.inspect("app")[1]["State"]
    healthy: bool = (
        state["Pid"] != victim["State"]["Pid"] and state["Health"]["Status"] == "healthy"
    )
    return healthy


def test_a_container_is_paused(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """A frozen replica holds up the request that it has; others go elsewhere and are right.

    Thawed within nginx's 30 s, it answers that one, too, and rightly.
    """
    frozen, other = own_stack.replicas()
    with ThreadPoolExecutor(1) as pool:
        with own_stack.paused(frozen):
            held = _held_up(pool, visitor)
            answers = [visitor.session()["served_by"].partition("/")[0] for _ in range(10)]
            assert visitor.cart() == _CART
        assert held.result() == _CART
    assert set(answers) == {other}


def _held_up(pool: ThreadPoolExecutor, visitor: ShopClient) -> Future[dict[str, int]]:
    """Read the cart until a read gets no answer at once; return that one."""
    for _ in range(8):
        reading = pool.submit(visitor.tab().cart)
        try:
            assert reading.result(timeout=3) == _CART
        except TimeoutError:
            return reading
    pytest.fail("no read of eight went to the frozen replica")


def test_the_store_is_restarted(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """The store's container, restarted, has every cart; no replica is restarted for it."""
    replicas = own_stack.replicas()
    docker("restart", own_stack.inspect("redis")[0]["Id"])
    wait_until(own_stack.is_ready_throughout, "every worker is ready again", seconds=20)
    assert visitor.cart() == _CART
    assert own_stack.replicas() == replicas


def test_the_store_is_killed(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """The store killed with SIGKILL is started again by the engine, and has every cart."""
    os.kill(own_stack.pid("redis"), signal.SIGKILL)
    wait_until(own_stack.is_ready_throughout, "every worker is ready again", seconds=20)
    assert visitor.cart() == _CART


def test_the_store_is_paused(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """A frozen store is a 503 with Retry-After, and no new cookie; thawed, every cart is there."""
    with own_stack.paused(own_stack.inspect("redis")[0]["Id"]):
        for _ in range(4):
            answer = visitor.ask("GET", "/api/cart")
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert "Set-Cookie" not in answer.headers
    wait_until(own_stack.is_ready_throughout, "every worker is ready again", seconds=20)
    assert visitor.cart() == _CART


def test_scaled_under_load(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """Three replicas and two again, under load: no request and no connection is lost."""
    before = own_stack.replicas()
    with steady_load(own_stack, visitors=4) as load:
        own_stack.up(REPLICAS="3")
        load.await_more(60)
        after = own_stack.replicas()
        own_stack.up(REPLICAS="2")
        load.await_more(60)
    assert load.failures == []
    assert after[:2] == before
    assert own_stack.replicas() == before
    assert visitor.cart() == _CART


def test_restarted_under_load(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """`make restart` takes each replica out of nginx before it stops: nothing is lost."""
    began = {entry["Id"]: entry["State"]["StartedAt"] for entry in own_stack.inspect("app")}
    with steady_load(own_stack, visitors=4) as load:
        own_stack.succeed("restart")
        load.await_more(60)
    assert load.failures == []
    now = {entry["Id"]: entry["State"]["StartedAt"] for entry in own_stack.inspect("app")}
    assert now.keys() == began.keys()
    assert all(now[each] != began[each] for each in began)
    assert visitor.cart() == _CART


def test_other_settings_under_load(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """Replicas with another number of workers come up before the old ones go: nothing is lost."""
    before = own_stack.replicas()
    nginx, store = own_stack.pid("nginx"), own_stack.pid("redis")
    with steady_load(own_stack, visitors=4) as load:
        own_stack.up(WORKERS="3")
        load.await_more(60)
    assert load.failures == []
    assert not set(before) & set(own_stack.replicas())
    assert [len(own_stack.workers(replica)) for replica in own_stack.replicas()] == [3, 3]
    assert (own_stack.pid("nginx"), own_stack.pid("redis")) == (nginx, store)
    assert visitor.cart() == _CART


def test_a_broken_release_changes_nothing(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """An application that cannot be loaded: its last words are shown, and the rest goes on."""
    before = own_stack.replicas()
    with steady_load(own_stack, visitors=4) as load:
        printed = own_stack.fail("up", APP="nothing:app")
        load.await_more(60)
    assert "No module named 'nothing'" in printed
    assert load.failures == []
    assert own_stack.replicas() == before
    assert visitor.cart() == _CART
