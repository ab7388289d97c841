"""`compose/swarm` on a real Swarm of three managers, as its page says."""

import json
import os
import random
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.conftest import copy_checkout
from tests.support.checkout import ROOT
from tests.support.pages import blocks, rows
from tests.support.shop.client import ShopClient
from tests.support.stacks.containers import STORE_IMAGES, require_engine
from tests.support.stacks.node import Node
from tests.support.stacks.swarm import SIZE, Swarm
from tests.support.waiting import wait_until

_PAGE = ROOT / "compose" / "swarm" / "README.md"
_HOSTS, _LABELS = (block.text for block in blocks("Three hosts", "sh", page=_PAGE))
(_COPY,) = (block.text for block in blocks("The image", "sh", page=_PAGE))
_DEPLOY, _ROLLBACK = (block.text for block in blocks("Deploy", "sh", page=_PAGE))
# What the page's table says for each purpose.
_HOW = {what: re.findall("`(.*?)`", how) for what, how in rows(_PAGE, "Deploy")}
_STACK = "shop"
_IMAGE = "unsticky/app:dev"
_APP, _NGINX = f"{_STACK}_app", f"{_STACK}_nginx"
_SERVERS = ("redis", "redis-2", "redis-3")
_SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")
_NGINX_IMAGE = os.environ.get("NGINX_IMAGE") or "nginxinc/nginx-unprivileged:1.30.4"
# A product's quantity is 99 at most.
_ADDED_OF_EACH = 90
# Longer than Swarm takes to miss a host, and to start what it had elsewhere.
_LONG = 120.0
_BROKEN = {"dies": 'CMD ["false"]', "is never healthy": 'CMD ["sleep", "600"]'}

Record = Callable[[str, object], None]


