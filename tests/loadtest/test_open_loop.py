"""An open loop on real servers: what it says of a target that is late."""

import csv
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.wrappers import Request, Response

from loadtest import settings
from loadtest.harness import run as harness
from loadtest.harness.run import Run
from loadtest.harness.verdict import Word
from tests.conftest import StartStack
from tests.support.http.serving import served
from tests.support.stacks.loadtests import SLO, read, run, settings_of
from tests.support.stacks.local import Stack
from tests.support.waiting import wait_until

# Few visits of many requests: one request of each waits for the store, and hides the others.
_LONG_VISITS = """
from loadtest import Journey


class Reader(Journey):
    def visit(self) -> None:
        self.post("/notes", json={"text": "first"}, expect=(201,))
        for _ in range(120):
            self.think()
            self.get("/notes")
"""
_ASKS = """
from loadtest import Journey


class Visitor(Journey):
    def visit(self) -> None:
        self.get("/")
        self.get("/again")
"""

_BUSY = """
import time

from loadtest import Journey


class Visitor(Journey):
    def visit(self) -> None:
        self.get("/api")
        until = time.perf_counter() + 0.04
        while time.perf_counter() < until:
            pass
"""
_ASKS_AND_PAUSES = """
from loadtest import Journey


class Visitor(Journey):
    def visit(self) -> None:
        for _ in range(15):
            self.get("/steady")
            self.think()
"""


@pytest.fixture(name="nothing", scope="module")
def _nothing(new_stack: StartStack) -> Stack:
    """A state folder in which nothing runs."""
    return new_stack()


@pytest.fixture(name="slow", scope="module")
def _slow() -> Iterator[dict[str, str]]:
    """A server that answers after two seconds, or a tenth; what loads it for one."""

    @Request.application
    def application(request: Request) -> Response:
        # The paths that a run asks first are those of the shop.
        if not request.path.startswith("/api"):
            time.sleep(0.1 if request.path == "/steady" else 2)
        return Response("ok")

    with served(application) as address:
        yield {"HOST": address, "DURATION": "1s", "RATE": "10", "ARRIVALS": "constant"}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_requests_that_were_sent_get_their_answers(
    nothing: Stack, slow: dict[str, str], tmp_path: Path, processes: str
) -> None:
    """Each visit of the run has an answer, and none goes on after its end."""
    scenario = tmp_path / "slow.py"
    scenario.write_text(_ASKS)
    ran = run(nothing, **slow, SCENARIO=str(scenario), PROCESSES=processes)
    assert ran.verdict == "VERDICT pass", ran.printed
    (endpoint,) = ran.document["endpoints"]
    assert endpoint["requests"] == ran.document["arrivals"]["due"] > 4
    assert endpoint["percentiles"]["p50"] >= 2000


def test_a_visit_that_cannot_begin_is_dropped(
    nothing: Stack, slow: dict[str, str], tmp_path: Path
) -> None:
    """It is counted and shown, and none is allowed."""
    scenario = tmp_path / "few.py"
    scenario.write_text(f"from loadtest.users import loops\n\nloops._MOST_UNDER_WAY = 4\n{_ASKS}")
    ran = run(nothing, **slow, SCENARIO=str(scenario))
    assert ran.exit_code == 1
    due, dropped = (ran.document["arrivals"][name] for name in ("due", "dropped"))
    assert due == dropped + 4
    assert ran.verdict == f"VERDICT fail: overload {dropped} times (0 allowed)", ran.printed
    assert f"{due} visits were due, {dropped} ({dropped / due:.2%}) of them dropped" in ran.printed
    assert (ran.folder / "arrivals.csv").read_text().count("\n") == due + 1


