"""Alerts: each fires for its fault and for no other, in Prometheus' own unit tests."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.needs import need

_RULES = ROOT / "compose" / "observe" / "rules.yml"
_RUNBOOK = ROOT / "docs" / "runbook.md"
# A stack that is well, for half an hour: close to each limit, and below it. One value every 5 s.
_WELL = {
    'up{job="app",instance="app-1"}': "1x400",
    'up{job="store",instance="valkey"}': "1x400",
    'redis_instance_info{instance="valkey",role="master"}': "1x400",
    'redis_memory_used_bytes{instance="valkey"}': "84x400",
    'redis_memory_max_bytes{instance="valkey"}': "100x400",
    'redis_evicted_keys_total{instance="valkey"}': "7x400",
    'redis_connected_slave_lag_seconds{instance="valkey"}': "4x400",
    "unsticky_workers": "4x400",
    "unsticky_workers_started_total": "4+0.1x400",
    'unsticky_replica_start_time_seconds{instance="app-1"}': "-5000x400",
    "unsticky_http_requests_active": "9x400",
    "unsticky_worker_capacity": "10x400",
    'probe_success{job="edge",instance="shop"}': "1x400",
    # Of five minutes nine.
    "nginx_http_failed_total": "0+0.15x400",
    'up{job="nginx",instance="nginx"}': "1x400",
    # There is no TLS.
    'probe_success{job="certificate",instance="tls"}': "0x400",
    # In 15 days.
    "probe_ssl_earliest_cert_expiry": "1298000x400",
    # A conflict every 25 s, which is one of 200 commits.
    "unsticky_session_commits_total": "0+40x400",
    'unsticky_session_conflicts_by_field_total{endpoint="add",field="cart"}': "0+0.2x400",
    # Of 1,000 requests 14 fail, 140 are slow, 40 wait.
    'unsticky_http_requests_total{status="200"}': "0+986x400",
    'unsticky_http_requests_total{status="503"}': "0+14x400",
    'unsticky_http_request_duration_seconds_bucket{le="0.5"}': "0+860x400",
    "unsticky_http_request_duration_seconds_count": "0+1000x400",
    'unsticky_http_queue_seconds_bucket{le="0.25"}': "0+960x400",
    'unsticky_http_queue_seconds_bucket{le="0.5"}': "0+1000x400",
    'unsticky_http_queue_seconds_bucket{le="+Inf"}': "0+1000x400",
}
# What is otherwise, by the alert that fires; None: the series is not there.
_FAULTS: dict[str, dict[str, str | None]] = {
    "": {},
    "StoreDown": {
        'redis_instance_info{instance="valkey",role="master"}': "1x100 stale",
        'unsticky_http_requests_total{status="503"}': "0+14x100 1500+900x300",
    },
    # One probe in three fails, and then all of them.
    "Unreachable": {
        'probe_success{job="edge",instance="shop"}': "0 1 1 0 1 1 0 1 1 0 1 1 0x380",
        "nginx_http_failed_total": "0+0.15x12 10+5x380",
    },
    "Unserved": {"nginx_http_failed_total": "0+0.3x400"},
    "Blind": {'up{job="nginx",instance="nginx"}': "1x300 0x100"},
    "ReplicaDown": {'up{job="app",instance="app-1"}': "1x100 0x300"},
    "Errors": {'unsticky_http_requests_total{status="503"}': "0+30x400"},
    "Slow": {'unsticky_http_request_duration_seconds_bucket{le="0.5"}': "0+800x400"},
    "Saturated": {
        'unsticky_http_queue_seconds_bucket{le="0.25"}': "0+900x400",
        'unsticky_http_request_duration_seconds_bucket{le="0.5"}': "0+800x400",
    },
    # 1,000 requests in 5 s replace a worker every 50 s, which is in order.
    "WorkersDie": {"unsticky_workers_started_total": "4+1x400"},
    "Conflicts": {
        'unsticky_session_conflicts_by_field_total{endpoint="add",field="cart"}': "0+0.8x400"
    },
    "StoreNearlyFull": {'redis_memory_used_bytes{instance="valkey"}': "86x400"},
    "StoreEvicts": {'redis_evicted_keys_total{instance="valkey"}': "7x300 8x100"},
    "StoreLags": {'redis_connected_slave_lag_seconds{instance="valkey"}': "6x400"},
    # A second replica started after 25 minutes, and was gone two minutes later.
    "DeployUndone": {
        'unsticky_replica_start_time_seconds{instance="app-3"}': "_x300 1500x24 stale"
    },
    "CertificateEnds": {"probe_ssl_earliest_cert_expiry": "1100000x400"},
}
_MINUTES = 29


def _promtool() -> str:
    return need(shutil.which("promtool"), "promtool is missing", "REQUIRE_SERVERS")


def _alerts() -> set[str]:
    lines = _RULES.read_text(encoding="utf-8").splitlines()
    return {line.split()[-1] for line in lines if line.strip().startswith("- alert:")}


# A second fault of the same kind, and what looks like a fault and is none.
_MORE: list[tuple[str, dict[str, str | None]]] = [
    # All workers hang: nothing is measured any more.
    ("Saturated", {
        "unsticky_http_requests_active": "9x100 10x300",
        'unsticky_http_queue_seconds_bucket{le="0.25"}': "0+960x100 96000x300",
        'unsticky_http_queue_seconds_bucket{le="0.5"}': "0+1000x100 100000x300",
        'unsticky_http_queue_seconds_bucket{le="+Inf"}': "0+1000x100 100000x300",
    }),
    # Errors of three minutes in an hour's good traffic, and few requests of which some fail.
    ("", {
        'unsticky_http_requests_total{status="200"}': "0+10000x400",
        'unsticky_http_requests_total{status="503"}': "0+0x300 0+300x36 10800x64",
    }),
    ("", {
        'unsticky_http_requests_total{status="200"}': "0+0.02x400",
        'unsticky_http_requests_total{status="503"}': "0+0.02x400",
        "unsticky_workers_started_total": "4x400",
    }),
    # A replica that ends every minute for ten seconds.
    ("Unserved", {
        'up{job="app",instance="app-2"}': " ".join(["1 1 1 1 1 1 1 1 1 1 0 0"] * 33),
        "nginx_http_failed_total": "0+0.3x400",
    }),
    # All containers of replicas, or an exporter's, are gone, and so no longer found.
    ("ReplicaDown", {
        'up{job="app",instance="app-1"}': "1x100 stale",
        'unsticky_replica_start_time_seconds{instance="app-1"}': "-5000x100 stale",
    }),
    ("Blind", {
        'up{job="store",instance="valkey"}': "1x100 stale",
    }),
    # The plain port redirects, and nothing is behind it.
    ("Unreachable", {
        'probe_success{job="certificate",instance="tls"}': "1x100 0x300",
        'probe_ssl_earliest_cert_expiry{instance="tls"}': "1298000x400",
    }),
    # Prometheus still asked the one that was taken back.
    ("DeployUndone", {
        'up{job="app",instance="app-2"}': "_x300 1x24 0x3 stale",
        'unsticky_replica_start_time_seconds{instance="app-2"}': "_x300 1500x24 stale",
    }),
    # The newest replica hangs, and so does not tell when it started.
    ("ReplicaDown", {
        'up{job="app",instance="app-2"}': "_x300 1x24 0x76",
        'unsticky_replica_start_time_seconds{instance="app-2"}': "_x300 1500x24 stale",
    }),
]  # fmt: skip


@pytest.mark.parametrize(("alert", "changed"), [*_FAULTS.items(), *_MORE])
def test_a_fault_fires_one_alert(
    tmp_path: Path, alert: str, changed: dict[str, str | None]
) -> None:
    """In half an hour of a stack with one fault that alert alone fires; without a fault none."""
    series = {name: text for name, text in {**_WELL, **changed}.items() if text}
    firing = 'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[25m]))'
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if alert else []
    case = {
        "interval": "5s",
        "input_series": [{"series": name, "values": text} for name, text in series.items()],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{_MINUTES}m", "exp_samples": expected}
        ],
    }
    tests = {"rule_files": [str(_RULES)], "evaluation_interval": "5s", "tests": [case]}
    path = tmp_path / "test.yml"
    path.write_text(json.dumps(tests), encoding="utf-8")
    done = subprocess.run(
        [_promtool(), "test", "rules", path], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_and_has_a_runbook() -> None:
    """No alert is without a case above, and each has a section that says what to do."""
    assert _alerts() == {alert for alert in _FAULTS if alert}
    sections = {
        line.removeprefix("## ")
        for line in _RUNBOOK.read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    }
    assert sections == _alerts()
