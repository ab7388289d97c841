"""docs/beyond.md, carried out: the shop on one machine, then on two hosts behind a balancer."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.stack.containers.two_hosts import HOSTS, Site, shoppers_add, shown
from tests.support.checkout import ROOT
from tests.support.pages import blocks
from tests.support.shop.client import ShopClient
from tests.support.stacks.containers import docker, require_engine
from tests.support.waiting import wait_until

Record = Callable[[str, object], None]
_SKUS = ("tea", "jam", "honey", "rice")


@pytest.fixture(name="bare", scope="module")
def _bare(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The machines without a stack, and a balancer that looks for it."""
    require_engine()
    site = Site(tmp_path_factory.mktemp("h"), checkout)
    try:
        yield site
    finally:
        site.dispose()


@pytest.fixture(name="customer", scope="module")
def _customer(bare: Site) -> ShopClient:
    """Somebody who filled a cart when there was one machine."""
    contexts, functions = shown("The hosts")
    (bare.folder / "rollout.sh").write_text(bare.fitted(functions), encoding="utf-8")
    bare.succeed("sh secrets.sh", bare.fitted(contexts))
    address = bare.address(bare.nodes["web-1"].name)
    bare.succeed(". ./rollout.sh; copy && ./deploy", DOCKER_CONTEXT="web-1", BIND_ADDRESS=address)
    return bare.shopper().fill(honey=7)


@pytest.fixture(name="site", scope="module")
def _site(bare: Site, customer: ShopClient) -> Site:
    """Two hosts, as the page makes them."""
    del customer
    (overlay,) = shown("The store", "yaml")
    (bare.folder / "store.yaml").write_text(bare.fitted(overlay), encoding="utf-8")
    printed = bare.succeed(*map(bare.fitted, (*shown("The store"), *shown("Go"))))
    assert printed.count("runs in app-") == 2, printed
    # On web-1 from the new image and beside what serves, on web-2 afterwards.
    assert printed.count("The store takes writes.") == 3, printed
    return bare


def test_workers_need_no_store_on_their_host(site: Site) -> None:
    """With background workers, too, the overlay leaves no service out, and none that is missing."""
    listed = site.succeed("docker compose --profile worker config --services")
    assert {*listed.split()} == {"app", "nginx", "scheduler", "worker"}


def test_session_follows_to_both_hosts(site: Site, customer: ShopClient) -> None:
    """The cart of one machine is there, and 40 requests of one session meet both hosts."""
    assert customer.cart() == {"honey": 7}
    seen = [customer.session() for _ in range(40)]
    assert [each["hits"] for each in seen] == [seen[0]["hits"] + number for number in range(40)]
    met = Counter(site.host_of(each["served_by"]) for each in seen)
    assert met.keys() == {*HOSTS}
    assert min(met.values()) >= 10, met
    assert len({each["handle"] for each in seen}) == 1


def test_concurrent_adds_on_both_hosts_are_all_kept(site: Site) -> None:
    """Of 200 adds to one cart, 16 at a time over both hosts, none is lost."""
    browser = site.shopper()
    browser.session()
    replicas: set[str] = set()

    def add(number: int) -> int:
        answer = browser.tab().add(_SKUS[number % 4])
        replicas.add(answer.headers["X-Served-By"].partition("/")[0])
        return answer.status

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(add, range(200))) == {200}
    assert browser.cart() == dict.fromkeys(_SKUS, 50)
    assert replicas == site.replicas("web-1") | site.replicas("web-2")


def test_deployment_of_both_hosts_loses_nothing(site: Site, record_property: Record) -> None:
    """One host after the other, under load: every add counts, and the release command runs once."""
    before = {host: site.replicas(host) for host in HOSTS}
    site.release()
    command = {"RELEASE_COMMAND": 'echo "$APP" >>instance/commands'}
    with shoppers_add(site) as load:
        site.succeed(". ./rollout.sh; rollout", **command)
        load.await_more(50)
    record_property("adds, lost", (load.acknowledged, len(load.lost)))
    assert not load.lost[:10]
    ran = []
    for host in HOSTS:
        assert not before[host] & site.replicas(host)
        replica = site.replicas(host).pop()
        script = "cat instance/commands 2>/dev/null || true"
        ran.append(site.nodes[host].docker("exec", replica, "sh", "-c", script))
    assert ran == ["shop:create_app()", ""]


def test_broken_release_stays_on_the_first_host(site: Site) -> None:
    """The first host goes back to what served, and the second is not touched."""
    before = site.replicas("web-2")
    site.release("import no_such_module")
    with shoppers_add(site, 2) as load:
        status, printed = site.run(". ./rollout.sh; rollout")
    site.release()
    assert status == 1, printed
    assert "No module named 'no_such_module'" in printed
    assert printed.count("going back to the replicas that served before") == 1
    assert not load.lost[:10]
    assert site.replicas("web-2") == before
    assert len(site.replicas("web-1")) == 1


def test_rollback_of_both_hosts(site: Site, record_property: Record) -> None:
    """One host after the other goes back to its image of before, under load."""

    def images() -> list[str]:
        form = "--format={{.Image}}"
        return [site.nodes[host].docker("inspect", form, *site.replicas(host)) for host in HOSTS]

    before = images()
    site.release()
    with shoppers_add(site) as load:
        site.succeed(". ./rollout.sh; rollout")
        assert not {*before} & {*images()}
        site.succeed(". ./rollout.sh; rollout rollback")
        load.await_more(50)
    record_property("adds, lost", (load.acknowledged, len(load.lost)))
    assert images() == before
    assert not load.lost[:10]


