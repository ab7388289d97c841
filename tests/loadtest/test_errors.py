"""A run that cannot be made has no verdict: exit 2, the reason, and a hint."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.state import StateFolder
from werkzeug.exceptions import NotFound

from tests.conftest import StartStack
from tests.support.http.serving import served
from tests.support.stacks.loadtests import run
from tests.support.stacks.local import Stack

# The port of discard, which nothing serves.
_DOWN = "http://127.0.0.1:9"


@pytest.fixture(name="nothing", scope="module")
def _nothing(new_stack: StartStack) -> Stack:
    """A state folder in which nothing runs."""
    return new_stack()


@pytest.fixture(name="stranger", scope="module")
def _stranger() -> Iterator[str]:
    """A server that has nothing of the shop's contract; its address."""
    with served(NotFound()) as address:
        yield address


@pytest.mark.parametrize(
    ("settings", "problem", "hint"),
    [
        ({"USERS": "0"}, "USERS=0 is not a whole number from 1", "USERS=50"),
        ({"PROFILE": "none"}, "has no profile 'none'", "default, strict, capacity, deploy"),
        ({}, "nothing is running in", "make up"),
        ({"REPLICAS": "0"}, "REPLICAS=0 is not", "make up REPLICAS=2"),
        ({"HOST": _DOWN}, f"{_DOWN} does not answer", "hint: start it"),
    ],
    ids=["users", "profile", "stack", "kit", "host"],
)
def test_an_impossible_run_is_refused(
    nothing: Stack, settings: dict[str, str], problem: str, hint: str
) -> None:
    """It is refused with the reason and a hint, before any request is made."""
    ran = run(nothing, **settings)
    assert ran.exit_code == 2, ran.printed
    assert problem in ran.printed
    assert hint in ran.printed
    assert ran.verdict.startswith("VERDICT error: ")
    assert problem in ran.verdict


def test_a_target_without_the_contract_is_refused(nothing: Stack, stranger: str) -> None:
    """Every journey is skipped for what it needs, and that is no pass."""
    ran = run(nothing, HOST=stranger)
    assert ran.exit_code == 2
    assert "skipped    Shopper: the target does not offer cart, products, session" in ran.printed
    assert "does not offer accounts, cart, checkout, products, session" in ran.verdict
    assert "docs/loadtest.md" in ran.printed


def test_an_unwritable_folder_is_named(nothing: Stack, stranger: str, tmp_path: Path) -> None:
    """The folder is named before the load begins."""
    StateFolder(tmp_path).claim()
    (tmp_path / "loadtest").write_text("in the way")
    ran = run(nothing, HOST=stranger, STATE_DIR=str(tmp_path))
    assert ran.exit_code == 2
    assert "cannot write the report" in ran.verdict
    assert "STATE_DIR=" in ran.printed


def test_a_broken_scenario_shows_its_traceback(
    nothing: Stack, stranger: str, tmp_path: Path
) -> None:
    """Its traceback is shown, and the target is not blamed."""
    scenario = tmp_path / "mine.py"
    scenario.write_text("from loadtest import Journy\n")
    status, printed = nothing.verb(
        "loadtest", HOST=stranger, SCENARIO=str(scenario), USERS="1", PROCESSES="1"
    )
    assert status != 0
    assert "cannot import name 'Journy'" in printed
    assert "VERDICT error: " in printed


@pytest.mark.parametrize(
    ("processes", "problem"),
    [("1", "the load generator ended after"), ("2", "a process of the load generator ended after")],
)
def test_a_dead_load_generator_leaves_no_verdict(
    nothing: Stack, stranger: str, tmp_path: Path, processes: str, problem: str
) -> None:
    """There is no verdict on half a run, or on half its load."""
    scenario = tmp_path / "mortal.py"
    scenario.write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from loadtest import Journey\n\n\n"
        "class Mortal(Journey):\n"
        "    made = 0\n\n"
        "    def visit(self) -> None:\n"
        "        Mortal.made += 1\n"
        "        if Mortal.made == 100:\n"
        "            try:\n"
        "                Path(__file__).with_name('one').mkdir()\n"
        "            except FileExistsError:\n"
        "                return\n"
        "            os._exit(3)\n"
        "        self.get('/', expect=(404,))\n"
    )
    ran = run(nothing, HOST=stranger, SCENARIO=str(scenario), DURATION="30s", PROCESSES=processes)
    assert ran.exit_code == 2
    assert f"VERDICT error: {problem}" in ran.verdict


def test_a_refused_user_pauses(nothing: Stack, stranger: str, tmp_path: Path) -> None:
    """A tenth of a second, however fast the target refuses. The scenario has the old names."""
    scenario = tmp_path / "eager.py"
    scenario.write_text(
        "from visits import Journey\n\n\n"
        "class Eager(Journey):\n"
        "    def visit(self) -> None:\n"
        "        self.hold(True, 'lost update', '')\n"
        "        self.get('/')\n"
    )
    ran = run(nothing, HOST=stranger, SCENARIO=str(scenario), USERS="2", DURATION="2s")
    assert ran.exit_code == 1
    assert ran.document["total"]["error_share"] == 1
    assert ran.document["total"]["requests"] <= 2 * 21
