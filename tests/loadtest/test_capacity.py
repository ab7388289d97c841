"""`make capacity` on real servers: the rate it finds, the route it names, and what it refuses."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartStack
from tests.support.ports import free_port
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.stacks.local import Stack

_SCENARIO = """
from loadtest import Journey


class Visitor(Journey):
    def visit(self) -> None:
        self.get("/list")
        self.get("/add")
"""


@pytest.fixture(name="nothing", scope="module")
def _nothing(new_stack: StartStack) -> Stack:
    """A state folder in which nothing runs."""
    return new_stack()


@contextmanager
def _target(folder: Path, slower: float = 0.0) -> Iterator[dict[str, str]]:
    """One worker, one of whose routes takes so many seconds more; the settings that load it."""
    folder.mkdir(exist_ok=True)
    (folder / "visitor.py").write_text(_SCENARIO)
    port = free_port()
    target = Gunicorn(
        folder,
        "tests.loadtest.routes:app",
        BIND=f"127.0.0.1:{port}",
        WORKERS="1",
        SLOWER_SECONDS=str(slower),
        METRICS="0",
    )
    try:
        target.start("/list")
        yield {
            "HOST": f"http://127.0.0.1:{port}",
            "SCENARIO": str(folder / "visitor.py"),
            "STEP": "1s",
            "PROCESSES": "1",
            "RATE": "12",
            "ARRIVALS": "constant",
        }
    finally:
        target.stop()


def _searched(stack: Stack, folder: Path, slower: float) -> tuple[str, dict[str, Any], str]:
    """Search a capacity; return what was printed, the raw data and the page."""
    with _target(folder, slower) as load:
        status, printed = stack.verb("capacity", **load)
    assert status == 0, printed
    kept = Path(re.findall(r"^  raw data +(\S+)$", printed, re.MULTILINE)[0])
    document = json.loads((kept / "capacity.json").read_text())
    return printed.strip(), document, (kept / "capacity.html").read_text()


def test_a_slower_route_lowers_the_capacity_and_is_named(
    new_stack: StartStack, tmp_path: Path
) -> None:
    """With 20 ms more in one route, a visit takes twice the time of the only worker."""
    with ThreadPoolExecutor() as pool:
        fast, slow = pool.map(
            _searched, [new_stack(), new_stack()], [tmp_path / "a", tmp_path / "b"], [0.0, 0.02]
        )
    figures = r"([\d.]+) visits a second \(([\d.]+)–([\d.]+)\), ([\d.]+) requests a second"
    rates = []
    for printed, document, page in (fast, slow):
        last = printed.splitlines()[-1]
        found = re.fullmatch(rf"CAPACITY {figures}: above it, p99 of GET /\w+ .* ms.*", last)
        assert found, printed
        rate, low, high, requests = map(float, found.groups())
        assert low <= rate < high
        # Two a visit.
        assert rate < requests < 3 * rate
        assert {trial["is_kept"] for trial in document["trials"]} == {True, False}
        assert f"{found[1]} visits a second" in page
        rates.append(rate)
    assert rates[1] < 0.8 * rates[0], (fast[0], slow[0])
    assert "above it, p99 of GET /add " in slow[0]


def test_a_gate_that_breaks_at_once_is_said(nothing: Stack, tmp_path: Path) -> None:
    """No rate is low enough for the profile; the trials are in the report all the same."""
    with _target(tmp_path) as load:
        status, printed = nothing.verb("capacity", PROFILE="impossible", **load)
    assert status != 0
    assert "CAPACITY error: the gate breaks already at 12 visits a second" in printed
    assert "hint: begin lower: RATE=3; or choose other objectives: PROFILE=, SLO=" in printed
    assert re.search(r"^  report +\S+/capacity\.html$", printed, re.MULTILINE)


def test_ctrl_c_reports_the_trials_so_far(nothing: Stack, tmp_path: Path) -> None:
    """It claims no capacity, says which rate was kept, and leaves no process."""
    with _target(tmp_path) as load:
        process = nothing.start_verb("capacity", **load)
        assert process.stdout
        printed = ""
        try:
            while not printed.endswith("kept\n"):
                line = process.stdout.readline()
                assert line, printed
                printed += line
        finally:
            os.killpg(process.pid, signal.SIGINT)
            printed += process.communicate(timeout=120)[0]
    assert process.returncode != 0
    assert re.search(
        r"^CAPACITY error: interrupted after \d+ trials, .* 12 visits a second$",
        printed,
        re.MULTILINE,
    ), printed
    folder = re.findall(r"^  raw data +(\S+)$", printed, re.MULTILINE)[0]
    listed = subprocess.run(["pgrep", "-f", folder], capture_output=True, text=True, check=False)
    assert listed.stdout == ""


@pytest.mark.parametrize(
    ("settings", "problem", "hint"),
    [
        ({"USERS": "5"}, "cannot use USERS=5: a closed loop", "leave USERS out"),
        ({"SHAPE": "ramp"}, "cannot use SHAPE=ramp", "leave SHAPE out"),
        ({"DURATION": "9s"}, "cannot use DURATION=9s: STEP=", "leave DURATION out"),
        ({"STEP": "soon"}, "STEP=soon is not a time", "STEP=15s"),
        ({"PROFILE": "none"}, "has no profile 'none'", "capacity"),
        ({}, "nothing is running in", "make up"),
        ({"HOST": "http://127.0.0.1:9"}, "does not answer", "start it"),
        ({"ARGS": "report"}, "ARGS=capacity report is not one of", "make loadtest"),
    ],
    ids=["users", "shape", "duration", "step", "profile", "stack", "host", "args"],
)
def test_a_search_that_cannot_be_made_is_refused(
    nothing: Stack, settings: dict[str, str], problem: str, hint: str
) -> None:
    """With the reason and a hint, before any load; the last line has no capacity."""
    status, printed = nothing.verb("capacity", **settings)
    assert status != 0
    assert problem in printed
    assert hint in printed
    assert re.search(r"^CAPACITY error: ", printed, re.MULTILINE), printed