class Shop:
    """The demo shop on a Swarm.

    Args:
        swarm: the hosts.
        folder: the folder with the stack's files.
    """

    def __init__(self, swarm: Swarm, folder: Path) -> None:
        self.swarm, self._folder = swarm, folder
        self.doors = list(swarm.nodes)
        images = {"REDIS_IMAGE": STORE_IMAGES["redis"][0], "NGINX_IMAGE": _NGINX_IMAGE}
        self._environ = {**images, "READY_TIMEOUT": "5"}

    @property
    def manager(self) -> Node:
        """A host that answers."""
        return self.doors[0]

    def run(self, *scripts: str, **variables: str) -> str:
        """Run commands of the page with the engine of a manager; return what they printed."""
        environ = self._environ | variables
        return self.swarm.run("\n".join(scripts), self.manager, self._folder, environ)

    def deploy(self, image: str = _IMAGE, **variables: str) -> str:
        """Deploy as the page says."""
        return self.run(_DEPLOY, APP_IMAGE=image, **variables)

    def wait_for_a_replica(self) -> None:
        """Deploy what serves with `UNSTICKY_WAIT`."""
        folder, (image,) = self._folder / "swarm", self.images()
        text = (folder / "shop.env").read_text(encoding="utf-8")
        line, *_ = _HOW["fewer acknowledged changes are lost if the primary's host ends"]
        # A machine that does other things takes longer.
        careful = f"{text}{line.replace('100', '500')}\n"
        (folder / "careful.env").write_text(careful, encoding="utf-8")
        self.deploy(image, APP_ENV_FILE="swarm/careful.env")
        self.await_all()

    def release(self, *lines: str) -> str:
        """Make another release on all hosts; return its image's name."""
        name = f"unsticky/app:{secrets.token_hex(4)}"
        text = "\n".join((f"FROM {_IMAGE}", f"LABEL release={name}", *lines))
        for node in self.swarm.nodes:
            command = ["docker", "--host", node.host, "build", "--quiet", f"--tag={name}", "-"]
            subprocess.run(command, input=text, text=True, check=True, capture_output=True)
        return name

    def browser(self) -> ShopClient:
        """Return a visitor who comes to a host."""
        return ShopClient(self.swarm.ports[self.manager])

    def updated(self, service: str = _APP) -> str:
        """Return how the last update of a service ended."""
        status = self.manager.docker(
            "service", "inspect", service, "--format={{json .UpdateStatus}}"
        )
        return str((json.loads(status) or {}).get("State"))

    def images(self) -> set[str]:
        """Return the images of the replicas that run."""
        shown = self.manager.docker(
            "service", "ps", _APP, "--filter=desired-state=running", "--format={{.Image}}"
        )
        return set(shown.split())

    def await_all(self, *, on: int = SIZE) -> None:
        """Return once so many hosts have nginx, and each replica and server runs."""

        def is_complete() -> bool:
            running = partial(self.swarm.running, self.manager)
            stores = [f"{_STACK}_{name}" for name in _SERVERS + _SENTINELS]
            return (
                len(running(_NGINX)) == on
                and len(running(_APP)) == SIZE
                and sum(len(running(each)) for each in stores) == 2 * on
                and all(self.answers(each) for each in self.doors)
                and sum(" connected " in line for line in self.roles()) == on - 1
            )

        try:
            wait_until(is_complete, f"the stack on {on} hosts", _LONG, ignoring=AssertionError)
        except AssertionError:
            # What is missing is not in the message.
            tasks = ("service", "ps", *self.manager.docker("service", "ls", "--quiet").split())
            for command in (("node", "ls"), ("service", "ls"), tasks):
                sys.stdout.write(f"{self.manager.docker(*command)}\n")
            sys.stdout.write(f"{self.roles()}\n")
            raise

    def answers(self, node: Node) -> bool:
        """Return whether a host answers, with the store."""
        try:
            return ShopClient(self.swarm.ports[node]).get("/readyz").status == 200
        except httpx.TransportError:
            return False

    def roles(self) -> list[str]:
        """Return what each server of the store says of itself, in one line each."""
        for node in self.doors:
            if found := node.docker("ps", "--quiet", f"--filter=name={_STACK}_sentinel"):
                ask = ("sh", "/etc/redis/sentinel.sh", "status")
                return node.docker("exec", found.split()[0], *ask).splitlines()
        return []

    def primary(self) -> Node:
        """Return the host of the store's primary; for a moment, one that returns is another."""

        def found() -> str | None:
            names = [line.split(":")[0] for line in self.roles() if ": master" in line]
            return names[0] if len(names) == 1 else None

        name = wait_until(found, "one primary", _LONG, ignoring=AssertionError)
        (host,) = self.swarm.running(self.manager, f"{_STACK}_{name}")
        return next(each for each in self.swarm.nodes if each.name == host)

    def leader(self) -> Node:
        """Return the host that leads the managers."""
        shown = self.manager.docker("node", "ls", "--format={{.Hostname}} {{.ManagerStatus}}")
        (name,) = (line.split()[0] for line in shown.splitlines() if line.endswith("Leader"))
        return next(each for each in self.swarm.nodes if each.name == name)


