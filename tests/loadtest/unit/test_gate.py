"""The gate: what a profile allows, and what a run did."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtest import Failure, Finding
from loadtest.errors import LoadTestError
from loadtest.harness import gate
from loadtest.harness.endpoint import Endpoint
from loadtest.harness.figures import Figures
from loadtest.harness.gate import Profile, Word
from loadtest.users.samples import Request
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
    limits = {"*": {"p95": 1.0}, "GET /slow": {"p95": 99.0}, "POST /gone": {"p95": 1.0}}
    profile = Profile(name="mine", requests=limits)
    verdict = gate.judge(profile, [_endpoint("GET /slow")], 1.0, {}, {})
    assert verdict.word is Word.PASS
    assert verdict.notes == ["POST /gone has limits and was not requested"]


@pytest.mark.parametrize(
    ("limit", "interval", "line"),
    [
        (5.0, (8.0, 12.0), "fail: p99 of GET / 10 ms, 5 above 5"),
        (9.0, (8.0, 12.0), "undecided: p99 of GET / 10 ± 2 ms, limit 9: run longer"),
        (11.0, (9.5, 16.0), "undecided: p99 of GET / 10 ± 6 ms, limit 11: run longer"),
        (12.0, (8.0, 12.0), "pass"),
        (99.0, (8.0, 12.0), "pass"),
    ],
)
def test_a_limit_within_the_interval_is_undecided(
    limit: float, interval: tuple[float, float], line: str
) -> None:
    """Only then: a limit that the interval does not reach is kept, or is not."""
    endpoint = replace(_endpoint(), intervals={"p99": interval})
    profile = Profile(name="mine", requests={"*": {"p99": limit}})
    verdict = gate.judge(profile, [endpoint], 1.0, {}, {})
    assert verdict.line == f"VERDICT {line}"
    (judged,) = [each for each in verdict.judged if each.name == "p99 of GET /"]
    assert (judged.value, judged.interval, judged.limit) == (10.0, interval, limit)
    assert judged.word is verdict.word
    assert verdict.is_kept == (limit >= 10.0 and not line.startswith("fail"))


def test_too_few_requests_are_noted() -> None:
    """A limit that none of them exceeded is kept; a note says that this is no proof."""
    many, few = replace(_endpoint("GET /"), requests=368), replace(_endpoint(), requests=71)
    limits = {"p50": 10.0, "p95": 10.0, "p99": 10.0}
    profile = Profile(name="mine", requests={"*": limits, "POST /": {"errors": 0.0}})
    verdict = gate.judge(profile, [many, few, replace(few, name="POST /")], 1.0, {}, {})
    assert verdict.word is Word.PASS
    assert verdict.notes == [
        "too few requests to tell their p95 (72): GET / (71)",
        "too few requests to tell their p99 (368): GET / (71)",
    ]


def test_undecided_has_an_exit_code_of_its_own() -> None:
    """As the smoke test's, which has too few answers to tell."""
    assert Word.UNDECIDED.exit_code == 3


@pytest.mark.parametrize(
    ("errors", "interval", "limit", "word"),
    [
        # None of 100 cannot rule out 1 in 1,000, and is no sign of it either.
        (0, (0.0, 0.05), 0.001, Word.PASS),
        (2, (0.005, 0.07), 0.01, Word.UNDECIDED),
        (2, (0.005, 0.07), 0.001, Word.FAIL),
        # Where none is allowed, one is too many.
        (1, (0.002, 0.05), 0.0, Word.FAIL),
    ],
)
def test_errors_are_judged_by_their_interval(
    errors: int, interval: tuple[float, float], limit: float, word: Word
) -> None:
    """One that nobody can tell from chance is undecided, unless there was none."""
    endpoint = replace(_endpoint(errors=errors), intervals={"errors": interval})
    profile = Profile(name="mine", requests={"*": {"errors": limit}})
    assert gate.judge(profile, [endpoint], 1.0, {}, {}).word is word


