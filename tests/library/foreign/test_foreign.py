"""Other projects' suites do on our sessions what they do on their own, but for a list."""

import os

import pytest

from tests.library.foreign import running, suites
from tests.library.foreign.suites import Suite
from tests.support.environments import Unmade

_SUITES = suites.load()


@pytest.mark.parametrize("suite", _SUITES.values(), ids=_SUITES)
def test_a_suite_differs_only_where_it_is_listed(suite: Suite) -> None:
    """What passes on a project's own sessions passes on ours, but for what is listed, with why."""
    try:
        comparison = running.compare(suite, "memory://")
    except Unmade as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    assert comparison.complaints() == []


def test_each_reason_is_used() -> None:
    """Every reason has a test, so that the guide explains only differences that there are."""
    used = {reason for suite in _SUITES.values() for reason in suite.differences.values()}
    assert used == set(suites.reasons())