class Visitor(threading.Thread):
    """Adds one product after the other; each is asked for until it is acknowledged.

    Args:
        shop: where they come to.
        has_keys: whether an addition has a key, under which it counts once. nginx, too, sends such
            a request again if its replica ends.

    Attributes:
        acknowledged: how many are.
        failed: each other outcome, in words.
    """

    def __init__(self, shop: Shop, *, has_keys: bool) -> None:
        super().__init__(daemon=True)
        self._has_keys = has_keys
        self._browser = shop.browser()
        self._full: list[ShopClient] = []
        self.acknowledged = 0
        self.failed: Counter[str] = Counter()
        self.ended = threading.Event()
        self._shop = shop
        self._skus = [each["sku"] for each in self._browser.get("/api/products").json()]

    def kept(self) -> int:
        """Return how many products are in the carts; a replica may still have no store."""
        return sum(wait_until(self._quantities, "the carts", _LONG, ignoring=AssertionError))

    def _quantities(self) -> list[int]:
        return [0, *(n for each in (self._browser, *self._full) for n in each.cart().values())]

    def run(self) -> None:
        """Go on until the end."""
        while not self.ended.wait(0.25):
            kind, added = divmod(self.acknowledged, _ADDED_OF_EACH)
            turn, place = divmod(kind, len(self._skus))
            if turn and not place + added:
                self._full.append(self._browser)
                self._browser = self._shop.browser()
            sku = self._skus[place]
            key = os.urandom(8).hex() if self._has_keys else None
            wait_until(partial(self._add, sku, key), "an added product", _LONG)
            self.acknowledged += 1

    def _add(self, sku: str, key: str | None) -> bool:
        self._browser.go_to(self._shop.swarm.ports[random.choice(self._shop.doors)])
        try:
            answer = self._browser.add(sku, key=key)
        except httpx.TransportError as error:
            self.failed[type(error).__name__] += 1
            return False
        if answer.status != 200:
            self.failed[f"{answer.status} {answer.json().get('detail', '')}"] += 1
        return answer.status == 200


class Visitors(list[Visitor]):
    """Several of them."""

    @property
    def failed(self) -> Counter[str]:
        """Outcomes that no visitor should see."""
        return sum((each.failed for each in self), Counter[str]())

    def await_more(self) -> None:
        """Wait until something more of each visitor is acknowledged."""
        before = [each.acknowledged for each in self]
        wait_until(
            lambda: all(v.acknowledged > n for v, n in zip(self, before, strict=True)),
            "products that each visitor adds",
            _LONG,
        )