def test_secrets_change_on_both_hosts(
    site: Site, customer: ShopClient, record_property: Record
) -> None:
    """Key and passwords change under load: every add counts, and who visits keeps the cart."""
    _, *steps = blocks("Change the secrets", "sh", page=ROOT / "docs" / "operations.md")
    url = site.folder / "secrets" / "store_url"
    former, ended = url.read_text(), _workers_ended(site)
    adds, lost = 0, list[str]()
    for number, step in enumerate(steps, start=1):
        # Others for each step: who stays away from `use` to `retire` is logged out.
        with shoppers_add(site) as load:
            site.succeed(". ./rollout.sh", step.text)
            _await_ended(site, ended + number * 4)
            load.await_more(100)
        assert customer.cart() == {"honey": 7}
        adds, lost = adds + load.acknowledged, lost + load.lost
    record_property("adds, lost", (adds, len(lost)))
    assert not lost[:10]
    ping = "store exec -T redis redis-cli -u $(cat secrets/store_url) ping </dev/null"
    assert "PONG" in site.succeed(". ./rollout.sh", ping)
    replaced = ping.replace("$(cat secrets/store_url)", former)
    assert "PONG" not in site.succeed(f". ./rollout.sh; {replaced}")


def _workers_ended(site: Site) -> int:
    logs = "for host in web-1 web-2; do docker --context $host compose logs app; done"
    return site.succeed(logs).count("Worker exiting")


def _await_ended(site: Site, workers: int) -> None:
    what = "the workers that knew the former secrets have ended"
    wait_until(lambda: _workers_ended(site) >= workers, what, 60)


def test_host_that_is_stopped_is_not_missed(site: Site, record_property: Record) -> None:
    """Of the requests before, meanwhile and after its start, none is lost."""
    with shoppers_add(site) as load:
        for verb in ("stop", "start"):
            site.succeed(f"docker --context web-2 compose {verb}")
            load.await_more(50)
    record_property("adds, lost", (load.acknowledged, len(load.lost)))
    assert not load.lost[:10]


def test_client_address_is_the_visitors(site: Site) -> None:
    """The hosts log who came to the balancer, and not what somebody claims to be."""
    _assert_clients_are_known(site, *HOSTS)


def _assert_clients_are_known(site: Site, *hosts: str) -> None:
    """Assert that these hosts get requests, and log the address of who came to the balancer."""
    claim = {"X_Forwarded_For": "203.0.113.7"}
    sent: set[str] = set()
    gateway = docker("network", "inspect", "--format={{(index .IPAM.Config 0).Gateway}}", site.lan)

    def logged(host: str) -> set[str]:
        sent.add(site.shopper().get("/livez", **claim).request_id)
        node = site.nodes[host]
        log = node.docker("logs", "--tail=50", node.docker("ps", "-q", "--filter=name=nginx"))
        lines = [line for line in log.splitlines() if any(each in line for each in sent)]
        return {json.loads(line)["client"] for line in lines}

    for host in hosts:
        assert wait_until(partial(logged, host), f"requests in the log of {host}") == {gateway}


def test_host_that_is_cut_off_comes_back(site: Site, record_property: Record) -> None:
    """The other host serves meanwhile, and afterwards both do; acknowledged adds are all there."""
    cut, left = site.nodes["web-2"], site.replicas("web-1")
    with shoppers_add(site) as load:
        load.await_more(30)
        cut.disconnect()
        try:
            load.await_more(100)
            during = {site.shopper().add("jam").headers["X-Served-By"] for _ in range(10)}
        finally:
            cut.reconnect()
        both = left | site.replicas("web-2")

        def is_back() -> bool:
            return site.host_of(site.shopper().add("jam").headers["X-Served-By"]) == "web-2"

        wait_until(is_back, "web-2 serves again", 60)
        load.await_more(50)
    record_property("adds, lost", (load.acknowledged, dict(Counter(load.lost))))
    assert {each.partition("/")[0] for each in during} <= left < both
    # A request that was under way: one for each shopper at most. The host itself may answer 503
    # for a second, because it did not reach its store.
    assert len([each for each in load.lost if not each.startswith("503")]) <= 6


def test_killed_host(site: Site, record_property: Record) -> None:
    """At most what it had is lost; all others succeed, and each acknowledged add is there."""
    with shoppers_add(site) as load:
        load.await_more(50)
        site.nodes["web-1"].kill()
        load.await_more(200)
        load.lost, before = [], load.lost
        site.forget_failures()
        load.await_more(200)
    record_property("adds, lost", (load.acknowledged, dict(Counter(before))))
    assert len(before) <= 6
    assert not load.lost[:10]


def test_three_hosts_have_the_carts(site: Site, customer: ShopClient) -> None:
    """The machines become a Swarm; the session of one machine goes on, on all three."""
    site.nodes["web-1"].start()
    cart = wait_until(customer.cart, "the cart", 60, ignoring=AssertionError)
    site.succeed(*map(site.fitted, shown("From two hosts to three")))
    site.add_a_host()
    assert customer.cart() == cart
    met = {customer.session()["served_by"].rpartition("-")[0] for _ in range(60)}
    assert met == {node.name for node in site.nodes.values()}
    _assert_clients_are_known(site, *site.nodes)
