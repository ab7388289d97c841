"""`make loadtest` on a healthy stack: the gate passes, and fails where it must."""

import csv
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.stacks.loadtests import Ran, read, run
from tests.support.stacks.local import Stack
from tests.support.waiting import wait_until

_ONLY_BOTS = "Shopper=0 TwoTabs=0 AnonymousBrowser=0 Member=0 Buyer=0"


@pytest.fixture(name="healthy", scope="module")
def _healthy(stack: Stack) -> Ran:
    """A ramp from two processes against the stack that tests share."""
    return run(stack, PROCESSES="2", USERS="10", DURATION="8s", SHAPE="ramp")


def test_a_healthy_stack_passes(healthy: Ran) -> None:
    """No finding, no error, exit 0, and the verdict is the last line."""
    assert (healthy.status, healthy.verdict) == (0, "VERDICT pass"), healthy.printed
    assert healthy.printed.splitlines()[-1] == "VERDICT pass"
    assert set(healthy.document["findings"].values()) == {0}
    assert healthy.document["total"]["errors"] == 0


def test_every_worker_is_counted(stack: Stack, healthy: Ran) -> None:
    """The report has each worker of each replica, and their requests add up."""
    workers = healthy.document["workers"]
    assert set(workers) == {f"{r}/{pid}" for r in stack.replicas() for pid in stack.workers(r)}
    assert sum(workers.values()) == healthy.document["total"]["requests"]
    assert min(workers.values()) > 0


