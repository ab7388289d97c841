"""What counts as a difference."""

from pathlib import Path

import pytest

from tests.library.foreign import outcomes
from tests.library.foreign.outcomes import Comparison
from tests.library.foreign.suites import COOKIE, ForeignError, Suite


def _suite(**differences: str) -> Suite:
    return Suite(
        name="flask-shop",
        version="1.2",
        arguments=("tests",),
        parallel=False,
        differences={f"t.py::{name}": reason for name, reason in differences.items()},
    )


def _compared(suite: Suite, *, read: str = "", **ours: str) -> Comparison:
    results = {f"t.py::{name}": outcome for name, outcome in ours.items()}
    again = dict.fromkeys(outcomes.to_repeat(suite, frozenset(results), results), read)
    return Comparison(suite, frozenset(results), results, again)


@pytest.mark.parametrize("outcome", ["failed", "skipped"])
def test_a_new_difference_is_named(outcome: str) -> None:
    """A test that passes on its own sessions only, and is not listed, is a complaint."""
    compared = _compared(_suite(), one=outcome, two="passed")
    assert compared.complaints() == ["flask-shop: t.py::one differs, and no reason is listed"]


def test_a_test_that_did_not_run_differs() -> None:
    """A test of which nothing came, as after a crash, is no pass."""
    compared = Comparison(_suite(), frozenset({"t.py::one"}), {}, {})
    assert compared.new == ["t.py::one"]


def test_a_listed_difference_is_none_to_complain_of() -> None:
    """A listed test may differ; its name without parameters stands for all of them."""
    suite = _suite(one="some-reason")
    compared = Comparison(
        suite, frozenset({"t.py::one[a]", "t.py::one[b]"}), {"t.py::one[b]": "passed"}, {}
    )
    assert compared.complaints() == []


def test_a_listed_difference_that_is_gone_is_named() -> None:
    """A listed test that passes is a complaint, so that the list stays true."""
    compared = _compared(_suite(one="some-reason"), one="passed")
    assert compared.complaints() == [
        "flask-shop: t.py::one differs no more: take it out of differences.toml"
    ]


@pytest.mark.parametrize(("read", "new"), [("passed", []), ("failed", ["t.py::one"])])
def test_a_test_that_decodes_the_cookie_passes_with_a_reader(read: str, new: list[str]) -> None:
    """Such a test may differ only if it passes where it reads our store in place of the cookie."""
    compared = _compared(_suite(one=COOKIE), one="failed", read=read)
    assert compared.new == new


def test_a_record_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record holds the tests that passed, and is of use for its own version only."""
    monkeypatch.setattr(outcomes, "_RECORDS", tmp_path / "own")
    suite = _suite()
    passed = {"t.py::one[a b]", "t.py::Case::two", "u.py::three"}
    outcomes.record(suite, dict.fromkeys(passed, "passed") | {"t.py::four": "failed"})
    assert outcomes.recorded(suite) == passed
    (record,) = (tmp_path / "own").iterdir()
    record.write_text(record.read_text(encoding="utf-8").replace("1.2", "1.1"), encoding="utf-8")
    with pytest.raises(ForeignError, match="is not a record of flask-shop"):
        outcomes.recorded(suite)
