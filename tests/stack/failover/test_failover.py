"""Fail-overs through nginx; `python -m tests.stack.failover` measures each kind in each mode."""

import json
from pathlib import Path

import pytest

from tests.stack.failover.__main__ import main
from tests.stack.failover.run import BEFORE, Result, failed_over

LATE = 10.0
"""Longer than any request takes, also on a busy machine (seconds)."""


def _check(result: Result) -> None:
    assert result.twice == result.wrong == result.restarted == 0, result
    assert result.longest < LATE, result


def test_a_dead_sentinel_and_a_dead_primary_cost_no_worker() -> None:
    """Without one Sentinel nothing happens; without the primary only its last moment is lost."""
    result = failed_over("sentinel", "asynchronous").result
    _check(result)
    assert result.early == 0, result
    assert result.first > -BEFORE, result


def test_what_an_older_file_lacks_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A primary that comes back with less, before it is missed, undoes changes and logouts.

    A second call of the program has nothing to run, and prints the same table.
    """
    arguments = ["1", "--only", "older", "--mode", "asynchronous", "--folder", str(tmp_path)]
    main(arguments)
    first = capsys.readouterr().out
    (line,) = (tmp_path / "results.jsonl").read_text().splitlines()
    result = Result(**json.loads(line))
    _check(result)
    assert result.lost > 0, result
    assert result.undone > 0, result
    assert result.first < 0, result
    row = f"| asynchronous | 1 | {result.lost:,} of {result.acknowledged:,} | {result.undone} of "
    assert row in first
    main(arguments)
    assert capsys.readouterr().out in first
