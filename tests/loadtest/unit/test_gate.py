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


def _endpoint(name: str = "GET /", p99: float = 10.0, errors: int = 0) -> Endpoint:
    percentiles = {"p50": 1.0, "p75": 2.0, "p90": 3.0, "p95": 5.0, "p99": p99, "p99.9": p99}
    return Endpoint(
        name=name, requests=100, errors=errors, mean=2.0, greatest=p99,
        percentiles=percentiles, statuses={"200": 100},
    )  # fmt: skip


def _profile(**limits: float) -> Profile:
    return Profile(name="mine", throughput=10, requests={"*": limits})


def test_a_limit_just_reached_passes() -> None:
    """At the limit is within the limit."""
    verdict = gate.judge(_profile(p99=10.0, errors=0.0), [_endpoint()], 10.0, {}, {})
    assert (verdict.line, verdict.word.exit_code) == ("VERDICT pass", 0)


def test_each_exceeded_limit_is_named_with_the_excess() -> None:
    """One line has latency, errors and throughput, each with its limit."""
    verdict = gate.judge(
        _profile(p99=4.0, errors=0.01), [_endpoint("GET /cart", 10.5, 2)], 7.5, {}, {}
    )
    assert verdict.word.exit_code == 1
    assert verdict.line == (
        "VERDICT fail: throughput 7.5 requests/s, 2.5 below 10; "
        "p99 of GET /cart 10.5 ms, 6.5 above 4; "
        "errors of GET /cart 2.00% (2 of 100), 1.00% allowed"
    )


def test_an_endpoint_with_its_own_limits_is_judged_by_those() -> None:
    """The limits of `*` do not apply to it."""
    profile = Profile(name="mine", requests={"*": {"p99": 1.0}, "GET /slow": {"p99": 99.0}})
    assert gate.judge(profile, [_endpoint("GET /slow")], 1.0, {}, {}).word is Word.PASS


@pytest.mark.parametrize("kind", [kind for kind in Failure if kind is not Failure.BROKEN_SCENARIO])
def test_one_finding_of_any_kind_fails(kind: Failure) -> None:
    """However fast the target was; the replica that all findings involve is named."""
    verdict = gate.judge(_profile(), [_endpoint()], 99.0, {kind: 1}, {kind: "app-2"})
    assert verdict.line == f"VERDICT fail: {kind} 1 times, all with app-2 (0 allowed)"


def test_a_broken_scenario_is_no_verdict() -> None:
    """The scenario failed, not the target."""
    verdict = gate.judge(_profile(), [_endpoint()], 99.0, {Failure.BROKEN_SCENARIO: 1}, {})
    assert verdict.word.exit_code == 2


def test_limits_for_what_was_not_requested_are_noted() -> None:
    """A limit that judged nothing must not look like one that was kept."""
    profile = Profile(name="mine", requests={"POST /gone": {"p99": 1.0}})
    verdict = gate.judge(profile, [_endpoint()], 1.0, {}, {})
    assert verdict.notes == ["POST /gone has limits and was not requested"]


@pytest.mark.parametrize("name", ["default", "strict", "impossible"])
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