def test_percentiles_are_exact(healthy: Ran) -> None:
    """The report agrees with the raw samples of all processes."""
    with (healthy.folder / "requests.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    total = healthy.document["total"]
    ordered = sorted(float(row["latency_ms"]) for row in rows)
    assert len(ordered) == total["requests"]
    assert total["percentiles"]["p50"] == ordered[(len(ordered) + 1) // 2 - 1]
    assert total["greatest"] == ordered[-1]
    assert len({row["request_id"] for row in rows}) == len(rows)


def test_the_report_needs_nothing_beside_it(healthy: Ran) -> None:
    """The page loads no script, style or picture from anywhere."""
    page = (healthy.folder / "report.html").read_text()
    loading = r"<(?:script|link|img|iframe)\b|\b(?:src|srcset|href)\s*=|\burl\(|@import"
    assert not re.search(loading, page, re.IGNORECASE)
    for part in ("Over time", "Latency", "Who served", "What was checked", "What it took"):
        assert f"<h2>{part}</h2>" in page
    assert "prefers-color-scheme: dark" in page


def test_each_tier_and_the_store_are_measured(healthy: Ran) -> None:
    """For our own stack, the report has CPU and memory of every tier and the store's commands."""
    tiers = healthy.document["tiers"]
    assert set(tiers) == {"app", "nginx", "store", "load generator"}
    assert all(tier["cpu_us"] > 0 and tier["memory"] > 0 for tier in tiers.values())
    assert healthy.document["store"]["evalsha"] > 0


def test_the_impossible_profile_fails(stack: Stack) -> None:
    """No server answers in a microsecond: exit 1, and the verdict has the excess of each limit."""
    ran = run(stack, PROFILE="impossible", DURATION="2s")
    assert ran.exit_code == 1
    assert ran.status != 0
    assert ran.verdict.startswith("VERDICT fail: ")
    assert re.search(r"throughput [\d.,]+ requests/s, [\d.,]+ below 1,000,000,000", ran.verdict)
    assert re.search(r"p99 of GET /api/cart [\d.e+]+ ms, [\d.e+]+ above 0\.001", ran.verdict)
    assert ran.document["verdict"]["word"] == "fail"


def test_ctrl_c_reports_what_there_is_so_far(stack: Stack) -> None:
    """It reports what there is, says that this is no verdict, and leaves no process."""
    ran = _interrupted(stack, lambda: None)
    assert ran.status != 0
    assert re.fullmatch(r"VERDICT error: interrupted after \d+ s of 300 s", ran.verdict)
    assert (ran.folder / "report.html").exists()
    assert ran.document["total"]["requests"] > 0
    listed = subprocess.run(
        ["pgrep", "-fl", str(ran.folder)], capture_output=True, text=True, check=False
    )
    assert listed.stdout == ""


def test_the_report_draws_what_happened_to_the_stack(stack: Stack) -> None:
    """A worker that was killed and a replica that was restarted, with a number in each chart."""
    replica, other = stack.replicas()[:2]
    victim = min(stack.workers(replica))

    def disturb() -> None:
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in stack.workers(replica), "another worker has begun")
        stack.succeed("restart", SERVICE=other)

    ran = _interrupted(stack, disturb)
    events = {(event["kind"], event["target"]) for event in ran.document["events"]}
    assert ("ended", f"worker {replica}/{victim}") in events
    assert ("restarted", other) in events
    page = (ran.folder / "report.html").read_text()
    assert f"<td>ended worker {replica}/{victim}</td>" in page
    assert re.search(r'<text class="mark" [^>]*>1(–\d+)?</text>', page)


def _interrupted(stack: Stack, during: Callable[[], None]) -> Ran:
    """Do something during a run, then interrupt it."""
    process = stack.start_verb(
        "loadtest", DURATION="300s", USERS="4", PROCESSES="2", STATE_DIR=str(stack.state_dir)
    )
    folders = set((stack.state_dir / "loadtest").glob("*"))

    def has_begun() -> bool:
        new = set((stack.state_dir / "loadtest").glob("*")) - folders
        return any(path.stat().st_size for folder in new for path in folder.glob("requests-*.csv"))

    try:
        wait_until(has_begun, "the load has begun")
        during()
        # Its harness looks at the stack twice a second.
        time.sleep(2)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        printed, _ = process.communicate(timeout=120)
    return read(stack, process.returncode, printed)


def test_an_open_loop_does_not_wait_for_the_target(stack: Stack) -> None:
    """With RATE, visits begin at that rate, and the report says that the loop was open."""
    ran = run(stack, RATE="20", JOURNEYS=_ONLY_BOTS)
    assert ran.status == 0, ran.printed
    assert "open loop: 20 visits begin a second" in ran.printed
    # Four requests a visit. Of a Poisson process, fewer or more come once in a million times.
    visits = ran.document["total"]["requests"] / 4
    assert 27 <= visits <= 100
    assert ran.document["arrivals"]["due"] >= visits
    assert "visits were due, 0 (0.00%) of them dropped" in ran.printed


def test_two_runs_are_compared_side_by_side(stack: Stack, healthy: Ran) -> None:
    """A comparison prints ratios and writes a page; the report of the last run is named."""
    faster = {
        "throughput": healthy.document["throughput"] * 10,
        "throughput_interval": [end * 10 for end in healthy.document["throughput_interval"]],
    }
    other = healthy.folder.with_name("ten-times-as-fast")
    other.mkdir()
    (other / "run.json").write_text(json.dumps({**healthy.document, **faster}))
    printed = stack.succeed("loadtest", ARGS="compare", A=healthy.folder.name, B=other.name)
    ratio = r"requests/s +[\d.,]+ +[\d.,]+ +10\.00 +[\d.]+ to [\d.]+ +differs"
    assert re.search(ratio, printed), printed
    assert re.search(r"p99 ms +[\d.,]+ +[\d.,]+ +1\.00 +[\d.]+ to [\d.]+ +noise", printed), printed
    assert re.search(r"errors % +0 +0 +- +-[\d.]+ to [\d.]+ +noise", printed), printed
    assert Path(printed.strip().splitlines()[-1]).read_text().startswith("<!doctype html>")
    assert "report.html" in stack.succeed("loadtest", ARGS="report")
