"""What happens to visitors when a container fails."""

import os
import signal
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.stack.local import test_faults
from tests.support.shop.client import ShopClient
from tests.support.stacks.containers import ContainerStack
from tests.support.waiting import wait_until

_CART = {"tea": 3, "jam": 1}

# Collected here, with this folder's stacks.
globals().update({
    name: getattr(test_faults, name)
    for name in (
        "visitor_of_a_stack",
        "test_killed_replica_loses_nothing",
        "test_restarted_store_has_every_cart",
        "test_silent_store_is_503",
    )
})  # fmt: skip


def test_earlier_crashes_do_not_matter(own_stack: ContainerStack, visitor: ShopClient) -> None:
    """`make up` leaves a replica alone that was killed twice and is healthy again."""
    for _ in range(2):
        victim = own_stack.inspect("app")[1]
        os.kill(victim["State"]["Pid"], signal.SIGKILL)
        wait_until(partial(_is_healthy_again, own_stack, victim), "it is healthy again", 40)
    assert own_stack.inspect("app")[1]["RestartCount"] >= 2
    assert "Nothing to deploy" in own_stack.up()
    assert visitor.cart() == _CART


def _is_healthy_again(own_stack: ContainerStack, victim: dict[str, Any]) -> bool:
    state = own_stack.inspect("app")[1]["State"]
    return bool(state["Pid"] != victim["State"]["Pid"] and state["Health"]["Status"] == "healthy")


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
            assert reading.result(timeout=5) == _CART
        except TimeoutError:
            return reading
    pytest.fail("no read of eight went to the frozen replica")
