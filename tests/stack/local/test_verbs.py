"""The verbs: what they start, change and end, and what they leave."""

import json
import os
import re
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import StartStack, copy_checkout
from tests.support.client import ask
from tests.support.load import steady_load
from tests.support.ports import free_port
from tests.support.stack import Stack
from tests.support.waiting import wait_until


@pytest.fixture(name="fresh", scope="module")
def _fresh(new_stack: StartStack) -> Iterator[Stack]:
    """A stack that each test finds stopped or started as the one before left it."""
    stack = new_stack(REPLICAS="2", WORKERS="1")
    yield stack
    assert not stack.dispose()


def _pids(stack: Stack) -> dict[str, int]:
    return {name: stack.pid(name) for name in ("valkey", "nginx", *stack.replicas())}


def test_up_says_what_runs_and_what_comes_next(fresh: Stack) -> None:
    """`make up` prints the URL, each part, and the next commands; the URL answers at once."""
    printed = fresh.up()
    assert f"http://127.0.0.1:{fresh.port}" in printed
    for word in ("nginx", "app-1", "app-2", "make status", "make down"):
        assert word in printed
    assert fresh.is_ready()
    assert fresh.replicas() == ["app-1", "app-2"]


def test_up_again_changes_nothing(fresh: Stack) -> None:
    """A second `make up` says that there is nothing to change, and restarts nobody."""
    before = _pids(fresh)
    printed = fresh.up()
    assert "Nothing to change" in printed
    assert _pids(fresh) == before


def test_a_replica_is_added_beside_the_others(fresh: Stack) -> None:
    """More replicas: the new one joins, and those that run are not restarted."""
    before = _pids(fresh)
    with steady_load(fresh, visitors=4) as load:
        fresh.up(REPLICAS="3")
        load.await_more(30)
    after = _pids(fresh)
    assert load.failures == []
    assert after.keys() - before.keys() == {"app-3"}
    assert {name: after[name] for name in before} == before
    browser = fresh.browser()
    served = {browser.session()["served_by"].partition("/")[0] for _ in range(12)}
    assert served == {"app-1", "app-2", "app-3"}


def test_workers_are_changed_one_replica_at_a_time(fresh: Stack) -> None:
    """Other numbers of workers: reads go on meanwhile, and the store and nginx stay."""
    before = _pids(fresh)
    browser = fresh.browser()
    browser.add("tea", 2)
    fresh.up(REPLICAS="2", WORKERS="2")
    after = _pids(fresh)
    assert fresh.replicas() == ["app-1", "app-2"]
    assert [len(fresh.workers(name)) for name in fresh.replicas()] == [2, 2]
    assert {name: after[name] for name in ("valkey", "nginx")} == {
        name: before[name] for name in ("valkey", "nginx")
    }
    assert browser.cart() == {"tea": 2}


def test_another_port(fresh: Stack) -> None:
    """Another PORT moves nginx alone; the former one is free."""
    before, former = _pids(fresh), fresh.port
    fresh.port = free_port()
    fresh.up()
    assert fresh.is_ready()
    assert {n: p for n, p in _pids(fresh).items() if n != "nginx"} == {
        n: p for n, p in before.items() if n != "nginx"
    }
    with pytest.raises(httpx.ConnectError):
        ask(former, "GET", "/livez")


def test_status_names_every_process(fresh: Stack) -> None:
    """`make status` shows each service and worker with its pid, and the URL."""
    printed = fresh.succeed("status")
    expected = {*_pids(fresh).values(), *fresh.workers("app-1"), *fresh.workers("app-2")}
    assert {str(pid) for pid in expected} <= set(re.findall(r"\d+", printed))
    assert f"127.0.0.1:{fresh.port}" in printed


def test_status_counts_requests(fresh: Stack) -> None:
    """The requests that `make status` shows for a worker grow by those that it served."""

    def counted() -> int:
        found = re.search(r"^nginx\s.*?(\d+)\s*$", fresh.succeed("status"), re.MULTILINE)
        assert found
        return int(found[1])

    before = counted()
    for _ in range(7):
        ask(fresh.port, "GET", "/api/products")
    wait_until(lambda: counted() >= before + 7, "status counts the requests", seconds=5)


def test_logs_follow(fresh: Stack) -> None:
    """`make logs SERVICE=nginx` shows a request made after it was started, until Ctrl-C."""
    with fresh.start_verb("logs", SERVICE="nginx") as process:
        assert process.stdout is not None
        try:
            # Its last lines come first; once they are there it follows.
            process.stdout.readline()
            request_id = ask(fresh.port, "GET", "/api/products").request_id
            assert any(request_id in line for line in process.stdout)
        finally:
            os.killpg(process.pid, signal.SIGINT)


