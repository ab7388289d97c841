"""`make capacity` on real servers: the rate it finds, the route it names, and what it refuses."""

import json
import math
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from loadtest.__main__ import main
from loadtest.harness import search
from loadtest.harness.target import recovers
from loadtest.report import capacity
from loadtest.report.capacity import Capacity
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
            "RATE": "6",
            "ARRIVALS": "constant",
        }
    finally:
        target.stop()


def _searched(folder: Path, slower: float) -> tuple[Capacity, list[str], dict[str, Any], str]:
    """Search a capacity; return it, what was said, the raw data and the page."""
    said: list[str] = []
    with _target(folder, slower) as load:
        found = capacity.make(said.append, {**load, "STATE_DIR": str(folder)})
        asked = requests.get(f"{load['HOST']}/asked", timeout=60).json()
    kept = Path(said[-1].split()[-1])
    document = json.loads((kept / "capacity.json").read_text())
    # What the target offers is asked once, however many trials there are.
    assert asked["/api/products"] == 1
    # And after each trial that broke, whether it answers in good time again.
    assert asked["/list"] >= sum(not trial["is_kept"] for trial in document["trials"][:-1])
    return found, said, document, (kept / "capacity.html").read_text()


def test_a_slower_route_lowers_the_capacity_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 60 ms more in one route, a visit takes four times the time of the only worker."""
    # Coarse: the two are far apart, also on a busy machine.
    monkeypatch.setattr(search, "STEP", 1.3)
    monkeypatch.setattr(search, "CROSSINGS", 2)
    with ThreadPoolExecutor() as pool:
        fast, slow = pool.map(_searched, [tmp_path / "a", tmp_path / "b"], [0.0, 0.06])
    for found, said, document, page in (fast, slow):
        assert found.low <= found.rate < found.high
        # Two a visit.
        assert found.rate < found.throughput < 3 * found.rate
        assert {trial["is_kept"] for trial in document["trials"]} == {True, False}
        # A trial that broke at once may have none that counts.
        assert max(trial["late"] for trial in document["trials"]) > 0
        assert str(found) in page
        assert re.fullmatch(r"load generator \d+\.\d\d ms", found.costs)
        assert f"  a request  costs {found.costs} of CPU" in "\n".join(said)
        assert re.search(r"visits/s .* begun +[\d.]+ ms late  kept$", said[1])
    assert slow[0].rate < fast[0].rate, (fast[1], slow[1])
    assert slow[0].breaks.startswith("p99 of GET /add ")


def test_after_a_broken_trial_the_target_has_to_recover() -> None:
    """It waits for the queue of the trial before, and gives up after a while."""
    answers = iter([0.3, 0.3, 0.3])

    @Request.application
    def application(request: Request) -> Response:
        time.sleep(next(answers, 0.0))
        return Response("ok", status=500 if request.path == "/broken" else 404)

    server = make_server("127.0.0.1", 0, application)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.port}"
    try:
        assert not recovers(url, {"/": 250.0}, seconds=0)
        assert next(answers) == 0.3
        assert recovers(url, {"/": 250.0, "/other": 250.0}, seconds=60)
        assert next(answers, None) is None
        assert not recovers(url, {"/": 250.0, "/broken": 250.0}, seconds=0)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert not recovers(url, {"/": math.inf}, seconds=0)


def test_a_gate_that_breaks_at_once_is_said(nothing: Stack, tmp_path: Path) -> None:
    """No rate is low enough for the profile; the trials are in the report all the same."""
    with _target(tmp_path) as load:
        status, printed = nothing.verb("capacity", PROFILE="impossible", **load)
    assert status != 0
    assert "CAPACITY error: the gate breaks already at 6 visits a second" in printed
    assert "hint: begin lower: RATE=1.5; or choose other limits: PROFILE=, SLO=" in printed
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
        r"^CAPACITY error: interrupted after \d+ trials, .* 6 visits a second$",
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
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    settings: dict[str, str],
    problem: str,
    hint: str,
) -> None:
    """With the reason and a hint, before any load; the last line has no capacity."""
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    for name, text in settings.items():
        monkeypatch.setenv(name, text)
    assert main(["capacity", *settings.get("ARGS", "").split()]) == 2
    printed, warned = capfd.readouterr()
    assert problem in warned
    assert hint in warned
    assert printed.splitlines()[-1].startswith("CAPACITY error: ")