def test_a_steady_slow_target_does_not_get_later_and_later(
    nothing: Stack, slow: dict[str, str], tmp_path: Path
) -> None:
    """Its answers take longer than a pause; a note says so, and no lateness adds up."""
    scenario = tmp_path / "steady.py"
    scenario.write_text(_ASKS_AND_PAUSES)
    ran = run(nothing, **{**slow, "DURATION": "2s", "RATE": "4"}, SCENARIO=str(scenario))
    total = ran.document["total"]
    # Without a bound, half of them would be late by 0.6 s or more.
    assert total["percentiles"]["p50"] <= 2 * total["uncorrected"]["p99"]
    assert re.search(r"half of the answers took \d+ ms or more, .* 10 \(THINK\)", ran.printed)


def test_a_load_generator_that_does_not_keep_up_ends_the_run(
    nothing: Stack, slow: dict[str, str], tmp_path: Path
) -> None:
    """It would need twice the time that there is: no verdict, and no need to wait for the end."""
    scenario = tmp_path / "busy.py"
    scenario.write_text(_BUSY)
    load = {**slow, "RATE": "50", "DURATION": "5m", "PROFILE": "impossible"}
    ran = run(nothing, **load, SCENARIO=str(scenario))
    assert ran.exit_code == 2
    assert ran.verdict.startswith("VERDICT error: the load generator was the limit"), ran.printed
    assert "use more PROCESSES, or another machine" in ran.verdict
    assert re.search(r"stopped after \d+ s of 300 s: the load generator did not keep", ran.printed)


def test_the_first_answer_may_take_longer_than_the_start(
    nothing: Stack, slow: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load generator that waits for it has begun."""
    scenario = tmp_path / "slow.py"
    scenario.write_text(_ASKS)
    monkeypatch.setattr(harness, "_START_SECONDS", 0.0)
    load = {**slow, "SCENARIO": str(scenario), "PROCESSES": "1", "SLO": str(SLO)}
    wanted = settings.parse({**load, "STATE_DIR": str(nothing.state_dir)})
    result, _ = Run(wanted, lambda _: None).make()
    assert result.verdict.word is Word.PASS
    # Each visit is answered after the planned end.
    assert result.seconds <= 1
    assert result.total.requests > 4


def test_a_paused_store_shows_in_corrected_percentiles_alone(copied: Stack, tmp_path: Path) -> None:
    """About a quarter of the requests were due in that second, and one of each visit was sent."""
    scenario = tmp_path / "long.py"
    scenario.write_text(_LONG_VISITS)
    # By default, a request gives up before the second has passed.
    copied.up(APP="notes:create_app()", UNSTICKY_DEADLINE="10")
    # It ends by the number of requests, however long a busy machine takes for them.
    load = settings_of(
        RATE="2", ARRIVALS="constant", THINK="0.03", DURATION="5m", SCENARIO=str(scenario)
    )
    folders = set((copied.state_dir / "loadtest").glob("*"))
    process = copied.start_verb("loadtest", **load)

    def rows() -> int:
        new = set((copied.state_dir / "loadtest").glob("*")) - folders
        return sum(
            path.read_bytes().count(b"\n") for each in new for path in each.glob("requests-*.csv")
        )

    try:
        wait_until(lambda: rows() > 80, "the load has begun")
        with copied.store_paused():
            time.sleep(1)  # the second that the percentiles have to show
            sent = rows()
        wait_until(lambda: rows() > sent + 150, "what was due in that second was sent")
    finally:
        os.killpg(process.pid, signal.SIGINT)
        printed, _ = process.communicate(timeout=120)
    ran = read(copied, process.returncode, printed)
    assert "VERDICT error: interrupted after" in printed
    total = ran.document["total"]
    assert total["errors"] == sum(ran.document["findings"].values()) == 0
    corrected, uncorrected = (total[name]["p90"] for name in ("percentiles", "uncorrected"))
    assert corrected > 400
    assert uncorrected < corrected / 2
    assert "uncorrected p95" in printed
    assert "p95 uncorrected" in (ran.folder / "report.html").read_text()
    assert ran.document["arrivals"]["dropped"] == 0
    with (ran.folder / "requests.csv").open(newline="") as file:
        late = [float(r["latency_ms"]) - float(r["uncorrected_ms"]) for r in csv.DictReader(file)]
    assert max(late) > 400
    assert min(late) >= 0
