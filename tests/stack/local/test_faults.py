"""What happens to visitors when a part of the stack fails.

`tests/stack/containers/test_faults.py` collects some of it again, with stacks of containers.
"""

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import psutil
import pytest

from tests.support.http.client import ask
from tests.support.http.wire import Answer, sent
from tests.support.shop.client import ShopClient
from tests.support.stacks.load import steady_load
from tests.support.stacks.local import Stack
from tests.support.waiting import at_most, wait_until

_CART = {"tea": 3, "jam": 1}


@pytest.fixture(name="visitor")
def visitor_of_a_stack(own_stack: Stack) -> Iterator[ShopClient]:
    """A visitor with a full cart, of a stack where everything runs."""
    wait_until(own_stack.is_ready_throughout, "every worker is ready again", 40)
    with own_stack.browser() as browser:
        for sku, qty in _CART.items():
            assert browser.add(sku, qty).status == 200
        yield browser


def _await_new(workers: Callable[[], set[int]], old: set[int]) -> None:
    """Wait until as many new workers have replaced the old ones."""
    wait_until(
        lambda: len(workers()) == len(old) and not workers() & old,
        f"new workers have taken over from {old}",
    )


def _await_recovery(stack: Stack) -> None:
    wait_until(stack.is_ready_throughout, "every worker is ready again", stack.RECOVERY_SECONDS)


def _workers(stack: Stack) -> set[str]:
    return {f"{replica}/{pid}" for replica in stack.replicas() for pid in stack.workers(replica)}


def test_killed_worker_loses_nothing(own_stack: Stack, visitor: ShopClient) -> None:
    """If a worker is killed, the others serve the session, and a new one replaces it."""
    victim = int(visitor.session()["served_by"].partition("/")[2])
    os.kill(victim, signal.SIGKILL)
    for expected in range(2, 12):
        assert visitor.session()["hits"] == expected
        assert visitor.cart() == _CART
    wait_until(lambda: not psutil.pid_exists(victim), "the killed worker is gone")
    wait_until(
        lambda: all(len(own_stack.workers(name)) == 2 for name in ("app-1", "app-2")),
        "both replicas have two workers again",
    )
    assert visitor.cart() == _CART


def test_idempotent_posts_survive_killed_workers(own_stack: Stack, visitor: ShopClient) -> None:
    """Adds with an Idempotency-Key whose workers die are answered by the other replica, once."""

    def add(key: str) -> Answer:
        with visitor.tab() as tab:
            return tab.add("wax", key=key)

    victims = own_stack.workers("app-1")
    everyone = victims | own_stack.workers("app-2")
    with ThreadPoolExecutor(len(everyone)) as threads:
        with own_stack.store_paused():
            adds = [threads.submit(add, f"key-{number}") for number in range(len(everyone))]
            wait_until(lambda: all(map(_is_busy, everyone)), "every worker serves a request")
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
        answers = [each.result() for each in adds]
    assert [answer.status for answer in answers] == [200] * len(everyone)
    assert visitor.cart() == {**_CART, "wax": len(everyone)}


def _is_busy(worker: int) -> bool:
    """Tell whether a worker has a connection beside the one that it listens on."""
    paths = [each.laddr for each in psutil.Process(worker).net_connections("unix")]
    return sum("app-" in str(path) for path in paths) > 1


def test_killed_replica_loses_nothing(own_stack: Stack, visitor: ShopClient) -> None:
    """If a replica is killed, master and workers, the other one serves meanwhile."""
    victim = own_stack.replicas()[0]
    own_stack.kill_replica(victim)
    for _ in range(10):
        assert visitor.cart() == _CART
    assert [visitor.session()["hits"] for _ in range(5)] == [1, 2, 3, 4, 5]
    wait_until(lambda: victim in visitor.session()["served_by"], "it serves again", 40)
    assert visitor.cart() == _CART


def test_stopped_replica_loses_nothing(own_stack: Stack, visitor: ShopClient) -> None:
    """With one replica less, and with two again, the cart is the same, and the first stays."""
    first = own_stack.workers("app-1")
    own_stack.up(REPLICAS="1")
    assert own_stack.replicas() == ["app-1"]
    for _ in range(10):
        assert visitor.cart() == _CART
        assert visitor.session()["served_by"].startswith("app-1/")
    own_stack.up(REPLICAS="2")
    assert {visitor.session()["served_by"].partition("/")[0] for _ in range(10)} == {
        "app-1",
        "app-2",
    }
    assert visitor.cart() == _CART
    assert own_stack.workers("app-1") == first


def test_reload_of_nginx_loses_nothing(own_stack: Stack, visitor: ShopClient) -> None:
    """Reloading nginx under load loses no request and no connection, and no cart."""
    master = own_stack.pid("nginx")
    with steady_load(own_stack) as load:
        for _ in range(3):
            old = own_stack.workers("nginx")
            load.await_more(50)
            os.kill(master, signal.SIGHUP)
            _await_new(partial(own_stack.workers, "nginx"), old)
            load.await_more(50)
    assert load.failures == []
    assert own_stack.pid("nginx") == master
    assert visitor.cart() == _CART


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept", "fresh"])
def test_reload_of_replicas_loses_nothing(
    own_stack: Stack, visitor: ShopClient, *, keep_alive: bool
) -> None:
    """HUP of both replicas under load, three times, loses no request; all workers are new then."""
    with steady_load(own_stack, keep_alive=keep_alive) as load:
        for _ in range(3):
            for replica in ("app-1", "app-2"):
                old = own_stack.workers(replica)
                load.await_more(30)
                os.kill(own_stack.pid(replica), signal.SIGHUP)
                _await_new(partial(own_stack.workers, replica), old)
        load.await_more(30)
    assert load.failures == []
    assert visitor.cart() == _CART


