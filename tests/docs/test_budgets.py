"""Numbers that may fall and not rise, and limits on what users meet."""

import re

import pytest

from tests.docs.budgets import PRODUCT, modules
from tests.support.checkout import ROOT

# Lower a number here whenever it falls.
_SUPPRESSIONS = {
    ("product", "noqa"): 40,
    ("product", "type: ignore"): 13,
    ("product", "fmt: skip"): 49,
    ("tests", "noqa"): 65,
    ("tests", "type: ignore"): 40,
    ("tests", "fmt: skip"): 45,
}
# The last one is `capacity`, which is what people ask a load test.
_VERBS = 21
# Three for the store that fails over, nine for metrics and what shows them, three for MongoDB: its
# URL, its program, its image; three for the load test: how the visits of an open loop are spaced,
# when it stops, and how long each trial of a search for the capacity takes.
_SETTINGS = 100


@pytest.mark.parametrize(("part", "mark"), _SUPPRESSIONS)
def test_suppressions_do_not_rise(part: str, mark: str) -> None:
    """A new suppression replaces one, or its commit gives a reason and changes the number."""
    folders = PRODUCT if part == "product" else ("tests",)
    found = sum(path.read_text().count(f"# {mark}") for path in modules(*folders))
    assert found <= _SUPPRESSIONS[part, mark]


def test_verbs_do_not_rise() -> None:
    """A new verb replaces one, or its commit gives a reason and changes the number."""
    verbs = re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(set(verbs) - {"help"}) <= _VERBS, verbs


def test_settings_do_not_rise() -> None:
    """A new setting replaces one, or its commit gives a reason and changes the number."""
    settings = re.findall(
        r"^#?\s?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE
    )
    assert len(settings) > 40
    assert len(set(settings)) <= _SETTINGS