def test_restart_keeps_the_carts(fresh: Stack) -> None:
    """`make restart` gives every replica new processes, one after the other; no cart is lost.

    Its nginx answers where it did, though the port of `make up` is not given again.
    """
    before = _pids(fresh)
    browser = fresh.browser()
    browser.add("tea", 4)
    fresh.succeed("restart", PORT="")
    after = _pids(fresh)
    assert all(before[name] != after[name] for name in ("app-1", "app-2"))
    assert before["valkey"] == after["valkey"]
    assert browser.cart() == {"tea": 4}


def test_down_and_up_keep_the_carts(fresh: Stack) -> None:
    """`make down` ends every process; after the next `make up` old cookies show their carts."""
    browser = fresh.browser()
    browser.add("tea", 5)
    fresh.down()
    assert fresh.processes() == []
    with pytest.raises(httpx.ConnectError):
        ask(fresh.port, "GET", "/livez")
    fresh.up()
    assert browser.cart() == {"tea": 5}


def test_down_again_is_no_error(fresh: Stack) -> None:
    """`make down` without a stack says so and succeeds."""
    fresh.down()
    assert "Nothing" in fresh.succeed("down")


def test_threads_serve_the_same(fresh: Stack) -> None:
    """With WORKER_CLASS=gthread the stack serves the same carts, over kept connections to it."""
    fresh.up(WORKER_CLASS="gthread", THREADS="4")
    with steady_load(fresh, visitors=4) as load:
        load.await_more(200)
    assert load.failures == []
    fresh.settings |= {"WORKER_CLASS": "sync", "THREADS": "1"}


def test_events_are_recorded(fresh: Stack) -> None:
    """Each line of events.jsonl has time, kind, target and detail."""
    lines = fresh.folder.events.read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert {"started", "stopped", "restarted"} <= {event["kind"] for event in events}
    for event in events:
        assert event.keys() == {"time", "kind", "target", "detail"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])


def test_secrets_are_private(fresh: Stack) -> None:
    """The generated secret key is for its owner only, and it stays the same."""
    mode = fresh.folder.secret_key.stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    before = fresh.folder.secret_key.read_bytes()
    fresh.up()
    assert fresh.folder.secret_key.read_bytes() == before


def test_clean_removes_everything(new_stack: StartStack) -> None:
    """`make clean` ends the stack and removes its folder."""
    stack = new_stack(REPLICAS="1", WORKERS="1")
    stack.up()
    stack.succeed("clean")
    assert not stack.state_dir.exists()
    assert stack.processes() == []


def test_nothing_is_left_outside(new_stack: StartStack) -> None:
    """A stack writes to its state folder only: nothing else is there after `make down`."""
    stack = new_stack(REPLICAS="1", WORKERS="1")
    with (
        tempfile.TemporaryDirectory(prefix="tmp-") as temporary,
        tempfile.TemporaryDirectory(prefix="home-") as home,
    ):
        stack.prefix = ("env", f"TMPDIR={temporary}", f"HOME={home}")
        shared = {path: _entries(path) for path in map(Path, ("/dev/shm", "/tmp"))}  # noqa: S108  (watched, not used)
        stack.up()
        browser = stack.browser()
        browser.add("tea")
        stack.down()
        assert _entries(Path(temporary)) == set()
        assert _entries(Path(home)) == set()
        for path, before in shared.items():
            ours = {name for name in _entries(path) - before if "unsticky" in name.lower()}
            assert ours == set(), path


def _entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_two_checkouts_do_not_meet(new_stack: StartStack) -> None:
    """Two checkouts with a stack each: ending one leaves the other, with its carts, alone."""
    one = new_stack(REPLICAS="1", WORKERS="1")
    with tempfile.TemporaryDirectory(prefix="checkout-") as folder:
        copy_checkout(Path(folder))
        other = new_stack(REPLICAS="1", WORKERS="1")
        other.checkout = Path(folder)
        one.up()
        other.up()
        here, there = one.browser(), other.browser()
        here.add("tea", 1)
        there.add("tea", 2)
        before = _pids(other)
        one.down()
        assert _pids(other) == before
        assert there.cart() == {"tea": 2}
        assert not other.dispose()


@pytest.mark.parametrize(
    "name", ["d" * 120 + "/" + "e" * 60, "with a space; and % # odd"], ids=["deep", "odd"]
)
def test_folders_of_any_name(new_stack: StartStack, name: str) -> None:
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
    assert inner.processes() == []
    assert sockets == inner.folder.run or not sockets.exists()


def test_ports_are_for_this_machine_only(fresh: Stack) -> None:
    """Nothing but nginx listens on a TCP port, and that on 127.0.0.1."""
    fresh.up()
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in fresh.processes()
        for connection in psutil.Process(process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", fresh.port)}
