"""The shop on a Swarm of three hosts, and visitors."""

import json
import os
import random
import re
import secrets
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from tests.support.checkout import ROOT
from tests.support.pages import blocks, rows
from tests.support.shop.client import ShopClient
from tests.support.stacks.containers import STORE_IMAGES
from tests.support.stacks.node import Node
from tests.support.stacks.swarm import SIZE, Swarm
from tests.support.waiting import wait_until

PAGE = ROOT / "compose" / "swarm" / "README.md"
DEPLOY, ROLLBACK = (block.text for block in blocks("Deploy", "sh", page=PAGE))
# What the page's table says for each purpose.
HOW = {what: re.findall("`(.*?)`", how) for what, how in rows(PAGE, "Deploy")}
STACK = "shop"
IMAGE = "unsticky/app:dev"
APP, NGINX = f"{STACK}_app", f"{STACK}_nginx"
SERVERS = ("redis", "redis-2", "redis-3")
_SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")
NGINX_IMAGE = os.environ.get("NGINX_IMAGE") or "nginxinc/nginx-unprivileged:1.30.4"
# A product's quantity is 99 at most.
_ADDED_OF_EACH = 90
# Longer than Swarm takes to miss a host, and to start what it had elsewhere.
LONG = 120.0

Record = Callable[[str, object], None]


