"""`compose/swarm` on a real Swarm of three managers, as its page says."""

import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import copy_checkout
from tests.stack.containers.three_hosts import (
    APP,
    DEPLOY,
    HOW,
    IMAGE,
    LONG,
    NGINX,
    NGINX_IMAGE,
    PAGE,
    ROLLBACK,
    SERVERS,
    STACK,
    Record,
    Shop,
    visitors,
)
from tests.support.checkout import ROOT
from tests.support.pages import blocks, rows
from tests.support.shop.client import ShopClient
from tests.support.stacks.containers import STORE_IMAGES, docker, require_engine
from tests.support.stacks.node import Node
from tests.support.stacks.swarm import SIZE, Swarm
from tests.support.waiting import wait_until

_HOSTS, _LABELS = (block.text for block in blocks("Three hosts", "sh", page=PAGE))
(_COPY,) = (block.text for block in blocks("The image", "sh", page=PAGE))
_BEYOND = ROOT / "docs" / "beyond.md"
_BROKEN = {"dies": 'CMD ["false"]', "is never healthy": 'CMD ["sleep", "600"]'}
# What visitors meet at a host whose nginx is exchanged.
_REFUSALS = "ConnectError", "ReadError", "RemoteProtocolError"


@pytest.fixture(name="shop", scope="module")
def _shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop on three hosts, deployed as the page says."""
    require_engine()
    folder = tmp_path_factory.mktemp("s")
    copy_checkout(folder)
    compose = {"COMPOSE_FILE": "compose.yaml:compose.shop.yaml", "APP_IMAGE": IMAGE}
    command = ["docker", "compose", "build", "--quiet", "app"]
    subprocess.run(command, cwd=folder / "compose", env={**os.environ, **compose}, check=True)
    swarm = Swarm(tmp_path_factory.mktemp("n"))
    try:
        swarm.load(NGINX_IMAGE, STORE_IMAGES["redis"][0])
        swarm.nodes[0].load(IMAGE)
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
    scale, *_ = HOW["more replicas"]
    shop.run(scale)
    assert Counter(shop.swarm.running(shop.manager, APP)) == {n.name: 2 for n in shop.doors}
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


def test_bandwidth_is_that_of_the_formula(shop: Shop, record_property: Record) -> None:
    """What three hosts send for 400 visitors is what the constants of docs/beyond.md say."""
    browsers = [shop.browser() for _ in range(400)]
    for number, each in enumerate(browsers):
        each.go_to(shop.swarm.ports[shop.doors[number % SIZE]])
    skus = [each["sku"] for each in browsers[0].get("/api/products").json()][:8]
    requests = len(browsers) * len(skus)

    def used(step: Callable[[ShopClient], object]) -> dict[str, float]:
        """Return by how much the numbers of the primary rise in a step of all visitors."""
        before, *_ = shop.stores()
        with ThreadPoolExecutor(15) as pool:
            list(pool.map(step, browsers))
        after, *_ = shop.stores()
        return {name: after[name] - number for name, number in before.items() if name in after}

    used(lambda each: each.fill(**dict.fromkeys(skus, 1)))
    added = used(lambda each: [each.add(sku) for sku in skus])
    read = used(lambda each: [each.cart() for _ in skus])
    sent = [
        size for node in shop.doors for size in _sizes(node, "GET /api/cart ", requests // SIZE)
    ]
    measured = {
        "b": [sum(sent) / len(sent) / 1000],
        "d": [way / requests / 1000 for each in (read, added) for way in _ways(each)],
        "r": [added["total_net_repl_output_bytes"] / (SIZE - 1) / requests / 1000],
    }
    constants = {
        name[1]: list(map(float, re.findall(r"\d+(?:\.\d+)?", value)))
        for name, value, *_ in rows(_BEYOND, "What you will need")
        if re.match("`.`", name)
    }
    for name, found in measured.items():
        record_property(f"{name}, measured and said", (found, constants[name]))
        assert found == pytest.approx(constants[name][: len(found)], rel=0.15)


def _ways(info: dict[str, float]) -> tuple[float, float]:
    """Return the bytes that came to a server, and those that went to others than its replicas."""
    sent = info["total_net_output_bytes"] - info["total_net_repl_output_bytes"]
    return info["total_net_input_bytes"], sent


def _sizes(node: Node, request: str, count: int) -> list[int]:
    """Return the sizes of the last answers to a request that the log of a host's nginx has."""
    server = node.docker("ps", "--quiet", f"--filter=name={NGINX}").split()[0]
    lines = [line for line in node.docker("logs", server).splitlines() if line.startswith("{")]
    sizes = [each["bytes_sent"] for each in map(json.loads, lines) if request in each["request"]]
    return sizes[-count:]


def test_an_update_loses_no_request(shop: Shop, record_property: Record) -> None:
    """All replicas are exchanged under load, and exchanged back by hand."""
    before, image = shop.images(), shop.release()
    with visitors(shop, record_property, have_keys=False) as load:
        shop.deploy(image)
        assert shop.images() == {image}
        shop.run(ROLLBACK)
        assert shop.images() == before
        wait_until(lambda: shop.updated() == "rollback_completed", "the end", LONG)
    assert not load.failed


