"""The verbs: what they start, change and stop, and what a visitor notices.

The tests of the first part run for both runtimes: `tests/kit/containers/test_verbs.py` collects
them again, with stacks of containers.
"""

import json
import os
import re
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import unsticky_metrics

from tests.conftest import StartStack, copy_checkout
from tests.support.http.client import ask, serves
from tests.support.ports import free_port
from tests.support.stacks.load import steady_load
from tests.support.stacks.local import Stack
from tests.support.waiting import wait_until


@pytest.fixture(name="fresh", scope="module")
def fresh_stack(new_stack: StartStack) -> Iterator[Stack]:
    """A stack that each test finds as the one before left it; the first one starts it."""
    stack = new_stack(REPLICAS="2", WORKERS="1")
    yield stack
    assert not stack.dispose()


def _replicas(running: dict[str, object]) -> dict[str, object]:
    return {name: each for name, each in running.items() if name.startswith("app-")}


def _others(running: dict[str, object]) -> dict[str, object]:
    return {name: each for name, each in running.items() if not name.startswith("app-")}


def test_up_prints_what_runs_and_what_comes_next(fresh: Stack) -> None:
    """`make up` prints the URL, each part, and the next commands; the URL answers at once."""
    printed = fresh.up()
    for word in (f"http://127.0.0.1:{fresh.port}", "nginx", "app-1, app-2", "make status"):
        assert word in printed
    assert fresh.is_ready()
    assert fresh.running().keys() == {"app-1", "app-2", "nginx", fresh.STORE}


def test_up_again_changes_nothing(fresh: Stack) -> None:
    """A second `make up` says that there is nothing to change, and restarts nothing."""
    before = fresh.running()
    assert "Nothing to deploy" in fresh.up()
    assert fresh.running() == before


def test_status_shows_services_and_requests(fresh: Stack) -> None:
    """`make status` shows each service and worker, and how many requests each worker served."""

    def rows() -> list[list[str]]:
        return [line.split() for line in fresh.succeed("status").splitlines() if line]

    def requests() -> dict[str, int]:
        return {row[0]: int(row[-1]) for row in rows() if row[0] in {"nginx", "app-1", "app-2"}}

    before = requests()
    for _ in range(7):
        ask(fresh.port, "GET", "/api/cart")
    wait_until(lambda: requests()["nginx"] >= before["nginx"] + 7, "status counts")
    after = requests()
    served = [after[name] - before[name] for name in ("app-1", "app-2")]
    assert sum(served) >= 7
    by_worker = [int(row[-1]) for row in rows() if row[0] == "worker" and len(row) == 5]
    assert sum(by_worker) == after["app-1"] + after["app-2"]
    assert f":{fresh.port}" in fresh.succeed("status")


def test_each_replica_has_metrics(fresh: Stack) -> None:
    """Each tells what its workers did; nobody gets it through nginx."""
    for replica in fresh.replicas():
        told = fresh.metrics(replica)
        assert "unsticky_workers 1.0" in told
        assert 'unsticky_http_requests_total{method="GET",route="/readyz"' in told
        assert "unsticky_store_round_trips_total" in told
    with fresh.browser() as visitor:
        assert visitor.get("/metrics").status == 404


