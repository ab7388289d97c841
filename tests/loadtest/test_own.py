"""A user's own application, with the scenario that docs/loadtest.md shows."""

import re
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.stacks.loadtests import run, run_until_found
from tests.support.stacks.local import Stack

_PAGE = ROOT / "docs" / "loadtest.md"


@pytest.fixture(name="scenario", scope="module")
def _scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenario of the documentation, as a file."""
    (block,) = re.findall(r"^```python\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 20
    path = tmp_path_factory.mktemp("scenario") / "my_notes.py"
    path.write_text(block)
    return path


def test_the_documented_scenario_passes_on_a_sound_application(
    copied: Stack, scenario: Path
) -> None:
    """Its journeys are made, and the report says what is unknown."""
    copied.up(APP="notes:create_app()")
    ran = run(copied, SCENARIO=str(scenario), HOST=copied.folder.url or "", DURATION="2s")
    assert ran.verdict == "VERDICT pass", ran.printed
    assert set(ran.document["journeys"]["weights"]) == {"Writer", "TwoTabs"}
    assert {endpoint["name"] for endpoint in ran.document["endpoints"]} == {
        "GET /notes",
        "POST /notes",
    }
    assert "served     unknown" in ran.printed


def test_the_documented_scenario_finds_what_is_lost(copied: Stack, scenario: Path) -> None:
    """With its notes in one list, the same application loses some of two tabs."""
    copied.up(APP="notes:create_app(is_forgetful=True)")
    ran = run_until_found(copied, SCENARIO=str(scenario))
    assert re.match(r"VERDICT fail: lost update \d+ times \(0 allowed\)", ran.verdict), ran.printed
