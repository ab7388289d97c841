"""Fail-overs through nginx; `python -m tests.stack.failover` measures each kind in each mode."""

from tests.stack.failover.run import BEFORE, Result, failed_over

LATE = 10.0
"""Longer than any request takes, also on a busy machine (seconds)."""


def _checked(fault: str) -> Result:
    result = failed_over(fault, "asynchronous").result
    assert result.twice == result.wrong == result.restarted == 0, result
    assert result.longest < LATE, result
    return result


def test_a_dead_sentinel_and_a_dead_primary_cost_no_worker() -> None:
    """Without one Sentinel nothing happens; without the primary only its last moment is lost."""
    result = _checked("sentinel")
    assert result.early == 0, result
    assert result.first > -BEFORE, result


def test_what_an_older_file_lacks_is_counted() -> None:
    """A primary that comes back with less, before it is missed, undoes changes and logouts."""
    result = _checked("older")
    assert result.lost > 0, result
    assert result.undone > 0, result
    assert result.first < 0, result
