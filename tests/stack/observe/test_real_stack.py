"""OBSERVE=1 on a real stack: the dashboard has data, and each tier that breaks fires its alert."""

import json
import re
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import psutil
import pytest

from tests.conftest import StartStack
from tests.support.checkout import ROOT
from tests.support.http.client import ask
from tests.support.http.wire import sent
from tests.support.ports import free_port
from tests.support.shop.client import ShopClient
from tests.support.stacks.local import Stack
from tests.support.waiting import wait_until

_DASHBOARD = ROOT / "compose" / "observe" / "dashboard.json"
# Of events that a healthy stack does not have, and that Prometheus so knows nothing of.
_NEED_AN_EVENT = (
    "redis_connected_slave_lag_seconds",
    "conflicts_by_field",
    "nginx_http_unserved",
    "ALERTS",
)


class Observed:
    """A stack with its Prometheus, and visitors.

    Attributes:
        stack: with two replicas of one worker each.
        unknown: what its Prometheus knows nothing of.
    """

    def __init__(self, stack: Stack, port: int, unknown: Sequence[str] = ()) -> None:
        self.stack, self._port = stack, port
        self.unknown = (*_NEED_AN_EVENT, *unknown)
        self._end = threading.Event()
        self._visitor = threading.Thread(target=self._visit)

    def start(self) -> None:
        """Start all of it."""
        self.stack.up()
        self._visitor.start()

    def stop(self) -> None:
        """Let the visitors leave."""
        self._end.set()
        self._visitor.join()

    def _visit(self) -> None:
        while not self._end.wait(0.05):
            # What a broken tier answers is the test's matter.
            try:
                with ShopClient(self.stack.port) as visitor:
                    visitor.add("wax")
                    visitor.cart()
            except Exception:  # noqa: BLE001, S112
                continue

    def query(self, text: str) -> list[dict[str, Any]]:
        """Return the samples of a query."""
        quoted = urllib.parse.quote(text)
        url = f"http://127.0.0.1:{self._port}/api/v1/query?query={quoted}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {each["metric"]["alertname"] for each in self.query('ALERTS{alertstate="firing"}')}

    def assert_alone(self, alert: str, broken: AbstractContextManager[None]) -> None:
        """Break a tier: within a minute its alert fires, and no other until it is well again."""
        assert self.firing() == set()
        began = time.monotonic()
        with broken:
            wait_until(self.firing, "an alert", 60)
            assert self.firing() == {alert}
            assert time.monotonic() - began < 60
        wait_until(lambda: not self.firing(), "the end of the alert", 60)
        wait_until(self.stack.is_ready, "the stack is well again")
        silent_until = time.monotonic() + 30
        while time.monotonic() < silent_until:
            assert self.firing() == set()
            time.sleep(2)  # Prometheus judges every five seconds


@pytest.fixture(name="observed", scope="module")
def _observed(new_stack: StartStack) -> Iterator[Observed]:
    """A stack that is well when a test begins."""
    ports = [free_port() for _ in range(20)]
    prometheus, metrics = str(ports[0]), str(ports[4])
    stack = new_stack(REPLICAS="2", WORKERS="1", OBSERVE=prometheus, METRICS=metrics)
    observed = Observed(stack, ports[0])
    observed.start()
    yield observed
    observed.stop()
    assert not stack.dispose()


