"""The report of a run, from its document alone."""

import html
import re
from typing import Any

from runs import report

_ENDPOINT = {
    "name": "GET /<b>", "requests": 4, "errors": 1, "error_share": 0.25, "mean": 1.0,
    "greatest": 9.0, "statuses": {"200": 3, "500": 1},
    "percentiles": {"p50": 1.0, "p75": 1.0, "p90": 1.0, "p95": 9.0, "p99": 9.0, "p99.9": 9.0},
}  # fmt: skip

_FOUND = {
    "time": 1.0, "kind": "lost update", "journey": "TwoTabs", "request": "GET /<b>",
    "detail": "<script> is 1 instead of 2", "served_by": "app-1/1", "issuer": "",
    "request_id": "f00",
}  # fmt: skip


def _document(**changes: Any) -> dict[str, Any]:
    return {
        "time": "2026-01-01T00:00:00+00:00",
        "verdict": {"word": "fail", "reasons": ["lost update 1 times"], "notes": [], "line": ""},
        "target": {"url": "http://shop.example", "offers": [], "is_ours": False},
        "plan": {
            "rate": 0, "users": 5, "think": 0.1, "shape": "steady", "duration": 3.0,
            "processes": 1, "scenario": "mine.py",
        },
        "profile": {"name": "mine", "requests": {"*": {"p95": 5.0}}},
        "journeys": {"weights": {"TwoTabs": 1}, "skipped": {"Buyer": ["checkout"]}, "users": []},
        "interrupted": False, "seconds": 3.0, "throughput": 1.0,
        "total": {**_ENDPOINT, "name": "all"}, "endpoints": [_ENDPOINT],
        "timeline": [
            {"second": 0, "requests": 2, "errors": 0, "p50": 1.0, "p95": 1.0, "p99": 1.0},
            {"second": 1, "requests": 0, "errors": 0},
            {"second": 2, "requests": 2, "errors": 1, "p50": 1.0, "p95": 9.0, "p99": 9.0},
        ],
        "distribution": [[1.0, 3.0, 3], [3.0, 9.0, 1]],
        "workers": {}, "findings": {"lost update": 1}, "suspects": {"lost update": "app-1"},
        "found": [_FOUND], "errors": [], "tiers": {}, "usage": {}, "store": {}, "events": [],
        "steps": [], "drift": None,
        "surroundings": {
            "machine": "m", "load_average": 1, "locust": "2", "python": "3", "commit": "c",
            "target": {},
        },
        **changes,
    }  # fmt: skip


def test_what_the_target_wrote_is_text() -> None:
    """Names and details come from a target that may be anybody's: none of it is markup."""
    page = report.of_run(_document())
    assert "<script>" not in page
    assert html.escape("<script> is 1 instead of 2") in page
    assert "GET /&lt;b&gt;" in page


def test_a_limit_that_was_passed_stands_out() -> None:
    """The figure above its limit is marked, with the limit; those below are not."""
    page = report.of_run(_document())
    assert re.findall(r'<td class="bad" title="limit 5">([^<]*)', page) == ["9"]


def test_what_is_unknown_is_said() -> None:
    """Of a target that is not ours: no CPU, no workers, a skipped journey, and each says so."""
    page = report.of_run(_document())
    assert "CPU and memory of the target are unknown" in page
    assert "no X-Served-By" in page
    assert "Skipped: Buyer; the target does not offer checkout." in page


def test_events_at_one_moment_share_a_mark() -> None:
    """Names that lie on each other cannot be read."""
    events = [{"at": at, "kind": "rolled", "target": name} for at, name in ((1.0, "a"), (1.1, "b"))]
    page = report.of_run(_document(events=events))
    assert page.count(">rolled a and 1 more</text>") == 2
    assert "rolled b" not in page
