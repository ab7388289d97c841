"""The checker finds each kind of violation."""

from dataclasses import replace
from typing import Any

import pytest

from tests.library.history.checker import Outage, judge
from tests.library.history.operations import Kind, Operation, Outcome

BEGIN = Operation("b", Kind.BEGIN, "", 0, Outcome.ACKNOWLEDGED, 1, landed="h")
ADD = Operation("a", Kind.ADD, "h", 2, Outcome.ACKNOWLEDGED, 3)
HELD = {"lineage": "b", "tags": {"a": 1}}


def test_a_whole_history_is_accepted() -> None:
    """An acknowledged change that is there once is no violation."""
    assert not judge([BEGIN, ADD], [("h", HELD)]).violations


def test_a_lost_change_is_found() -> None:
    """An acknowledged change that is missing is a violation."""
    assert judge([BEGIN, ADD], [("h", {"lineage": "b"})]).violations == [
        "add a was acknowledged and is not there"
    ]


def test_a_change_applied_twice_is_found() -> None:
    """Whatever answer its worker got, no change may be there twice."""
    for outcome in Outcome:
        operations = [BEGIN, replace(ADD, outcome=outcome)]
        assert judge(operations, [("h", HELD | {"tags": {"a": 2}})]).violations


def test_a_refused_change_that_is_there_is_found() -> None:
    """Refused means that nothing was changed."""
    refused = replace(ADD, outcome=Outcome.REFUSED, code="store-unavailable")
    assert judge([BEGIN, refused], [("h", HELD)]).violations == [
        "add a was refused (store-unavailable) and is there"
    ]


def test_an_unknown_change_may_be_there_or_not() -> None:
    """It is counted if it is there."""
    unknown = replace(ADD, outcome=Outcome.UNKNOWN)
    there, not_there = (judge([BEGIN, unknown], [("h", held)]) for held in (HELD, {"lineage": "b"}))
    assert not there.violations
    assert not not_there.violations
    assert (there.tally.unknown_applied, not_there.tally.unknown_applied) == (1, 0)


def test_an_unknown_change_may_have_begun_a_session_that_no_worker_knows() -> None:
    """After a logout it is no revival, unless it is in a session of the ended lineage."""
    end = Operation("e", Kind.DESTROY, "h", 4, Outcome.ACKNOWLEDGED, 5)
    late = [Operation("l", Kind.ADD, "h", 6), Operation("t", Kind.TOTAL, "h", 6)]
    begun: dict[str, dict[str, Any]] = {"n": {"tags": {"l": 1}}, "m": {"total": 1}}
    assert not judge([BEGIN, end, *late], begun.items()).violations
    assert judge([BEGIN, end, *late], [("h", {"lineage": "b", "tags": {"l": 1}})]).violations
    assert judge([BEGIN, end, *late], [("m", {"total": 2})]).violations


def test_a_revived_session_is_found() -> None:
    """After an acknowledged end neither the session nor anything in it is alive."""
    end = Operation("d", Kind.DESTROY, "h", 4, Outcome.ACKNOWLEDGED, 5)
    assert judge([BEGIN, ADD, end], []).violations == []
    assert judge([BEGIN, ADD, end], [("h", HELD)]).violations == [
        "begin b is alive although its session was ended",
        "add a is alive although its session was ended",
        "h lives although d ended it",
    ]


def test_a_copied_session_is_found() -> None:
    """After a rotation the session does not live under both handles."""
    moved = Operation("r", Kind.ROTATE, "h", 4, Outcome.ACKNOWLEDGED, 5, landed="i")
    operations = [BEGIN, ADD, moved]
    assert judge(operations, [("i", HELD)]).violations == []
    assert "h lives under 2 handles" in judge(operations, [("i", HELD), ("h", HELD)]).violations


def test_a_lost_update_of_a_plain_key_is_found() -> None:
    """If two changes read the same note and set another, at most one may be acknowledged."""
    first, second = (
        Operation(tag, Kind.REPLACE, "h", 2, Outcome.ACKNOWLEDGED, 3, replaced="old")
        for tag in ("x", "y")
    )
    assert judge([BEGIN, first, second], [("h", {"lineage": "b", "note": "y"})]).violations == [
        "x and y both replaced the note old"
    ]


@pytest.mark.parametrize(("total", "is_right"), [(0, False), (1, True), (2, True), (3, False)])
def test_a_counter_is_at_least_the_acknowledged_and_at_most_all_changes(
    total: int, *, is_right: bool
) -> None:
    """One acknowledged and one unknown addition make 1 or 2."""
    known = Operation("t", Kind.TOTAL, "h", 2, Outcome.ACKNOWLEDGED, 3)
    unknown = replace(known, tag="u", outcome=Outcome.UNKNOWN)
    verdict = judge([BEGIN, known, unknown], [("h", {"lineage": "b", "total": total})])
    assert bool(verdict.violations) is not is_right


def test_a_parcel_in_a_journal_is_there() -> None:
    """What a take returned counts as there; if it is in the session too, it is there twice."""
    parcel = replace(ADD, kind=Kind.PARCEL)
    take = Operation("k", Kind.TAKE, "h", 4, Outcome.ACKNOWLEDGED, 5, taken={"a": 1})
    operations = [BEGIN, parcel, take]
    assert not judge(operations, [("h", {"lineage": "b"})]).violations
    both = [("h", {"lineage": "b", "parcels": {"a": 1}})]
    assert judge(operations, both).violations == ["parcel a, acknowledged, is there 2 times"]
    # A store whose disk was behind may have lost the take.
    excused = judge(operations, both, [Outage(4, 6)])
    assert not excused.violations
    assert excused.tally.returned == 1


def test_what_an_outage_undid_is_counted() -> None:
    """Only changes acknowledged while the disk was behind may be missing."""
    lost = [("h", {"lineage": "b"})]
    assert judge([BEGIN, ADD], lost, [Outage(2, 4)]).tally.undone == 1
    assert not judge([BEGIN, ADD], lost, [Outage(2, 4)]).violations
    assert judge([BEGIN, ADD], lost, [Outage(4, 6)]).violations
