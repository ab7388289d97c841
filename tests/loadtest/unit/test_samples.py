"""Samples are read as they were written."""

import csv
from pathlib import Path

import pytest

from loadtest.users.samples import Follower


@pytest.mark.parametrize("between", ["\u2028", "\x85", "\x0b", "\n", "\r\n", '"', ","])
def test_a_finding_may_quote_anything_the_target_wrote(tmp_path: Path, between: str) -> None:
    """Also what Python takes for the end of a line; the next finding is still another one."""
    details = [f"a{between}b", "next"]
    with (tmp_path / "findings-1.csv").open("w", encoding="utf-8", newline="") as file:
        for detail in details:
            csv.writer(file).writerow((1.0, "lost update", "Mine", "GET /", detail, "", "", "id"))
    assert [found.detail for found in Follower(tmp_path).findings()] == details
