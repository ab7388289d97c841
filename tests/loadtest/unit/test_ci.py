"""What a CI reads of a run: `junit.xml` and `summary.md`."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loadtest import Failure
from loadtest.harness.gate import Judged, Verdict, Word
from loadtest.harness.result import RunResult
from loadtest.report import junit, markdown
from loadtest.users.exchange import Exchange

# What the target writes may be anything.
_HOSTILE = "GET /<b>|`x`]]>&\"'\x1b\x00\ud800\ufffe ![a](b) \n | *x*"


def _judged(word: Word, name: str, reason: str = "") -> Judged:
    return Judged(
        name=name,
        unit="ms",
        value=41.0,
        interval=(35.0, 47.0),
        limit=40.0,
        word=word,
        reason=reason,
    )


@pytest.fixture(name="judged")
def _judged_result(result: RunResult) -> RunResult:
    """A run with a limit that was kept, one that was not, one that is undecided, and a finding."""
    verdict = Verdict(
        Word.FAIL,
        (f"p99 of {_HOSTILE} 41 ms",),
        (f"undecided: {_HOSTILE}",),
        [
            _judged(Word.PASS, "p50 of GET /"),
            _judged(Word.FAIL, f"p99 of {_HOSTILE}", f"p99 of {_HOSTILE} 41 ms, 1 above 40"),
            _judged(Word.UNDECIDED, "p95 of GET /", "p95 of GET / 41 ± 6 ms, limit 40: run longer"),
            _judged(Word.FAIL, Failure.LOST_UPDATE, "lost update 1 times"),
        ],
    )
    (finding,) = result.findings
    exchange = Exchange(
        time=0.0,
        why=_HOSTILE,
        name="GET /",
        latency_ms=1.0,
        served_by="",
        request_id="f00",
        request="GET / HTTP/1.1",
        answer=f"HTTP/1.1 500\n\n````\n{_HOSTILE[:20]}",
    )
    finding.detail = _HOSTILE
    return replace(result, verdict=verdict, findings=[finding], exchange=exchange)


def test_each_limit_is_a_test_case(judged: RunResult, tmp_path: Path) -> None:
    """A limit that was not kept is a failure, one that is undecided an error."""
    root = ET.XML(junit.write(tmp_path, judged).read_text(encoding="utf-8"))
    cases = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert list(cases.values()) == [[], ["failure"], ["error"], ["failure"]]
    assert cases["p50 of GET /"] == []
    error = root.find("testsuite/testcase/error")
    assert error is not None
    assert error.get("message") == "p95 of GET / 41 ± 6 ms, limit 40: run longer"
    assert error.text == "measured 41 (35 to 47) ms, limit 40"
    *_, failure = root.iter("failure")
    assert "[GET /<b> app-1/1 f00]" in str(failure.text)


def test_the_form_is_that_of_junit(judged: RunResult, tmp_path: Path) -> None:
    """The rules of Ant's schema, which is stricter than that of Jenkins."""
    root = ET.XML(junit.write(tmp_path, judged).read_text(encoding="utf-8"))
    assert (root.tag, [child.tag for child in root]) == ("testsuites", ["testsuite"])
    (suite,) = root
    assert set(suite.attrib) == {
        "id",
        "package",
        "name",
        "timestamp",
        "hostname",
        "tests",
        "failures",
        "errors",
        "skipped",
        "time",
    }
    assert suite.get("timestamp") == "2026-01-01T00:00:00"
    counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["4", "2", "1", "0"]
    assert float(suite.get("time", "")) == 3.0
    tags = [child.tag for child in suite]
    assert tags == ["properties", *["testcase"] * 4, "system-out", "system-err"]
    for case in suite.iter("testcase"):
        assert set(case.attrib) == {"name", "classname", "time"}
        assert len(case) <= 1
        for child in case:
            assert set(child.attrib) == {"message", "type"}


def test_a_run_without_a_verdict_is_an_error(result: RunResult, tmp_path: Path) -> None:
    """No limit was judged, and the file is not empty."""
    broken = replace(result, verdict=Verdict(Word.ERROR, ("the scenario's own code failed",)))
    root = ET.XML(junit.write(tmp_path, broken).read_text(encoding="utf-8"))
    (case,) = root.iter("testcase")
    assert [child.get("message") for child in case] == ["the scenario's own code failed"]
    assert [suite.get("errors") for suite in root] == ["1"]


def test_the_summary_holds_what_was_not_kept(judged: RunResult, tmp_path: Path) -> None:
    """Nothing that the target wrote is markup, ends a cell, or ends a block of code."""
    text = markdown.write(tmp_path, judged, None).read_text(encoding="utf-8")
    assert text.startswith("## Load test: fail\n")
    assert "| undecided | p95 of GET / | 41 ms | 35 to 47 | 40 |" in text
    assert "1 of 4 limits of the profile mine were kept." in text
    prose, _, code = text.partition("\n`````\n")
    assert "<b>" not in prose.replace("\\<", "")
    assert "![" not in prose.replace("\\!", "")
    rows = [line for line in prose.splitlines() if line.startswith("| fail |")]
    assert len(rows) == 2
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)
    assert code.count("\n`````\n") == 1


def test_the_summary_is_appended_to_the_page_of_a_ci(judged: RunResult, tmp_path: Path) -> None:
    """GitHub names a file, which may hold something already."""
    page = tmp_path / "page.md"
    page.write_text("before\n")
    text = markdown.write(tmp_path, judged, str(page)).read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8") == f"before\n{text}"


def test_a_page_that_cannot_be_written_changes_nothing(
    judged: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warning says so; the verdict is not at fault."""
    markdown.write(tmp_path, judged, str(tmp_path))
    assert "warning: cannot append to GITHUB_STEP_SUMMARY=" in capsys.readouterr().err