def test_logs_follow_one_service(fresh: Stack) -> None:
    """`make logs SERVICE=` follows one log until it is interrupted; an unknown service fails."""
    process = fresh.start_verb("logs", SERVICE="nginx")
    assert process.stdout is not None
    # Else it would wait for ever for a line that does not come.
    timer = threading.Timer(60, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    first = process.stdout.readline()
    # Once its last lines are there, it follows.
    request_id = ask(fresh.port, "GET", "/api/products").request_id
    assert any(request_id in line for line in process.stdout)
    timer.cancel()
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert "nginx" in first
    assert "nginx" in fresh.fail("logs", SERVICE="app-9")


def test_scaling_under_load_loses_nothing(fresh: Stack) -> None:
    """Three replicas and two again, under load: only the third comes and goes."""
    before = fresh.running()
    with steady_load(fresh, visitors=4) as load:
        fresh.up(REPLICAS="3")
        load.await_more(60)
        scaled = fresh.running()
        browser = fresh.browser()
        replicas = set(fresh.replicas())
        # nginx chooses at random, and in a container it learns of a replica within a second.
        wait_until(
            lambda: (
                replicas == {browser.session()["served_by"].partition("/")[0] for _ in range(12)}
            ),
            "every replica serves",
        )
        fresh.up(REPLICAS="2")
        load.await_more(60)
    assert load.failures == []
    assert scaled.keys() - before.keys() == {"app-3"}
    assert {name: scaled[name] for name in before} == before
    assert fresh.running() == before


def test_new_settings_under_load_lose_nothing(fresh: Stack) -> None:
    """New replicas answer before the old ones stop; nginx and the store are not restarted."""
    before = fresh.running()
    browser = fresh.browser()
    browser.add("tea", 2)
    with steady_load(fresh, visitors=4) as load:
        fresh.up(WORKERS="2")
        load.await_more(60)
    assert load.failures == []
    after = fresh.running()
    assert _others(after) == _others(before)
    assert len(_replicas(after)) == 2
    assert not _replicas(after).keys() & _replicas(before).keys()
    assert [len(fresh.workers(replica)) for replica in fresh.replicas()] == [2, 2]
    assert browser.cart() == {"tea": 2}


def test_failed_release_leaves_all_replicas(fresh: Stack) -> None:
    """An application that cannot be loaded: its last words are shown, all else stays."""
    before = fresh.running()
    with steady_load(fresh, visitors=4) as load:
        printed = fresh.fail("up", APP="nothing:app")
        load.await_more(60)
    assert "No module named 'nothing'" in printed
    assert "go on serving" in printed
    assert load.failures == []
    assert fresh.running() == before
    assert "Nothing to deploy" in fresh.up()


def test_restart_under_load_loses_nothing(fresh: Stack) -> None:
    """`make restart` restarts each replica and nothing else, without the settings of `make up`."""
    before = fresh.running()
    with steady_load(fresh, visitors=4) as load:
        fresh.succeed("restart", PORT="", WORKERS="", REPLICAS="")
        load.await_more(60)
    assert load.failures == []
    after = fresh.running()
    assert after.keys() == before.keys()
    assert _others(after) == _others(before)
    assert all(after[name] != before[name] for name in _replicas(before))


def test_restart_of_one_service_leaves_the_others(fresh: Stack) -> None:
    """`make restart SERVICE=` restarts one service; an unknown one fails."""
    before = fresh.running()
    fresh.succeed("restart", SERVICE=fresh.STORE)
    after = fresh.running()
    assert {name for name in before if after[name] != before[name]} == {fresh.STORE}
    wait_until(fresh.is_ready_throughout, "every worker is ready again")
    assert fresh.STORE in fresh.fail("restart", SERVICE="postgres")


def test_workers_can_have_threads(fresh: Stack) -> None:
    """With WORKER_CLASS=gthread the stack serves the same carts."""
    browser = fresh.browser()
    browser.add("tea", 3)
    fresh.up(WORKER_CLASS="gthread", THREADS="4", WORKERS="1")
    with steady_load(fresh, visitors=4) as load:
        load.await_more(200)
    assert load.failures == []
    assert browser.cart() == {"tea": 3}
    fresh.settings |= {"WORKER_CLASS": "sync", "THREADS": "1"}


def test_down_keeps_the_data(fresh: Stack) -> None:
    """`make down` stops everything, again is no error, and the next `make up` shows the carts."""
    browser = fresh.browser()
    browser.add("tea", 5)
    running = fresh.running()
    printed = fresh.down()
    stopped = re.search(r"Stopped: (.*)\.", printed)
    assert stopped
    assert set(stopped[1].split(", ")) == running.keys()
    assert fresh.left() == []
    assert not serves(fresh.port)
    assert "Nothing was running" in fresh.succeed("down")
    assert "Nothing is running" in fresh.succeed("status")
    assert "make up" in fresh.fail("restart")
    fresh.up()
    assert browser.cart() == {"tea": 5}


def test_interrupted_first_start_leaves_nothing(fresh: Stack) -> None:
    """Ctrl-C in the middle of a first start stops what it had started."""
    fresh.down()
    process = fresh.start_verb("up")
    wait_until(lambda: fresh.STORE in fresh.running(), "the store runs")
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "Traceback" not in printed
    assert "Interrupted" in printed
    assert fresh.left() == []


def test_events_are_recorded(fresh: Stack) -> None:
    """Each line of events.jsonl has time, kind, target and detail, in order."""
    lines = fresh.folder.events.read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "started"
    assert {"scaled", "changed", "restarted", "stopped"} <= set(kinds)
    for event in events:
        assert event.keys() == {"time", "kind", "target", "detail"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])


