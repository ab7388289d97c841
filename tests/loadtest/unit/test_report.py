"""The result of a run as `run.json` holds it, and the report made from it."""

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtest.errors import LoadTestError
from loadtest.harness.result import RunResult
from loadtest.report import compare
from loadtest.report import run as report


def test_run_json_keeps_its_format(result: RunResult, document: dict[str, Any]) -> None:
    """What an earlier version wrote is read, and written again with the same names."""
    written = json.loads(result.to_json())
    assert written.pop("arrivals") is None
    assert written.pop("throughput_interval") is None
    assert written.pop("exchange") is None
    assert written["verdict"].pop("judged") == []
    assert written["plan"].pop("arrivals") == "poisson"
    assert written["errors"][0].pop("uncorrected_ms") is None
    for endpoint in (written["total"], *written["endpoints"]):
        assert endpoint.pop("uncorrected") == {}
        assert endpoint.pop("intervals") == {}
    assert written == document


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"time": "now"}'])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, text: str) -> None:
    """The message has the path and what to do."""
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(LoadTestError, match=r"cannot read .*run\.json: .*\n  hint: make the run"):
        RunResult.read(tmp_path)


def test_report_escapes_what_the_target_wrote(result: RunResult, tmp_path: Path) -> None:
    """The target, which may be anybody's, chooses names and details: they must not be markup."""
    for page in (
        report.write(tmp_path, result).read_text(),
        compare.write(tmp_path / "compared.html", result, result).read_text(),
    ):
        assert "<script>" not in page
        assert "<status>" not in page
        assert "GET /&lt;b&gt;" in page
    assert html.escape("<script> is 1 instead of 2") in (tmp_path / "report.html").read_text()


def test_report_marks_figures_above_their_limit(result: RunResult, tmp_path: Path) -> None:
    """Only the figure above its limit is marked, and shows the limit."""
    page = report.write(tmp_path, result).read_text()
    assert re.findall(r'<td class="bad" title="limit 5">([^<]*)', page) == ["9"]


def test_report_says_what_is_unknown(result: RunResult, tmp_path: Path) -> None:
    """For a foreign target: no CPU, no workers, a skipped journey."""
    page = report.write(tmp_path, result).read_text()
    assert "CPU and memory of the target are unknown" in page
    assert "no X-Served-By" in page
    assert "Skipped: Buyer; the target does not offer checkout." in page


def test_a_comparison_says_how_many_rows_differ_by_chance(result: RunResult) -> None:
    """With twenty routes, somebody would look for the reason of one that differs."""
    apart = replace(result, throughput_interval=(0.9, 1.1))
    faster = replace(result, throughput=2.0, throughput_interval=(1.8, 2.2))
    said = "rows differ; between two runs of the same, about one row in twenty does, by chance"
    assert f"  note: 1 of 1 {said}" in compare.lines(apart, faster)
    assert not [line for line in compare.lines(apart, apart) if said in line]