@pytest.mark.parametrize("broken", _BROKEN)
def test_a_broken_release_is_taken_back(shop: Shop, record_property: Record, broken: str) -> None:
    """By Swarm itself, and no request is lost."""
    before, image = shop.images(), shop.release(_BROKEN[broken])
    with visitors(shop, record_property, have_keys=False) as load:
        with pytest.raises(AssertionError, match=f"error: the new release of {APP} was not taken"):
            shop.deploy(image)
        wait_until(lambda: shop.updated() == "rollback_completed", "the rollback", LONG)
        shop.await_all()
        assert shop.images() == before
    assert not load.failed
    shop.deploy(*before)  # which changes nothing, and so is no failure


def test_other_passwords_and_settings(shop: Shop, record_property: Record) -> None:
    """The store's servers, and nginx on each host: one after the other, and nothing is lost."""
    (image,) = shop.images()
    step, *_ = HOW["other keys or passwords"]
    identity = ("service", "inspect", APP, "--format={{.ID}}")
    before = shop.manager.docker(*identity)
    with visitors(shop, record_property) as load:
        shop.run(step)
        # What is exchanged alone is no whole stack, and nothing of the rest is removed.
        shop.run(f"{DEPLOY.strip()} --prune", APP_IMAGE=image, NGINX_GZIP="off")
    assert shop.manager.docker(*identity) == before
    assert {each for each in load.failed if not each.startswith("503 ")} <= {*_REFUSALS}
    # What a new nginx uses until it has asked for the replicas' name.
    assert min(shop.backup_servers()) > 0


def test_other_settings_of_nginx(shop: Shop, record_property: Record) -> None:
    """A host that exchanges its nginx refuses connections, and the others do not."""
    with visitors(shop, record_property) as load:
        shop.deploy(*shop.images(), NGINX_LOGIN_BURST="41")
    assert set(load.failed) <= {*_REFUSALS}


def test_former_passwords_end(shop: Shop, record_property: Record) -> None:
    """All steps, under load. The store knows the password of before until the last one."""
    (image,) = shop.images()
    url = shop.folder / "secrets" / "redis_url"
    former, customer = url.read_text(encoding="utf-8"), shop.browser().fill(honey=7)
    for step in HOW["other keys or passwords"][:3]:
        assert shop.lets_in(former)
        with visitors(shop, record_property) as load:
            shop.run(step)
            shop.deploy(image)
        assert {each for each in load.failed if not each.startswith("503 ")} <= {*_REFUSALS}
        customer.go_to(shop.swarm.ports[shop.manager])
        assert customer.cart() == {"honey": 7}
    assert not shop.lets_in(former)
    assert shop.lets_in(url.read_text(encoding="utf-8"))


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
    shutil.copytree(PAGE.parent, folder / "swarm")
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
    (fail_over,) = HOW["the store's primary is on that host"]
    drain, activate, spread = (
        command.replace("HOST", node.name) for command in HOW["a host is to be maintained"]
    )
    shop.run(fail_over)
    assert shop.primary() is not node
    shop.doors.remove(node)
    with visitors(shop, record_property, have_keys=False) as load:
        shop.run(drain)
        shop.await_all(on=SIZE - 1)
        load.await_more()
        assert node.name not in shop.swarm.running(shop.manager, APP)
    assert not load.failed
    # Its server of the store waits for it, and nothing else does.
    for _ in range(2):
        shop.deploy(*shop.images())
    shop.run(activate)
    shop.doors.append(node)
    shop.await_all()
    shop.run(spread)
    wait_until(lambda: shop.updated() == "completed", "the end of the update", LONG)
    assert node.name in shop.swarm.running(shop.manager, APP)


@pytest.mark.parametrize(
    ("role", "end"),
    [("primary", "killed"), ("leader", "cut off"), ("primary", "cut off"), ("leader", "killed")],
)
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


def test_all_hosts_that_end(careful: Shop, record_property: Record) -> None:
    """Without a leader, a deployment is refused. Once all are back, so is each cart."""
    (image,), nodes = careful.images(), careful.swarm.nodes
    with visitors(careful, record_property):
        for node in nodes[1:]:
            node.kill()
        careful.doors = nodes[:1]
        wait_until(careful.has_no_leader, "a Swarm without a leader", LONG)
        with pytest.raises(AssertionError, match="no manager of a Swarm that has a leader"):
            careful.deploy(image)
        nodes[0].kill()
        for node in nodes:
            node.start()
        began = time.monotonic()
        careful.doors = [*nodes]
        careful.await_all()
        record_property("seconds until all serve", round(time.monotonic() - began))


def test_a_store_elsewhere(shop: Shop) -> None:
    """The servers of the Swarm end, and the URL of another one counts; it begins empty."""
    password, image = secrets.token_hex(8), STORE_IMAGES["redis"][0]
    given = ("--detach", "--rm", f"--network={shop.swarm.network}")
    server = docker("run", *given, image, "redis-server", "--requirepass", password)
    try:
        form = "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        url = shop.folder / "secrets" / "redis_url"
        url.unlink()
        url.write_text(f"redis://:{password}@{docker('inspect', form, server)}:6379/0")
        shop.deploy(*shop.images(), STORE_REPLICAS="0")
        assert not any(shop.swarm.running(shop.manager, f"{STACK}_{name}") for name in SERVERS)
        browser = shop.browser().fill(jam=1)
        for door in shop.doors:
            browser.go_to(shop.swarm.ports[door])
            assert browser.cart() == {"jam": 1}
    finally:
        docker("rm", "--force", server)