@pytest.fixture(name="shop", scope="module")
def _shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop on three hosts, deployed as the page says."""
    require_engine()
    folder = tmp_path_factory.mktemp("s")
    copy_checkout(folder)
    compose = {"COMPOSE_FILE": "compose.yaml:compose.shop.yaml", "APP_IMAGE": _IMAGE}
    command = ["docker", "compose", "build", "--quiet", "app"]
    subprocess.run(command, cwd=folder / "compose", env={**os.environ, **compose}, check=True)
    swarm = Swarm(tmp_path_factory.mktemp("n"))
    try:
        swarm.load(_NGINX_IMAGE, STORE_IMAGES["redis"][0])
        swarm.nodes[0].load(_IMAGE)
        shop = Shop(swarm, folder / "compose")
        shop.run(_HOSTS, _LABELS, _COPY)
        shop.deploy()
        shop.await_all()
        # Sentinels ask the primary every 10 s which replicas it has. Those that they do not know
        # yet would not follow another one.
        time.sleep(12)
        yield shop
    finally:
        swarm.dispose()


@pytest.fixture(name="careful", scope="module")
def _careful(shop: Shop) -> Shop:
    """The same, where a change is acknowledged once a second server has it."""
    shop.wait_for_a_replica()
    return shop


@contextmanager
def visitors(
    shop: Shop, record: Record, lost: int = 0, *, have_keys: bool = True
) -> Iterator[Visitors]:
    """Let visitors add until the block ends; then each cart has what was acknowledged, once.

    Args:
        shop: where they come to.
        record: of the test's properties, which its log shows.
        lost: how many of a visitor's changes may be lost by a fail-over.
        have_keys: whether additions have keys.
    """
    all_of_them = Visitors(Visitor(shop, has_keys=have_keys) for _ in range(6))
    for each in all_of_them:
        each.start()
    try:
        all_of_them.await_more()
        yield all_of_them
        all_of_them.await_more()
    finally:
        for each in all_of_them:
            each.ended.set()
        for each in all_of_them:
            each.join()
        sys.stdout.write(f"not answered with 200: {dict(all_of_them.failed)}\n{shop.roles()}\n")
    missing = [each.acknowledged - each.kept() for each in all_of_them]
    acknowledged = sum(each.acknowledged for each in all_of_them)
    record(
        "additions acknowledged, lost, failed",
        (acknowledged, sum(missing), dict(all_of_them.failed)),
    )
    # .ci/run knows these words.
    assert max(missing) <= lost, f"acknowledged and lost: {sum(missing)}"
    assert min(missing) >= 0


def test_a_session_follows_its_user(shop: Shop, record_property: Record) -> None:
    """From host to host and from replica to replica it is one session, with one cart."""
    browser = shop.browser()
    hosts: Counter[str] = Counter()
    for number in range(60):
        browser.go_to(shop.swarm.ports[shop.doors[number % SIZE]])
        answer = browser.add("tea")
        assert answer.json()["count"] == number + 1
        hosts[answer.headers["X-Served-By"].rpartition("-")[0]] += 1
    assert set(hosts) == {node.name for node in shop.swarm.nodes}
    record_property("additions by host", sorted(hosts.values()))


def test_more_replicas_and_fewer(shop: Shop) -> None:
    """Six replicas are two on each host."""
    scale, *_ = _HOW["more replicas"]
    shop.run(scale)
    assert Counter(shop.swarm.running(shop.manager, _APP)) == {n.name: 2 for n in shop.doors}
    shop.run(scale.replace("6", str(SIZE)))
    shop.await_all()


def test_concurrent_adds_are_all_kept(shop: Shop, record_property: Record) -> None:
    """Of 90 additions to one cart, at once and through all hosts, none is lost."""
    browser = shop.browser().fill(jam=1)
    statuses: Counter[int] = Counter()

    def add(number: int) -> None:
        tab, key = browser.tab(), f"addition-{number:03d}"
        tab.go_to(shop.swarm.ports[shop.doors[number % SIZE]])
        # A machine that does other things may keep the store from answering in time.
        while (status := tab.add("tea", key=key).status) != 200:
            assert status == 503
            statuses[status] += 1
        statuses[status] += 1

    with ThreadPoolExecutor(15) as pool:
        list(pool.map(add, range(90)))
    record_property("statuses", dict(statuses))
    assert browser.cart() == {"jam": 1, "tea": 90}


def test_an_update_loses_no_request(shop: Shop, record_property: Record) -> None:
    """All replicas are exchanged under load, and exchanged back by hand."""
    before, image = shop.images(), shop.release()
    with visitors(shop, record_property, have_keys=False) as load:
        shop.deploy(image)
        assert shop.images() == {image}
        shop.run(_ROLLBACK)
        assert shop.images() == before
        wait_until(lambda: shop.updated() == "rollback_completed", "the end", _LONG)
    assert not load.failed


@pytest.mark.parametrize("broken", _BROKEN)
def test_a_broken_release_is_taken_back(shop: Shop, record_property: Record, broken: str) -> None:
    """By Swarm itself, and no request is lost."""
    before, image = shop.images(), shop.release(_BROKEN[broken])
    with visitors(shop, record_property, have_keys=False) as load:
        with pytest.raises(AssertionError, match=f"error: the new release of {_APP} was not taken"):
            shop.deploy(image)
        wait_until(lambda: shop.updated() == "rollback_completed", "the rollback", _LONG)
        shop.await_all()
        assert shop.images() == before
    assert not load.failed
    shop.deploy(*before)  # which changes nothing, and so is no failure


def test_other_passwords_and_settings(shop: Shop, record_property: Record) -> None:
    """The store's servers, and nginx on each host: one after the other, and nothing is lost."""
    (image,) = shop.images()
    step, *_ = _HOW["other keys or passwords"]
    identity = ("service", "inspect", _APP, "--format={{.ID}}")
    before = shop.manager.docker(*identity)
    with visitors(shop, record_property) as load:
        shop.run(step)
        # What is exchanged alone is no whole stack, and nothing of the rest is removed.
        shop.run(f"{_DEPLOY.strip()} --prune", APP_IMAGE=image, NGINX_GZIP="off")
    assert shop.manager.docker(*identity) == before
    refused = "ConnectError", "ReadError", "RemoteProtocolError"
    assert {each for each in load.failed if not each.startswith("503 ")} <= {*refused}


