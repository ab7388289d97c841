"""`STORE=sentinel`: a store of one server becomes one that fails over, and its primary ends."""

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from kit.docker.store import SERVERS
from kit.system.sentinel import SENTINELS

from tests.support.stacks.containers import STORE_IMAGES, ContainerStack, StartContainers, docker
from tests.support.waiting import wait_until

# A product's quantity is 99 at most.
_ADDED_OF_EACH = 90


class _Visitor(threading.Thread):
    """Adds one product after the other; each is asked for, under its key, until it is acknowledged.

    Attributes:
        acknowledged: how many are.
    """

    def __init__(self, stack: ContainerStack) -> None:
        super().__init__()
        self.browser = stack.browser()
        self.acknowledged = 0
        self.skus = [each["sku"] for each in self.browser.get("/api/products").json()]
        self.ended = threading.Event()

    def run(self) -> None:
        """Go on until the end."""
        while not self.ended.wait(0.05):
            sku = self.skus[self.acknowledged // _ADDED_OF_EACH]
            wait_until(partial(self._add, sku, os.urandom(8).hex()), "an added product", 60)
            self.acknowledged += 1

    def kept(self) -> int:
        """Return how many are in the cart. A worker may wait before it asks the store again."""
        return sum(wait_until(self._cart, "the cart", 60, ignoring=AssertionError))

    def _cart(self) -> list[int]:
        return [0, *self.browser.cart().values()]

    def _add(self, sku: str, key: str) -> bool:
        return self.browser.add(sku, key=key).status == 200


@contextmanager
def _visitors(stack: ContainerStack) -> Iterator[None]:
    """Let visitors add until the block ends; then each cart has what was acknowledged."""
    visitors = [_Visitor(stack) for _ in range(4)]
    for each in visitors:
        each.start()
    try:
        _await_more(visitors)
        yield
        _await_more(visitors)
    finally:
        for each in visitors:
            each.ended.set()
        for each in visitors:
            each.join()
    # A change waits for one of two replicas. Sentinel may choose the other, without the last one.
    lost = [each.acknowledged - each.kept() for each in visitors]
    assert set(lost) <= {0, 1}, lost


@pytest.fixture(name="single", scope="module")
def _single(new_stack: StartContainers) -> Iterator[ContainerStack]:
    """A store of one server; the first test adds the others."""
    stack = new_stack(REPLICAS="1", WORKERS="4", READY_TIMEOUT="60")
    stack.up()
    yield stack
    assert not stack.dispose()


@pytest.fixture(name="stack", scope="module")
def _stack(single: ContainerStack) -> ContainerStack:
    """The same with Sentinels, also if the first test did not run."""
    single.up(STORE="sentinel", UNSTICKY_WAIT="1 100")
    return single


def _await_more(visitors: list[_Visitor]) -> None:
    """Wait until something more of each visitor is acknowledged."""
    before = [each.acknowledged for each in visitors]
    wait_until(
        lambda: all(v.acknowledged > n for v, n in zip(visitors, before, strict=True)),
        "products that each visitor adds",
        60,
    )


def _roles(stack: ContainerStack) -> dict[str, str]:
    """Return what `make status` says of each server, once all take part."""

    def found() -> dict[str, str] | None:
        row = r"^(redis\S*) +\d+ +running, (primary|replica)(?:, \d+ B behind)?  "
        roles = dict(re.findall(row, stack.succeed("status"), re.MULTILINE))
        return roles if sorted(roles.values()) == ["primary", "replica", "replica"] else None

    return wait_until(found, "a primary and two replicas", 60)


def _primary(stack: ContainerStack) -> str:
    return next(name for name, role in _roles(stack).items() if role == "primary")


def _asked(stack: ContainerStack, command: str) -> str:
    sentinel = stack.inspect("sentinel-1")[0]["Id"]
    return docker("exec", sentinel, "sh", "/etc/redis/sentinel.sh", command)


def test_data_of_one_server_comes_along(single: ContainerStack) -> None:
    """The store gets replicas and Sentinels while visitors add: every added product is there."""
    with _visitors(single):
        single.up(STORE="sentinel", UNSTICKY_WAIT="1 100")
    assert _roles(single) == {"redis": "primary", "redis-2": "replica", "redis-3": "replica"}


def test_a_killed_primary_is_replaced(stack: ContainerStack) -> None:
    """Another server serves every cart, no worker restarts, and the former one comes back."""
    name, (replica,) = _primary(stack), stack.replicas()
    workers = stack.workers(replica)
    with _visitors(stack):
        docker("kill", stack.inspect(name)[0]["Id"])
    assert stack.workers(replica) == workers
    docker("start", stack.inspect(name)[0]["Id"])
    assert _primary(stack) != name


def test_copied_files_need_no_make(stack: ContainerStack) -> None:
    """The commands of docs/operations.md for `deploy/` work in a Sentinel's container."""
    former = _primary(stack)
    assert re.findall(r"(\S+): master", _asked(stack, "status")) == [former]
    assert _asked(stack, "users").split() == ["OK"] * 6
    with _visitors(stack):
        assert _asked(stack, "failover").endswith(f" is the primary, in place of {former}")


def test_a_restart_hands_over_first(stack: ContainerStack) -> None:
    """A restarted primary leaves its place to another server."""
    name, sentinels = _primary(stack), _started(stack)
    with _visitors(stack):
        stack.succeed("restart", SERVICE=name)
    assert _primary(stack) != name
    assert _started(stack) == sentinels


def test_exchanged_addresses(stack: ContainerStack) -> None:
    """Sentinels do not take a server for another one that has its former address."""
    primary = _primary(stack)
    started = _started(stack)
    replicas = sorted(
        (ip_address(_address(stack, each)), each) for each in SERVERS if each != primary
    )
    with _without_gaps(f"{stack.project}_back"):
        docker("stop", *(stack.inspect(name)[0]["Id"] for _, name in replicas))
        (lowest, second), (_, first) = replicas
        docker("start", stack.inspect(first)[0]["Id"])
        # The engine gives the lowest free address. A Sentinel may have the other one by now.
        assert _address(stack, first) == str(lowest)
        time.sleep(3)  # A Sentinel tries the former address every second.
        docker("start", stack.inspect(second)[0]["Id"])
    wait_until(lambda: not started & _started(stack), "Sentinels that started again")
    said = docker("compose", f"--project-name={stack.project}", "logs", *SENTINELS)
    assert said.count("a server has the former address of another one") >= len(SENTINELS)
    assert _primary(stack) == primary
    with _visitors(stack):
        docker("kill", stack.inspect(primary)[0]["Id"])
    docker("start", stack.inspect(primary)[0]["Id"])
    assert _primary(stack) != primary


def _started(stack: ContainerStack) -> set[str]:
    """Return when each Sentinel began."""
    return {stack.inspect(each)[0]["State"]["StartedAt"] for each in SENTINELS}


def _address(stack: ContainerStack, service: str) -> str:
    (network,) = stack.inspect(service)[0]["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


@contextmanager
def _without_gaps(network: str) -> Iterator[None]:
    """Give each address of a network below the highest used one to a container."""
    (found,) = json.loads(docker("network", "inspect", network))
    used = [ip_interface(each["IPv4Address"]).ip for each in found["Containers"].values()]
    gaps = int(max(used)) - int(ip_network(found["IPAM"]["Config"][0]["Subnet"])[1]) - len(used)
    sleep = ("--rm", "--detach", "--entrypoint=sleep", STORE_IMAGES["redis"][0], "120")
    others = [docker("run", f"--network={network}", *sleep) for _ in range(gaps)]
    try:
        yield
    finally:
        if others:
            docker("rm", "--force", *others)


def test_stopped_servers_start_together(stack: ContainerStack) -> None:
    """A Sentinel that starts first would wait for servers that have not started."""
    services = (*SERVERS, *SENTINELS)
    docker("stop", *(stack.inspect(name)[0]["Id"] for name in services))
    stack.up()
    _roles(stack)


def test_one_server_needs_all_data(stack: ContainerStack) -> None:
    """The way back to one server is refused while several run, and if another has later data."""
    if (last := _primary(stack)) == "redis":
        _asked(stack, "failover")
        last = _primary(stack)
    assert "runs with STORE=sentinel" in stack.fail("up", STORE="single", UNSTICKY_WAIT="")
    stack.down()
    refused = stack.fail("up", STORE="single", UNSTICKY_WAIT="")
    assert f"the store's last primary was {last}" in refused
