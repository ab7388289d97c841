"""A run with a finding, as `run.json` holds it."""

import json
from typing import Any

import pytest

from loadtest.harness.result import RunResult

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


@pytest.fixture(name="document")
def _document() -> dict[str, Any]:
    """The document of that run."""
    return _DOCUMENT


@pytest.fixture(name="result")
def _result() -> RunResult:
    """A run with a finding, read from `run.json`."""
    return RunResult.from_json(json.dumps(_DOCUMENT))