_REFUSED = [
    (" APP_IMAGE: a", {}, ".env, line 1 is not NAME=value"),
    ("APP_IMAGE='' # none", {}, "APP_IMAGE is not set"),
    ("APP_IMAGE=a", {"DOCKER_HOST": "tcp://127.0.0.1:1"}, "no engine answers"),
    ("APP_IMAGE=a", {"DOCKER_CONTEXT": "default"}, "the engine is no manager of a Swarm"),
    (' export APP_IMAGE = "a" # b\r', {}, "secrets/secret_key, or it is empty"),
]


@pytest.mark.parametrize(("line", "variables", "said"), _REFUSED)
def test_what_is_wrong_is_said(
    shop: Shop, tmp_path: Path, line: str, variables: dict[str, str], said: str
) -> None:
    """Before anything is changed, also from a folder whose name has a space."""
    folder = tmp_path / "a folder"
    shutil.copytree(_PAGE.parent, folder / "swarm")
    (folder / "nginx").mkdir()
    (folder / ".env").write_bytes(f"{line}\n".encode())
    with pytest.raises(AssertionError) as refused:
        shop.run(f"sh '{folder}/swarm/deploy.sh'", **variables)
    error, hint = str(refused.value).splitlines()[-2:]
    assert error.startswith("error: ")
    assert said in error
    assert hint.startswith("  hint: ")


def test_a_drained_host(shop: Shop, record_property: Record) -> None:
    """That of the store's primary hands over first. Then nothing fails elsewhere."""
    node = shop.primary()
    (fail_over,) = _HOW["the store's primary is on that host"]
    drain, activate, spread = (
        command.replace("HOST", node.name) for command in _HOW["a host is to be maintained"]
    )
    shop.run(fail_over)
    assert shop.primary() is not node
    shop.doors.remove(node)
    with visitors(shop, record_property, have_keys=False) as load:
        shop.run(drain)
        shop.await_all(on=SIZE - 1)
        load.await_more()
        assert node.name not in shop.swarm.running(shop.manager, _APP)
    assert not load.failed
    # Its server of the store waits for it, and nothing else does.
    for _ in range(2):
        shop.deploy(*shop.images())
    shop.run(activate)
    shop.doors.append(node)
    shop.await_all()
    shop.run(spread)
    wait_until(lambda: shop.updated() == "completed", "the end of the update", _LONG)
    assert node.name in shop.swarm.running(shop.manager, _APP)


@pytest.mark.parametrize(("role", "end"), [("primary", "killed"), ("leader", "cut off")])
def test_a_host_that_is_gone(careful: Shop, record_property: Record, end: str, role: str) -> None:
    """The others serve, and can still be changed; it comes back, and is one of them again."""
    node = careful.primary() if role == "primary" else careful.leader()
    was_primary = node is careful.primary()
    strike, undo = {
        "killed": (Node.kill, Node.start),
        "cut off": (Node.disconnect, Node.reconnect),
    }[end]
    # What a balancer in front does.
    careful.doors.remove(node)
    # A change waits for one of two replicas. Sentinel may choose the other, without the last one.
    with visitors(careful, record_property, lost=int(was_primary)) as load:
        strike(node)
        careful.await_all(on=SIZE - 1)
        load.await_more()
        # Two of three managers still agree on changes.
        careful.manager.docker(
            "node", "update", f"--label-add=without={node.name}", careful.manager.name
        )
        if was_primary:
            assert careful.primary() is not node
    # A request to each replica that was there may fail; without a primary, all do for a while.
    assert was_primary or sum(load.failed.values()) <= SIZE, load.failed
    undo(node)
    careful.doors.append(node)
    careful.await_all()