def _expressions() -> list[str]:
    dashboard = json.loads(_DASHBOARD.read_text(encoding="utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]


def test_every_query_of_the_dashboard_has_data(observed: Observed) -> None:
    """After visits each returns samples, but for those that need an event that did not happen."""
    expressions = [
        each for each in _expressions() if not any(name in each for name in observed.unknown)
    ]
    assert len(expressions) > 30

    def empty() -> list[str]:
        return [each for each in expressions if not observed.query(each)]

    wait_until(lambda: not empty(), "data of all queries", 90)
    assert empty() == []
    assert observed.firing() == set()


@contextmanager
def _hung(stack: Stack, service: str) -> Iterator[None]:
    master = psutil.Process(stack.pid(service))
    processes = [master, *master.children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        # The master goes first, and may at once exchange a worker that was silent for so long.
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def _hung_edge(stack: Stack) -> AbstractContextManager[None]:
    return _hung(stack, "nginx")


def _hung_replica(stack: Stack) -> AbstractContextManager[None]:
    return _hung(stack, "app-1")


@pytest.mark.parametrize(
    ("alert", "broken"),
    [
        ("Unreachable", _hung_edge),
        ("ReplicaDown", _hung_replica),
        ("StoreDown", Stack.store_paused),
    ],
)
def test_a_broken_tier_fires_its_alert_alone(
    observed: Observed, alert: str, broken: Callable[[Stack], AbstractContextManager[None]]
) -> None:
    """Within a minute the alert fires; no other does then, nor in the half minute after the end."""
    observed.assert_alone(alert, broken(observed.stack))


def test_nginx_log_is_counted(observed: Observed) -> None:
    """Each line once; what a visitor writes into a request changes no other count."""
    port = observed.stack.port
    forged = b'","status":777,"bytes_received":1,"bytes_sent":1,"request_time":9.0,'
    ask(port, "GET", '/"' + urllib.parse.quote(forged, safe='":,') + "\\")
    raw = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: \\" + forged
    with sent(port, raw + b"\r\nConnection: close\r\n\r\n") as connection:
        assert connection.recv(12) == b"HTTP/1.1 200"

    def counted() -> float:
        (found,) = observed.query("sum(nginx_http_requests_total)")
        return float(found["value"][1])

    folder = observed.stack.folder.log
    before = counted()
    wait_until(lambda: counted() > before + 20, "a later count", 60)
    lines = sum(path.read_bytes().count(b"\n") for path in folder.glob("nginx.access.log*"))
    assert lines * 0.9 - 100 < counted() <= lines
    assert not observed.query('nginx_http_requests_total{status="777"}')


def test_another_programs_port_is_named(new_stack: StartStack, observed: Observed) -> None:
    """A second stack does not start on the first one's ports, and says which setting to change."""
    port = observed.stack.settings["OBSERVE"]
    second = new_stack(REPLICAS="1", WORKERS="1", OBSERVE=port)
    printed = second.fail("up")
    assert re.search(rf"port {port} of 127.0.0.1 is in use by", printed)
    assert "make up OBSERVE=" in printed


def test_prometheus_follows_deployments_and_ends(observed: Observed) -> None:
    """New replicas are found, old ones forgotten; without OBSERVE it ends, and its data stays."""
    stack = observed.stack
    before = set(stack.replicas())
    stack.up(WORKERS="2")
    now = set(stack.replicas())
    assert not now & before

    def found() -> set[str]:
        return {each["metric"]["instance"] for each in observed.query('up{job="app"} == 1')}

    wait_until(lambda: found() == now, "the new replicas", 60)
    assert "prometheus" in stack.succeed("status")
    port = stack.settings["OBSERVE"]
    stack.up(OBSERVE="0")
    assert "prometheus" not in stack.succeed("status")
    stack.up(OBSERVE=port)
    wait_until(lambda: found() == now | set(stack.replicas()), "its data", 60, ignoring=OSError)


def test_an_undone_deployment_fires_its_alert_alone(new_stack: StartStack) -> None:
    """The new replica was seen, and is gone after its smoke test; the old one serves."""
    ports = [free_port() for _ in range(20)]
    stack = new_stack(REPLICAS="1", WORKERS="1", OBSERVE=str(ports[0]), METRICS=str(ports[4]))
    stack.up()
    command = "sleep 15; exit 1"
    printed = stack.fail("up", LOG_LEVEL="debug", SMOKE_SECONDS="9", SMOKE_COMMAND=command)
    assert "smoke test" in printed
    observed = Observed(stack, ports[0])
    wait_until(observed.firing, "an alert", 120)
    assert observed.firing() == {"DeployUndone"}
    assert not stack.dispose()
