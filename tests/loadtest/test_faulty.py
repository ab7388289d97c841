"""A target of which every tenth answer is an error: what gate, report and CI get to see."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tests.conftest import StartStack
from tests.support.stacks.loadtests import run
from tests.support.stacks.local import Stack


@pytest.fixture(name="nothing", scope="module")
def _nothing(new_stack: StartStack) -> Stack:
    """A state folder in which nothing runs."""
    return new_stack()


@pytest.fixture(name="faulty", scope="module")
def _faulty() -> Iterator[str]:
    """The address of the target."""
    count, lock = itertools.count(1), threading.Lock()

    @Request.application
    def application(_: Request) -> Response:
        with lock:
            is_bad = next(count) % 10 == 0
        return Response("{}", 500 if is_bad else 200, headers={"X-Served-By": "app-1/7"})

    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(name="settings")
def _settings(faulty: str, tmp_path: Path) -> dict[str, str]:
    """A scenario that asks the target, and objectives to be written into `slo.toml`."""
    scenario, slo = tmp_path / "mine.py", tmp_path / "slo.toml"
    scenario.write_text(
        "from loadtest import Journey\n\n\n"
        "class Visitor(Journey):\n"
        "    def visit(self) -> None:\n"
        "        self.get('/')\n"
        "        self.think()\n"
    )
    slo.write_text("[default]\nbalance = 100\n[default.requests.'*']\nerrors = 0.1\n")
    return {"HOST": faulty, "SCENARIO": str(scenario), "SLO": str(slo)}


def test_a_share_at_its_limit_is_undecided(nothing: Stack, settings: dict[str, str]) -> None:
    """One in ten fails, one in ten may: exit 3, and the result has the interval."""
    ran = run(nothing, **settings)
    assert ran.exit_code == 3, ran.printed
    assert ran.verdict.startswith("VERDICT undecided: errors of GET / ")
    assert ran.verdict.endswith("limit 10.00%: run longer")
    (judged,) = [each for each in ran.document["verdict"]["judged"] if each["unit"] == "share"]
    low, high = judged["interval"]
    assert low <= judged["limit"] < high
    assert "The run was too short to tell." in (ran.folder / "report.html").read_text()


def test_a_run_that_cannot_pass_stops_early(nothing: Stack, settings: dict[str, str]) -> None:
    """No error is allowed, and one has happened: the verdict is there before the time is over."""
    Path(settings["SLO"]).write_text("[default]\n[default.requests.'*']\nerrors = 0\n")
    ran = run(nothing, **settings, DURATION="300s", STOP="early")
    assert ran.exit_code == 1
    assert ran.document["seconds"] < 200
    assert "of 300 s: it could not pass any more" in ran.printed
