"""What happens to visitors when a container fails."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.support.containers import ContainerStack, docker
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


def test_killed_container_loses_nothing(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """If a replica is killed, the other one serves, and the engine starts it again."""
    victim = own_stack.inspect("app")[0]
    os.kill(victim["State"]["Pid"], signal.SIGKILL)
    for _ in range(10):
        assert visitor.cart() == _CART
    assert [visitor.session()["hits"] for _ in range(5)] == [1, 2, 3, 4, 5]
    wait_until(
        lambda: visitor.session()["served_by"].startswith(victim["Id"][:12]), "it serves again", 40
    )
    assert visitor.cart() == _CART


def test_earlier_crashes_do_not_matter(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """`make up` leaves a replica alone that was killed twice and is healthy again."""
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


def test_paused_container_holds_up_one_request(
    own_stack: ContainerStack, visitor: ShopClient
) -> None:
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


def test_restarted_store_has_every_cart(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """The store's container, restarted, has every cart; no replica is restarted for it."""
    replicas = own_stack.replicas()
    docker("restart", own_stack.inspect("redis")[0]["Id"])
    wait_until(own_stack.is_ready_throughout, "every worker is ready again", seconds=20)
    assert visitor.cart() == _CART
    assert own_stack.replicas() == replicas


def test_killed_store_has_every_cart(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """The store killed with SIGKILL is started again by the engine, and has every cart."""
    os.kill(own_stack.pid("redis"), signal.SIGKILL)
    wait_until(own_stack.is_ready_throughout, "every worker is ready again", seconds=20)
    assert visitor.cart() == _CART


def test_paused_store_is_503(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """A frozen store is a 503 with Retry-After, and no new cookie; thawed, every cart is there."""
    with own_stack.paused(own_stack.inspect("redis")[0]["Id"]):
        for _ in range(4):
            answer = visitor.ask("GET", "/api/cart")
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert "Set-Cookie" not in answer.headers
    wait_until(own_stack.is_ready_throughout, "every worker is ready again", seconds=20)
    assert visitor.cart() == _CART