def test_a_throughput_near_its_limit_is_undecided() -> None:
    """Less is worse, also within the interval."""
    profile = Profile(name="mine", throughput=100)
    doubt = "throughput 98.0 ± 5.0 requests/s, limit 100: run longer"
    for throughput, interval, line in [
        (98.0, (93.0, 103.0), f"undecided: {doubt}"),
        (90.0, (85.0, 95.0), "fail: throughput 90.0 requests/s, 10.0 below 100"),
        (110.0, (105.0, 115.0), "pass"),
    ]:
        verdict = gate.judge(profile, [], throughput, {}, {}, interval)
        assert verdict.line == f"VERDICT {line}"


def test_a_failure_counts_more_than_a_doubt() -> None:
    """The verdict is what is certain; what is undecided becomes a note."""
    slow = replace(_endpoint(), intervals={"p99": (8.0, 12.0)})
    profile = Profile(name="mine", requests={"*": {"p99": 9.0}})
    verdict = gate.judge(profile, [slow], 1.0, {Failure.LOST_UPDATE: 1}, {})
    assert verdict.line == "VERDICT fail: lost update 1 times (0 allowed)"
    assert verdict.notes == ["undecided: p99 of GET / 10 ± 2 ms, limit 9: run longer"]


def test_kinds_of_findings_share_one_limit() -> None:
    """Two of one kind and two of another are more than three, and neither is within the limit."""
    profile = Profile(name="mine", continuity_failures=3)
    found: dict[str, int] = {Failure.LOST_UPDATE: 2, Failure.LOST_SESSION: 2}
    verdict = gate.judge(profile, [], 1.0, found, {})
    assert verdict.word is Word.FAIL
    assert not verdict.is_kept
    beyond = [each.name for each in verdict.judged if not each.is_within]
    assert beyond == ["lost update", "lost session"]


def _figures(count: int, bad: int = 0, slow: int = 0, finding: Failure | None = None) -> Figures:
    """Return 10 s of requests, of which some are bad or slow, at even distances."""
    figures = Figures()
    for place in range(count):
        error = "status 500" if place * bad % count < bad else ""
        latency = 500.0 if place * slow % count < slow else 5.0
        time = 100.0 + 10 * place / count
        figures.take([Request(time, "GET /", 200, latency, 1, "app-1/1", "id", error)], [])
    figures.take([], [Finding(finding, "it")] if finding else [])
    return figures


@pytest.mark.parametrize(
    ("figures", "is_lost"),
    [
        (_figures(100), False),
        # A finding is a fact, and so is what the scenario did wrong.
        (_figures(100, finding=Failure.LOST_SESSION), True),
        (_figures(100, finding=Failure.BROKEN_SCENARIO), True),
        # Two in a hundred are allowed, and good ones may follow.
        (_figures(100, bad=50), False),
        (_figures(100, slow=100), False),
    ],
)
def test_a_run_is_lost_once_it_cannot_pass(figures: Figures, *, is_lost: bool) -> None:
    """Not before: all that may still come may be good and fast."""
    profile = Profile(name="mine", requests={"*": {"errors": 0.02, "p99": 100.0}})
    assert gate.is_lost(profile, figures) is is_lost


def test_one_error_loses_where_none_is_allowed() -> None:
    """However many good requests follow."""
    profile = Profile(name="mine", requests={"*": {"errors": 0.0}})
    assert gate.is_lost(profile, _figures(1_000, bad=1))
    assert not gate.is_lost(profile, _figures(1_000))


def test_a_cold_start_does_not_lose_a_run() -> None:
    """Three seconds with a slow request each, then a minute with a hundred fast ones: it passes."""
    profile = Profile(name="mine", requests={"*": {"p99": 100.0}})
    figures = Figures()
    figures.take([Request(at, "GET /", 200, 900.0, 1, "", "", "") for at in range(1, 4)], [])
    assert not gate.is_lost(profile, figures)
    for n in range(6_000):
        latency = 5 + n * 37 % 101 / 100
        figures.take([Request(4 + n / 100, "GET /", 200, latency, 1, "", "", "")], [])
    verdict = gate.judge(profile, figures.endpoints(), figures.throughput, {}, {})
    assert verdict.word is Word.PASS


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