def test_clean_removes_everything(fresh: Stack) -> None:
    """`make clean` stops the stack and removes its folder."""
    fresh.succeed("clean")
    assert not fresh.state_dir.exists()
    assert fresh.left() == []


# What follows is about the local runtime alone.


def test_port_can_change(own_stack: Stack) -> None:
    """Another PORT restarts nothing, and the former port is free."""
    before, former = own_stack.running(), own_stack.port
    own_stack.port = free_port()
    own_stack.up()
    assert own_stack.is_ready()
    assert own_stack.running() == before
    assert not serves(former)


def test_status_shows_every_process(own_stack: Stack) -> None:
    """`make status` shows the pid of each service and worker."""
    printed = own_stack.succeed("status")
    workers = set[int]().union(*map(own_stack.workers, own_stack.replicas()))
    expected = {*own_stack.running().values(), *workers}
    assert {str(pid) for pid in expected} <= set(re.findall(r"\d+", printed))


def test_ports_are_for_this_machine_only(own_stack: Stack) -> None:
    """Only nginx listens on a TCP port, and only on 127.0.0.1."""
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in own_stack.processes()
        for connection in psutil.Process(process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", own_stack.port)}


def test_nothing_is_left_outside_the_state_folder(new_stack: StartStack) -> None:
    """A stack writes to its state folder only."""
    stack = new_stack(REPLICAS="1", WORKERS="1")
    with (
        tempfile.TemporaryDirectory(prefix="tmp-") as temporary,
        tempfile.TemporaryDirectory(prefix="home-") as home,
    ):
        stack.prefix = ("env", f"TMPDIR={temporary}", f"HOME={home}")
        shared = {path: _entries(path) for path in map(Path, ("/dev/shm", "/tmp"))}  # noqa: S108  (watched, not used)
        stack.up()
        stack.browser().add("tea")
        words = {Path(word) for each in stack.processes() for word in each.cmdline()}
        (metrics,) = (word for word in words if word.name.startswith(unsticky_metrics.PREFIX))
        sockets = stack.folder.sockets
        stack.down()
        assert not metrics.exists()
        assert sockets == stack.folder.run or not sockets.exists()
        assert _entries(Path(temporary)) == set()
        assert _entries(Path(home)) == set()
        for path, before in shared.items():
            new = {name for name in _entries(path) - before if "unsticky" in name.lower()}
            # Stacks of other tests have their metrics and their sockets.
            theirs = rf"{unsticky_metrics.PREFIX}|unsticky-[0-9a-f]{{12}}-"
            assert {name for name in new if not re.match(theirs, name)} == set(), path


def _entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_two_checkouts_are_independent(new_stack: StartStack) -> None:
    """Two checkouts run a stack each; stopping one leaves the other and its carts alone."""
    one = new_stack(REPLICAS="1", WORKERS="1")
    with tempfile.TemporaryDirectory(prefix="checkout-") as folder:
        copy_checkout(Path(folder))
        other = new_stack(REPLICAS="1", WORKERS="1")
        other.checkout = Path(folder)
        one.up()
        other.up()
        browser = other.browser()
        browser.add("tea", 2)
        before = other.running()
        one.down()
        assert other.running() == before
        assert browser.cart() == {"tea": 2}
        assert not other.dispose()


@pytest.mark.parametrize(
    "name", ["d" * 120 + "/" + "e" * 60, "with a space; and % # odd"], ids=["deep", "odd"]
)
def test_checkout_can_have_any_path(new_stack: StartStack, name: str) -> None:
    """A checkout in a deep or oddly named folder works, and leaves no socket folder behind."""
    stack = new_stack(REPLICAS="1", WORKERS="1")
    stack.checkout = stack.state_dir / name
    stack.checkout.mkdir(parents=True)
    copy_checkout(stack.checkout)
    inner = Stack(stack.checkout / ".state", stack.port, stack.settings, stack.checkout)
    inner.up()
    browser = inner.browser()
    browser.add("tea")
    assert browser.cart() == {"tea": 1}
    sockets = inner.folder.sockets
    inner.down()
    assert inner.left() == []
    assert sockets == inner.folder.run or not sockets.exists()
