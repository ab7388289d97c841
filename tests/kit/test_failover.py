"""`STORE=sentinel`: three servers and three Sentinels, of which one may die."""

import json
import os
import re
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from kit.local.sentinel import own_file

from tests.conftest import StartStack
from tests.support.shop.client import ShopClient
from tests.support.stacks.local import Stack
from tests.support.waiting import wait_until


@pytest.fixture(name="watched", scope="module")
def watched_stack(new_stack: StartStack) -> Iterator[Stack]:
    """A stack whose store fails over; the first test starts it."""
    stack = new_stack(REPLICAS="1", WORKERS="2", READY_TIMEOUT="20")
    yield stack
    assert not stack.dispose()


def _roles(stack: Stack) -> dict[str, str]:
    """Return what `make status` says of each server, once all take part."""

    def found() -> dict[str, str] | None:
        shown = stack.succeed("status")
        rows = re.findall(r"^(valkey\S*) +\d+ +running, (\w+)(.*?)  ", shown, re.MULTILINE)
        agree = sorted(role for _, role, _ in rows) == ["primary", "replica", "replica"]
        lags = [more for _, role, more in rows if role == "replica"]
        is_near = all(re.fullmatch(r", \d+ B behind", more) for more in lags)
        return {name: role for name, role, _ in rows} if agree and is_near else None

    return wait_until(found, "a primary and two replicas", 60)


def _primary(stack: Stack) -> str:
    return next(name for name, role in _roles(stack).items() if role == "primary")


def _add(browser: ShopClient) -> None:
    """Add one tea; each answer but 200 says that the store is away, and that nothing was added."""
    key = os.urandom(8).hex()
    wait_until(lambda: browser.add("tea", key=key).status == 200, "an added tea")


def test_data_of_one_server_comes_along(watched: Stack) -> None:
    """A store of one server has to stop first; then three have its data, and say what they do."""
    watched.up()
    browser = watched.browser().logged_in("ada").fill(tea=1)
    assert "make down" in watched.fail("up", STORE="sentinel")
    watched.down()
    watched.up(STORE="sentinel")
    assert browser.cart() == {"tea": 1}
    assert _roles(watched) == {"valkey": "primary", "valkey-2": "replica", "valkey-3": "replica"}
    assert "Nothing to deploy" in watched.up()


def test_a_primary_that_hangs_is_replaced(watched: Stack) -> None:
    """Another server serves the cart, no worker restarts, and the former one comes back."""
    browser, workers = watched.browser(), watched.workers("app-1")
    _add(browser)
    name = _primary(watched)
    pid = watched.pid(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        _add(browser)
        assert re.search(rf"{name} .*, does not answer", watched.succeed("status"))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert browser.cart() == {"tea": 2}
    assert watched.workers("app-1") == workers
    assert _primary(watched) != name
    watched.down()
    assert f"the store's last primary was {_primary_in(watched)}" in watched.fail(
        "up", STORE="single"
    )
    watched.up()
    assert browser.cart() == {"tea": 2}


def test_a_restart_hands_over_first(watched: Stack) -> None:
    """A restarted primary leaves its place to another server, and loses nothing that it took."""
    name = _primary(watched)
    added = _during(watched, lambda: watched.succeed("restart", SERVICE=name))
    assert added > 0
    assert _primary(watched) != name


def test_other_settings_come_one_by_one(watched: Stack) -> None:
    """Servers whose settings change restart one after the other, and the store serves on."""
    added = _during(watched, lambda: watched.up(REDIS_MIN_REPLICAS="1"))
    assert added > 0
    assert "Nothing to deploy" in watched.up()
    _roles(watched)


def test_a_taken_port_is_replaced(watched: Stack) -> None:
    """If another program took a server's port meanwhile, all use another one."""
    browser = watched.browser().fill(tea=1)
    watched.down()
    ports = json.loads((watched.folder.data / "sentinel.json").read_text())["ports"]
    places = [("127.0.0.1", ports[name]) for name in ("valkey-2", "sentinel-1")]
    with socket.create_server(places[0]), socket.create_server(places[1]):
        watched.up()
    assert browser.cart() == {"tea": 1}
    _roles(watched)


def test_a_broken_primary_is_named(watched: Stack) -> None:
    """If its file cannot be read, the data of a replica take their place."""
    browser, name = watched.browser().fill(tea=1), _primary(watched)
    watched.down()
    other = "valkey-2" if name == "valkey" else "valkey"
    broken, whole = (own_file(n, watched.folder).parent / "appendonlydir" for n in (name, other))
    for path in broken.glob("*.incr.aof"):
        path.write_text("unreadable\r\n" * 9)
    assert f"error: {name} is not ready" in watched.fail("up")
    watched.down()
    shutil.rmtree(broken)
    shutil.copytree(whole, broken)
    watched.up()
    assert browser.cart() == {"tea": 1}
    assert _primary(watched) == name


def _remove(browser: ShopClient) -> bool:
    return browser.ask("DELETE", "/api/cart/items/tea").status == 200


def _during(stack: Stack, act: Callable[[], object]) -> int:
    """Add tea after tea while a verb runs; return how many, after they were all found."""
    browser, ended = stack.browser(), threading.Event()
    count = 0

    def add() -> None:
        nonlocal count
        while not ended.is_set():
            if count % 50 == 0:
                wait_until(partial(_remove, browser), "a removed line")
            _add(browser)
            count += 1

    thread = threading.Thread(target=add)
    thread.start()
    try:
        act()
    finally:
        ended.set()
        thread.join()
    assert browser.cart() == {"tea": (count - 1) % 50 + 1}
    return count


def _primary_in(stack: Stack) -> str:
    ports = json.loads((stack.folder.data / "sentinel.json").read_text())["ports"]
    text = (stack.folder.data / "sentinel-1" / "sentinel.conf").read_text()
    (port,) = re.findall(r"^sentinel monitor unsticky \S+ (\d+)", text, re.MULTILINE)
    return next(str(name) for name, number in ports.items() if str(number) == port)
