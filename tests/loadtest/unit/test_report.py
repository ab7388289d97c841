"""The result of a run as `run.json` holds it, and the report made from it."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from loadtest.errors import LoadTestError
from loadtest.harness.result import RunResult
from loadtest.report import compare
from loadtest.report import run as report

_ENDPOINT = {
    "name": "GET /<b>", "requests": 4, "errors": 1, "error_share": 0.25, "mean": 1.0,
    "greatest": 9.0, "statuses": {"200": 3, "500": 1},
    "percentiles": {"p50": 1.0, "p75": 1.0, "p90": 1.0, "p95": 9.0, "p99": 9.0, "p99.9": 9.0},
}  # fmt: skip

# As an earlier version wrote it: its names must stay.
_DOCUMENT: dict[str, Any] = {
    "time": "2026-01-01T00:00:00+00:00",
    "verdict": {
        "word": "fail", "reasons": ["lost update 1 times"], "notes": [],
        "line": "VERDICT fail: lost update 1 times",
    },
    "target": {
        "url": "http://shop.example", "offers": [], "tells_workers": False, "is_ours": False,
        "login": "",
    },
    "plan": {
        "scenario": "mine.py", "users": 5, "rate": 0, "duration": 3.0, "shape": "steady",
        "think": 0.1, "processes": 1, "weights": {}, "accounts": None, "offers": [],
        "folder": "20260101",
    },
    "profile": {
        "name": "mine", "continuity_failures": 0, "balance": 0.5, "throughput": 0,
        "requests": {"*": {"p95": 5.0}},
    },
    "journeys": {
        "weights": {"TwoTabs": 1}, "skipped": {"Buyer": ["checkout"]}, "users": [], "unknown": [],
    },
    "interrupted": False, "seconds": 3.0, "throughput": 1.0,
    "total": {**_ENDPOINT, "name": "all"}, "endpoints": [_ENDPOINT],
    "timeline": [
        {"second": 0, "requests": 2, "errors": 0, "p50": 1.0, "p95": 1.0, "p99": 1.0},
        {"second": 1, "requests": 0, "errors": 0},
        {"second": 2, "requests": 2, "errors": 1, "p50": 1.0, "p95": 9.0, "p99": 9.0},
    ],
    "distribution": [[1.0, 3.0, 3], [3.0, 9.0, 1]],
    "workers": {}, "findings": {"lost update": 1}, "suspects": {"lost update": "app-1"},
    "found": [{
        "time": 1.0, "kind": "lost update", "journey": "TwoTabs", "request": "GET /<b>",
        "detail": "<script> is 1 instead of 2", "served_by": "app-1/1", "issuer": "",
        "request_id": "f00",
    }],
    "errors": [{
        "time": 2.0, "name": "GET /<b>", "status": 500, "latency_ms": 9.0, "size": 1,
        "served_by": "", "request_id": "f01", "error": "<status> 500",
    }],
    "tiers": {"load generator": {"cpu_us": 9.0, "memory": 1024}},
    "usage": {"load generator": [{"second": 0.5, "cores": 0.1, "memory": 1024}]},
    "store": {}, "events": [], "drift": None,
    "surroundings": {
        "machine": "m", "load_average": 1, "locust": "2", "python": "3", "commit": "c",
        "target": {},
    },
}  # fmt: skip


@pytest.fixture(name="result")
def _result() -> RunResult:
    """A run with a finding, read from `run.json`."""
    return RunResult.from_json(json.dumps(_DOCUMENT))


def test_run_json_keeps_its_format(result: RunResult) -> None:
    """What an earlier version wrote is read, and written again with the same names."""
    document = json.loads(result.to_json())
    assert document.pop("arrivals") is None
    assert document.pop("throughput_interval") is None
    assert document.pop("exchange") is None
    assert document["verdict"].pop("judged") == []
    assert document["plan"].pop("arrivals") == "poisson"
    assert document["errors"][0].pop("uncorrected_ms") is None
    for endpoint in (document["total"], *document["endpoints"]):
        assert endpoint.pop("uncorrected") == {}
        assert endpoint.pop("intervals") == {}
    assert document == _DOCUMENT


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