def test_key_changes_under_load(own_stack: Stack, visitor: ShopClient) -> None:
    """The key of the cookies is exchanged as docs/operations.md says; nobody is logged out."""
    visitor.logged_in("ada")
    key = own_stack.state_dir / "secret_key"
    former, new = key.read_text(), secrets.token_hex(32)
    away = own_stack.browser().logged_in("grace")
    with steady_load(own_stack) as load:
        for lines in ([former, new], [new, former]):
            key.write_text("\n".join(lines))
            own_stack.succeed("restart")
            load.await_more(50)
            assert visitor.user() == "ada"
        # Signed with the new key, which now is the only one.
        key.write_text(new)
        own_stack.succeed("restart")
        load.await_more(50)
    assert load.failures == []
    assert (visitor.user(), away.user()) == ("ada", None)
    assert visitor.cart() == _CART


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_restarted_store_has_every_cart(
    own_stack: Stack, visitor: ShopClient, number: signal.Signals
) -> None:
    """The store, ended and started again, has every cart; no replica is restarted for it."""
    workers = _workers(own_stack)
    # `appendfsync everysec` hands every write to the kernel at once: a killed server loses none.
    own_stack.end_service(own_stack.STORE, number)
    _await_recovery(own_stack)
    assert visitor.cart() == _CART
    assert _workers(own_stack) == workers


def _assert_store_is_missed(stack: Stack, visitor: ShopClient) -> None:
    for _ in range(6):
        with at_most(2):
            answer = visitor.ask("GET", "/api/cart")
        assert answer.status == 503
        assert answer.media_type == "application/problem+json"
        assert int(answer.headers["Retry-After"]) >= 1
        assert "Set-Cookie" not in answer.headers
    with at_most(4):
        assert visitor.add("tea").status == 503
        ready = ask(stack.port, "GET", "/readyz")
    assert (ready.status, ready.media_type) == (503, "application/problem+json")
    for path in ("/livez", "/api/products", "/"):
        answer = ask(stack.port, "GET", path)
        assert answer.status == 200
    assert ask(stack.port, "GET", "/api/cart").status == 200


def test_silent_store_is_503(own_stack: Stack, visitor: ShopClient) -> None:
    """While the store answers nothing: 503 with Retry-After within 2 s, liveness and catalog stay.

    Once it answers, the next request is served, with the same workers and the same cookie.
    """
    workers = _workers(own_stack)
    with own_stack.store_paused():
        _assert_store_is_missed(own_stack, visitor)
    _await_recovery(own_stack)
    assert visitor.cart().keys() == _CART.keys()
    assert _workers(own_stack) == workers


def test_missing_store_is_503_until_up(own_stack: Stack, visitor: ShopClient) -> None:
    """Without a store: the same; `make up` brings it back, with every cart, and nothing else."""
    workers = _workers(own_stack)
    nginx = own_stack.pid("nginx")
    own_stack.stop_service("valkey")
    _assert_store_is_missed(own_stack, visitor)
    # So long that each worker has failed to connect about a hundred times.
    assert {visitor.ask("GET", "/api/cart").status for _ in range(400)} == {503}
    own_stack.up()
    _await_recovery(own_stack)
    assert visitor.cart() == _CART
    assert _workers(own_stack) == workers
    assert own_stack.pid("nginx") == nginx


def test_full_store_is_503(own_stack: Stack, visitor: ShopClient) -> None:
    """A full store refuses to add, with a 503, and takes more once it has room; nothing is lost."""
    with own_stack.store() as store:
        limit = store.config_get("maxmemory")["maxmemory"]
        store.config_set("maxmemory", "1mb")
        try:
            answer = visitor.add("tea")
            assert answer.status == 503
            assert answer.media_type == "application/problem+json"
            assert ask(own_stack.port, "GET", "/readyz").status == 503
        finally:
            store.config_set("maxmemory", limit)
    assert visitor.cart() == _CART
    assert visitor.add("tea").status == 200


def test_killed_nginx_is_started_again(own_stack: Stack, visitor: ShopClient) -> None:
    """If nginx is killed with its workers, it is started again, and the cart is there."""
    group = own_stack.pid("nginx")
    os.killpg(group, signal.SIGKILL)
    wait_until(own_stack.is_live, "nginx answers again")
    assert own_stack.pid("nginx") != group
    assert visitor.cart() == _CART


def test_slow_clients_hold_up_nobody(own_stack: Stack, visitor: ShopClient) -> None:
    """Forty clients that send half a request each do not hold up others."""
    half = b"POST /api/cart/items HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n01234"
    with ExitStack() as hanging:
        for _ in range(40):
            hanging.enter_context(sent(own_stack.port, half))
        assert [visitor.session()["hits"] for _ in range(10)] == list(range(1, 11))
    assert visitor.cart() == _CART
