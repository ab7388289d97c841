"""compose.observe.yaml: its Prometheus finds all replicas and servers, and judges them."""

import re
import shutil
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.observe.test_real_stack import (
    Observed,
    test_every_query_of_the_dashboard_has_data,  # noqa: F401  (collected here, with this module's stack)
)
from tests.support.checkout import ROOT
from tests.support.http.client import ask
from tests.support.needs import need
from tests.support.ports import free_port
from tests.support.stacks.containers import ContainerStack, StartContainers
from tests.support.waiting import wait_until


@pytest.fixture(name="observed", scope="module")
def _observed(new_stack: StartContainers) -> Iterator[Observed]:
    port = free_port()
    stack = new_stack(REPLICAS="2", WORKERS="1", OBSERVE=str(port))
    # Its log is for a program on the host: see below.
    observed = Observed(stack, port, unknown=("nginx_http_",))
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
    assert isinstance(stack, ContainerStack)
    (nginx,) = stack.inspect("nginx")
    # An image without a Prometheus in it: the release is good all the same.
    assert "warning: " in stack.up(PROMETHEUS_IMAGE=nginx["Config"]["Image"], REPLICAS="2")
    assert len(stack.replicas()) == 2
    stack.up(OBSERVE="0")
    assert "prometheus" not in stack.succeed("status")


def test_log_of_a_container_is_counted(observed: Observed) -> None:
    """The exporter reads the engine's file of nginx' container, and counts each line once."""
    stack = observed.stack
    assert isinstance(stack, ContainerStack)
    forged = '&<>","status":777,"bytes_received":1,"bytes_sent":1,"request_time":9.0,\\'
    ask(stack.port, "GET", "/" + urllib.parse.quote(forged, safe='&<>":,\\'))
    (nginx,) = stack.inspect("nginx")
    path = Path(nginx["LogPath"])
    program = need(shutil.which("mtail"), "mtail is missing", "REQUIRE_SERVERS")
    with tempfile.NamedTemporaryFile(suffix=".log") as copy:
        copy.write(path.read_bytes())
        copy.flush()
        done = subprocess.run(
            [
                *(program, "-logtostderr", "-one_shot", "-one_shot_format=prometheus"),
                *(f"-progs={ROOT / 'compose' / 'observe' / 'nginx.mtail'}", f"-logs={copy.name}"),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        lines = Path(copy.name).read_text(encoding="utf-8").count(r'"{\"time\":')
    counts = re.findall(
        r'^nginx_http_requests_total\{.*status="(\d+)"\} (\d+)$', done.stdout, re.MULTILINE
    )
    assert sum(int(count) for _, count in counts) == lines > 50
    assert {"200", "404"} <= {status for status, _ in counts}
    assert "777" not in {status for status, _ in counts}


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


def test_a_certificate_that_ends_fires_its_alert_alone(
    new_stack: StartContainers, tmp_path: Path
) -> None:
    """One that visitors get, and that ends in three days."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "3", "-subj", "/CN=localhost"),
            *("-keyout", tmp_path / "privkey.pem", "-out", tmp_path / "fullchain.pem"),
        ],
        check=True,
        capture_output=True,
    )
    for path in (tmp_path, *tmp_path.iterdir()):
        path.chmod(0o755)
    port = free_port()
    stack = new_stack(
        REPLICAS="1",
        WORKERS="1",
        OBSERVE=str(port),
        OVERLAYS="tls",
        TLS_DIR=str(tmp_path),
        TLS_PORT=str(free_port()),
    )
    stack.up()
    observed = Observed(stack, port)
    wait_until(observed.firing, "an alert", 60, ignoring=OSError)
    assert observed.firing() == {"CertificateEnds"}
    assert not stack.dispose()
