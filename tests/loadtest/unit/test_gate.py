"""The gate: what a profile allows, and what a run did."""

from pathlib import Path

import pytest

from loadtest import Failure
from loadtest.errors import LoadTestError
from loadtest.harness import gate
from loadtest.harness.figures import Endpoint
from loadtest.harness.gate import Profile, Word
from tests.support.checkout import ROOT

_SLO = ROOT / "loadtest" / "slo.toml"
_THROUGHPUT = "throughput 7.5 requests/s, 2.5 below 10"
_P99 = "p99 of GET /cart 10.5 ms, 6.5 above 4"
_ERRORS = "errors of GET /cart 2.00% (2 of 100), 1.00% allowed"


def _endpoint(name: str = "GET /", p99: float = 10.0, errors: int = 0) -> Endpoint:
    percentiles = {"p50": 1.0, "p75": 2.0, "p90": 3.0, "p95": 5.0, "p99": p99, "p99.9": p99}
    return Endpoint(
        name=name, requests=100, errors=errors, mean=2.0, greatest=p99,
        percentiles=percentiles, statuses={"200": 100},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "endpoint", "throughput", "findings", "line"),
    [
        # At the limit is within the limit.
        ({"p99": 10.0, "errors": 0.0}, _endpoint(), 10.0, {}, "pass"),
        (
            {"p99": 4.0, "errors": 0.01}, _endpoint("GET /cart", 10.5, 2), 7.5, {},
            f"fail: {_THROUGHPUT}; {_P99}; {_ERRORS}",
        ),
        # One finding is enough, however fast the target was.
        *(({}, _endpoint(), 99.0, {kind: 1}, f"fail: {kind} 1 times, all with app-2 (0 allowed)")
          for kind in Failure if kind is not Failure.BROKEN_SCENARIO),
        # This says nothing about the target.
        ({}, _endpoint(), 99.0, {Failure.BROKEN_SCENARIO: 1},
         "error: the scenario's own code failed 1 times"),
    ],
)  # fmt: skip
def test_a_verdict_names_what_exceeds_its_limit(
    limits: dict[str, float],
    endpoint: Endpoint,
    throughput: float,
    findings: dict[str, int],
    line: str,
) -> None:
    """It has each excess with its limit, and the replica that all findings involve."""
    profile = Profile(name="mine", throughput=10, requests={"*": limits})
    suspects = dict.fromkeys(findings, "app-2")
    verdict = gate.judge(profile, [endpoint], throughput, findings, suspects)
    assert verdict.line == f"VERDICT {line}"
    assert verdict.word.exit_code == ["pass", "fail", "error"].index(line.partition(":")[0])


def test_an_endpoint_is_judged_by_its_own_limits() -> None:
    """Those of `*` do not apply to it; a limit that judged nothing is noted, not kept."""
    limits = {"*": {"p99": 1.0}, "GET /slow": {"p99": 99.0}, "POST /gone": {"p99": 1.0}}
    profile = Profile(name="mine", requests=limits)
    verdict = gate.judge(profile, [_endpoint("GET /slow")], 1.0, {}, {})
    assert verdict.word is Word.PASS
    assert verdict.notes == ["POST /gone has limits and was not requested"]


@pytest.mark.parametrize("name", ["default", "strict", "deploy", "impossible"])
def test_the_shipped_profiles_are_usable(name: str) -> None:
    """Each can be read, and allows no continuity failure."""
    assert gate.load(_SLO, name).continuity_failures == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[other]", "has no profile 'mine'"),
        ("[mine", "cannot read SLO="),
        ("mine = 1", "has no profile 'mine'"),
        ("[mine]\nlatency = 1", "mine has 'latency', which is not a limit"),
        ("[mine]\nthroughput = -1", "mine.throughput is -1"),
        ("[mine]\nthroughput = true", "mine.throughput is True"),
        ("[mine]\nthroughput = nan", "mine.throughput is nan"),
        ("[mine]\nrequests = 3", "mine.requests is not a table"),
        ("[mine.requests.'GET /']\np98 = 1", "mine.requests.'GET /' has 'p98'"),
        ("[mine]\nrequests = {'*' = 1}", "mine.requests.'*' is not a table"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    """A misspelt limit must not pass every run."""
    path = tmp_path / "slo.toml"
    path.write_text(text)
    with pytest.raises(LoadTestError, match=problem.replace("*", r"\*")):
        gate.load(path, "mine")