class Shop:
    """The demo shop on a Swarm.

    Args:
        swarm: the hosts.
        folder: the folder with the stack's files.
    """

    def __init__(self, swarm: Swarm, folder: Path) -> None:
        self.swarm, self.folder = swarm, folder
        self.doors = list(swarm.nodes)
        images = {"REDIS_IMAGE": STORE_IMAGES["redis"][0], "NGINX_IMAGE": NGINX_IMAGE}
        self._environ = {**images, "READY_TIMEOUT": "5"}

    @property
    def manager(self) -> Node:
        """A host that answers."""
        return self.doors[0]

    def run(self, *scripts: str, **variables: str) -> str:
        """Run commands of the page with the engine of a manager; return what they printed."""
        environ = self._environ | variables
        return self.swarm.run("\n".join(scripts), self.manager, self.folder, environ)

    def deploy(self, image: str = IMAGE, **variables: str) -> str:
        """Deploy as the page says."""
        return self.run(DEPLOY, APP_IMAGE=image, **variables)

    def wait_for_a_replica(self) -> None:
        """Deploy what serves with `UNSTICKY_WAIT`."""
        folder, (image,) = self.folder / "swarm", self.images()
        text = (folder / "shop.env").read_text(encoding="utf-8")
        line, *_ = HOW["fewer acknowledged changes are lost if the primary's host ends"]
        # A machine that does other things takes longer.
        careful = f"{text}{line.replace('100', '500')}\n"
        (folder / "careful.env").write_text(careful, encoding="utf-8")
        self.deploy(image, APP_ENV_FILE="swarm/careful.env")
        self.await_all()

    def release(self, *lines: str) -> str:
        """Make another release on all hosts; return its image's name."""
        name = f"unsticky/app:{secrets.token_hex(4)}"
        text = "\n".join((f"FROM {IMAGE}", f"LABEL release={name}", *lines))
        for node in self.swarm.nodes:
            command = ["docker", "--host", node.host, "build", "--quiet", f"--tag={name}", "-"]
            subprocess.run(command, input=text, text=True, check=True, capture_output=True)
        return name

    def browser(self) -> ShopClient:
        """Return a visitor who comes to a host."""
        return ShopClient(self.swarm.ports[self.manager])

    def updated(self, service: str = APP) -> str:
        """Return how the last update of a service ended."""
        status = self.manager.docker(
            "service", "inspect", service, "--format={{json .UpdateStatus}}"
        )
        return str((json.loads(status) or {}).get("State"))

    def images(self) -> set[str]:
        """Return the images of the replicas that run."""
        shown = self.manager.docker(
            "service", "ps", APP, "--filter=desired-state=running", "--format={{.Image}}"
        )
        return set(shown.split())

    def backup_servers(self) -> list[int]:
        """Return how many replicas the nginx of each host knew when it started."""
        show = ("sh", "-c", "grep -c ' backup ' /tmp/upstream.conf")
        servers = [each.docker("ps", "-q", f"--filter=name={NGINX}") for each in self.doors]
        return [
            int(node.docker("exec", server, *show))
            for node, server in zip(self.doors, servers, strict=True)
        ]

    def await_all(self, *, on: int = SIZE) -> None:
        """Return once so many hosts have nginx, and each replica and server runs."""

        def is_complete() -> bool:
            running = partial(self.swarm.running, self.manager)
            stores = [f"{STACK}_{name}" for name in SERVERS + _SENTINELS]
            return (
                len(running(NGINX)) == on
                and len(running(APP)) == SIZE
                and sum(len(running(each)) for each in stores) == 2 * on
                and all(self.answers(each) for each in self.doors)
                and sum(" connected " in line for line in self.roles()) == on - 1
            )

        try:
            wait_until(is_complete, f"the stack on {on} hosts", LONG, ignoring=AssertionError)
        except AssertionError:
            # What is missing is not in the message.
            tasks = ("service", "ps", *self.manager.docker("service", "ls", "--quiet").split())
            for command in (("node", "ls"), ("service", "ls"), tasks):
                sys.stdout.write(f"{self.manager.docker(*command)}\n")
            for service in [f"{STACK}_{name}" for name in SERVERS + _SENTINELS]:
                if not self.swarm.running(self.manager, service):
                    said = self.manager.docker("service", "logs", "--tail=20", service)
                    sys.stdout.write(f"{said}\n")
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
            if found := node.docker("ps", "--quiet", f"--filter=name={STACK}_sentinel"):
                ask = ("sh", "/etc/redis/sentinel.sh", "status")
                return node.docker("exec", found.split()[0], *ask).splitlines()
        return []

    def primary(self) -> Node:
        """Return the host of the store's primary; for a moment, one that returns is another."""

        def found() -> str | None:
            names = [line.split(":")[0] for line in self.roles() if ": master" in line]
            return names[0] if len(names) == 1 else None

        name = wait_until(found, "one primary", LONG, ignoring=AssertionError)
        (host,) = self.swarm.running(self.manager, f"{STACK}_{name}")
        return next(each for each in self.swarm.nodes if each.name == host)

    def lets_in(self, url: str) -> bool:
        """Return whether the store's primary accepts the password of a URL."""
        password = url.partition("//shop:")[2].partition("@")[0]
        return "PONG" in _ask_store(self.primary(), "shop", password, "ping")

    def stores(self) -> list[dict[str, float]]:
        """Return the numbers that each server of the store says of itself, the primary first."""
        password = (self.folder / "secrets" / "redis_health_password").read_text(encoding="utf-8")
        primary = self.primary()
        nodes = [primary, *(node for node in self.swarm.nodes if node is not primary)]
        said = [_ask_store(node, "health", password, "info everything") for node in nodes]
        numbers = [re.findall(r"^(\w+):(-?\d+)\b", each, re.MULTILINE) for each in said]
        return [{name: float(number) for name, number in each} for each in numbers]

    def leader(self) -> Node:
        """Return the host that leads the managers."""
        shown = self.manager.docker("node", "ls", "--format={{.Hostname}} {{.ManagerStatus}}")
        (name,) = (line.split()[0] for line in shown.splitlines() if line.endswith("Leader"))
        return next(each for each in self.swarm.nodes if each.name == name)

    def has_no_leader(self) -> bool:
        """Return whether the managers that are left agree on nothing."""
        try:
            self.leader()
        except AssertionError:
            return True
        return False


def _ask_store(node: Node, user: str, password: str, command: str) -> str:
    """Run `redis-cli` in the server of the store on a host."""
    server = node.docker("ps", "--quiet", f"--filter=name={STACK}_redis").split()[0]
    script = f"$(command -v valkey-cli || command -v redis-cli) --user {user} {command}"
    return node.docker("exec", f"--env=REDISCLI_AUTH={password}", server, "sh", "-c", script)


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
        return sum(wait_until(self._quantities, "the carts", LONG, ignoring=AssertionError))

    def _quantities(self) -> list[int]:
        carts = [self._browser, *self._full]
        for each in carts:
            # The host that it came to last may be gone.
            each.go_to(self._shop.swarm.ports[self._shop.manager])
        return [0, *(quantity for each in carts for quantity in each.cart().values())]

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
            wait_until(partial(self._add, sku, key), "an added product", 2 * LONG)
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
            LONG,
        )


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
