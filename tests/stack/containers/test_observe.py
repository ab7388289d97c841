"""compose.observe.yaml: its Prometheus finds all replicas and servers, and judges them."""

from collections.abc import Iterator

import pytest

from tests.stack.observe.test_real_stack import (
    Observed,
    test_every_query_of_the_dashboard_has_data,  # noqa: F401  (collected here, with this module's stack)
)
from tests.support.ports import free_port
from tests.support.stacks.containers import StartContainers
from tests.support.waiting import wait_until


@pytest.fixture(name="observed", scope="module")
def _observed(new_stack: StartContainers) -> Iterator[Observed]:
    port = free_port()
    stack = new_stack(REPLICAS="2", WORKERS="1", OBSERVE=str(port))
    observed = Observed(stack, port)
    observed.start()
    yield observed
    observed.stop()
    assert not stack.dispose()


def test_a_hung_store_fires_its_alert_alone(observed: Observed) -> None:
    """Within a minute, and no other alert does until all is well again."""
    observed.assert_alone("StoreDown", observed.stack.store_paused())


def test_prometheus_follows_deployments_and_ends(observed: Observed) -> None:
    """A new replica is found; without OBSERVE it ends."""
    stack = observed.stack
    stack.up(REPLICAS="3")
    wait_until(lambda: len(observed.query('up{job="app"} == 1')) == 3, "the new replica", 60)
    assert "prometheus" in stack.succeed("status")
    stack.up(OBSERVE="0")
    assert "prometheus" not in stack.succeed("status")


def test_all_servers_are_found(new_stack: StartContainers) -> None:
    """With STORE=sentinel the exporter asks the primary and both replicas."""
    port = free_port()
    stack = new_stack(REPLICAS="1", WORKERS="1", OBSERVE=str(port), STORE="sentinel")
    stack.up()
    observed = Observed(stack, port)

    def roles() -> dict[str, str]:
        found = observed.query('redis_instance_info{job="store"}')
        return {each["metric"]["instance"]: each["metric"]["role"] for each in found}

    wait_until(lambda: len(roles()) == 3, "all servers", 90)
    assert roles() == {"redis": "master", "redis-2": "slave", "redis-3": "slave"}
    wait_until(lambda: observed.query("redis_connected_slave_lag_seconds"), "the lag", 30)
    assert observed.firing() == set()
    assert not stack.dispose()
