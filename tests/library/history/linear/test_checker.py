"""The checker accepts what an order explains, and shows what none explains."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.library.contract.fuzzing import main
from tests.library.history.linear import recording
from tests.library.history.linear.checker import judge
from tests.library.history.linear.model import Call, Kind

FIRST = Call(0, 0, Kind.BEGIN, "", "b", 0, 1, "ok", landed="h")


def op(started: float, ended: float, kind: Kind, argument: str = "", **answer: Any) -> Call:
    """Return an operation of session `h`; `seen` of a look needs no lineage."""
    seen = answer.pop("seen", {})
    if kind is Kind.LOOK and seen is not None:
        seen = {"lineage": "b"} | seen
    given: dict[str, Any] = {"handle": "h", "word": "ok", "seen": seen or {}} | answer
    return Call(0, 1, kind, argument=argument, started=started, ended=ended, **given)


def unknown(started: float, kind: Kind, argument: str = "") -> Call:
    """Return an operation of which nobody knows whether it happened."""
    return op(started, float("inf"), kind, argument, word="")


def found(*calls: Call) -> list[str]:
    """Return the violations in a history that begins with a session."""
    numbered = [replace(call, number=place) for place, call in enumerate(calls, start=1)]
    return judge([FIRST, *numbered]).violations


def counted(started: float, ended: float, value: int) -> Call:
    """Return an addition to `n`."""
    return op(started, ended, Kind.COUNT, seen={"n": value})


def test_operations_at_the_same_time_may_come_in_any_order() -> None:
    """Answers say in which; a look beside an addition may see either value."""
    assert not found(counted(2, 9, 2), counted(3, 8, 1), op(4, 7, Kind.LOOK, seen={"n": 1}))
    assert not found(counted(2, 9, 2), counted(3, 8, 1), op(4, 7, Kind.LOOK))


def test_a_stale_read_is_shown_with_what_the_model_allows() -> None:
    """A look that began after an addition ended must see it."""
    noise = [op(10 + i, 10.5 + i, Kind.SET, str(i)) for i in range(30)]
    later = [counted(60 + i, 60.5 + i, i + 3) for i in range(20)]
    stale = op(50, 51, Kind.LOOK, seen={"n": 1, "note": "29"})
    (shown,) = found(counted(2, 3, 1), *noise, counted(45, 46, 2), stale, *later)
    assert shown.splitlines() == [
        "session h: no order of these operations explains the last answer (n alone)",
        "  before them the session held: nothing",
        "     started      ended  client  operation         answer",
        "      0.0000     1.0000       1  count             ok, n = 1",
        "     43.0000    44.0000       1  count             ok, n = 2",
        "→    48.0000    49.0000       1  look              ok, n = 1",
        "  the model allows: ok, n = 2",
    ]


def test_a_lost_addition_is_found() -> None:
    """Two additions that saw the same value, or one that a later one does not count."""
    assert found(counted(2, 9, 1), counted(3, 8, 1))
    assert found(counted(2, 3, 1), counted(4, 5, 1))


def test_what_is_unknown_may_happen_late_or_never_but_once() -> None:
    """One unknown addition explains one more, at any later time."""
    late = counted(50, 51, 3)
    assert not found(unknown(2, Kind.COUNT), counted(4, 5, 1), counted(6, 7, 2), late)
    assert not found(unknown(2, Kind.COUNT), counted(4, 5, 1), late)
    assert found(unknown(2, Kind.COUNT), counted(4, 5, 1), replace(late, seen={"n": 4}))
    assert found(counted(4, 5, 1), counted(6, 7, 3), unknown(8, Kind.COUNT))


def test_many_unknown_operations_are_judged() -> None:
    """Those that do the same are no more work than their number."""
    many = [unknown(2 + i / 100, Kind.COUNT) for i in range(40)]
    notes = [unknown(3 + i / 100, Kind.SET, str(i)) for i in range(20)]
    assert not found(*many, *notes, counted(50, 51, 41))
    assert found(*many, *notes, counted(50, 51, 42))


def test_a_revived_session_is_found() -> None:
    """Nothing answers under an id that ended or was moved away."""
    ended = op(2, 3, Kind.DESTROY)
    moved = op(2, 3, Kind.ROTATE, landed="i")
    empty = op(4, 5, Kind.LOOK, seen=None)
    for end in (ended, moved):
        assert not found(end, empty)
        assert not found(end, op(4, 5, Kind.SET, "x", word="gone"))
        (shown,) = found(end, op(4, 5, Kind.LOOK))
        assert shown.endswith("the model allows: ok, nothing")
        assert found(end, counted(4, 5, 1))
    # After an end another session may begin, after a move none.
    assert not found(ended, op(4, 5, Kind.COUNT, word="begun", seen={"n": 1}))
    assert found(moved, op(4, 5, Kind.COUNT, word="begun", seen={"n": 1}))
    assert not found(moved, op(4, 5, Kind.LOOK, handle="i"), op(6, 7, Kind.DESTROY, handle="i"))


def test_a_login_after_the_end_begins_another_session() -> None:
    """That one lives and ends without the first one, under whose id others may begin again."""
    ended = op(2, 3, Kind.DESTROY)
    logins = [op(4 + i, 5 + i, Kind.BIND, str(i), landed=f"i{i}") for i in range(2)]
    for i in range(2):
        seen = {"user": str(i), "lineage": "b"}
        fresh = op(8, 9, Kind.LOOK, handle=f"i{i}", seen=None)
        assert not found(ended, *logins, replace(fresh, seen={"user": str(i)}))
        assert found(ended, *logins, replace(fresh, seen=seen))
    again = op(8, 9, Kind.DESTROY, handle="i0")
    assert not found(
        ended, *logins, again, op(10, 11, Kind.COUNT, word="begun", seen={"n": 1}),
        op(12, 13, Kind.COUNT, handle="i1", seen={"n": 1}),
    )  # fmt: skip


def test_a_session_that_lives_is_not_gone() -> None:
    """An answer says that it is gone only if it may be."""
    assert found(op(4, 5, Kind.COUNT, word="gone"))
    assert found(op(4, 5, Kind.LOOK, seen=None))
    assert not found(op(4, 5, Kind.COUNT, word="gone"), op(2, 9, Kind.ROTATE, landed="i"))
    assert not found(unknown(2, Kind.DESTROY), op(4, 5, Kind.COUNT, word="gone"))
    assert found(unknown(2, Kind.DESTROY), op(4, 5, Kind.COUNT, word="gone"), counted(6, 7, 1))


def test_a_login_carries_fields_and_user() -> None:
    """What was there is there under the new id."""
    login = op(4, 5, Kind.BIND, "ada", landed="i")
    seen = {"n": 1, "user": "ada"}
    assert not found(counted(2, 3, 1), login, op(6, 7, Kind.LOOK, handle="i", seen=seen))
    assert found(counted(2, 3, 1), login, op(6, 7, Kind.LOOK, handle="i", seen={"user": "ada"}))
    assert found(counted(2, 3, 1), login, op(6, 7, Kind.LOOK, handle="i", seen={"n": 1}))


def test_once_twice_is_found() -> None:
    """A request that gives the same name again gets the same result and changes nothing."""
    made = op(2, 3, Kind.ONCE, "x", seen={"made": 1})
    again = replace(made, started=4, ended=5)
    other = op(6, 7, Kind.ONCE, "y", seen={"made": 2})
    assert not found(made, again, other)
    assert found(made, replace(again, seen={"made": 2}))
    assert found(made, again, replace(other, seen={"made": 3}))
    assert not found(unknown(2, Kind.ONCE, "x"), again)


def test_bounds_and_takes_and_transactions_are_judged() -> None:
    """Each answers what one moment held."""
    add = op(2, 3, Kind.ADD, "pear", seen={"cart.pear": 1})
    refused = op(4, 5, Kind.REMOVE, "pear", word="refused", seen={"cart.pear": 0})
    assert not found(refused)
    assert found(add, refused)
    take = op(4, 5, Kind.TAKE, seen={"cart.pear": 1})
    assert not found(add, take, op(6, 7, Kind.TAKE))
    assert found(add, take, replace(take, started=6, ended=7))
    transfer = op(2, 3, Kind.TRANSFER, seen={"pair.a": -1, "pair.b": 1})
    assert found(transfer, replace(transfer, started=4, ended=5))
    (shown,) = found(op(2, 9, Kind.TRANSFER), op(4, 5, Kind.LOOK, seen={"pair.a": -1}))
    assert "pair.a, pair.b alone" in shown


def test_an_update_that_overwrote_what_it_had_not_read_is_found() -> None:
    """A replacement answers with the note that it replaced."""
    first = op(2, 3, Kind.SET, "old")
    one = op(4, 9, Kind.REPLACE, "x", seen={"note": "old"})
    assert not found(first, one, replace(one, argument="y", seen={"note": "x"}))
    assert found(first, one, replace(one, argument="y"))


@pytest.mark.parametrize("other", [Kind.SET, Kind.ROTATE])
def test_a_conflict_needs_another_change(other: Kind) -> None:
    """It changes nothing, and some change was under way with it."""
    conflict = op(4, 6, Kind.REPLACE, "x", word="conflict")
    assert not found(conflict, op(5, 7, other, "y", landed="i" if other is Kind.ROTATE else ""))
    assert "a conflict that no other" in found(conflict, op(1, 2, Kind.SET, "y"))[0]
    assert found(conflict, op(5, 7, Kind.COUNT, seen={"n": 1}))


def test_a_written_history_is_judged_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program prints what is wrong; that is its exit status."""
    path = tmp_path / "h.jsonl"
    late = replace(unknown(4, Kind.COUNT), number=2)
    recording.write([FIRST, replace(counted(2, 3, 1), number=1), late], path)
    assert main(["history", "--judge", str(path)]) == 0
    assert "2 operations of 1 sessions, 1 unknown" in capsys.readouterr().out
    recording.write([FIRST, replace(counted(2, 3, 2), number=1), late], path)
    assert main(["history", "--judge", str(path)]) == 1
    assert "the model allows: ok, n = 1" in capsys.readouterr().out
