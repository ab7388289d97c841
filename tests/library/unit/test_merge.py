"""Three-way merges: the table of what is settled and what is not, and what must hold always."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unsticky.codec import encode
from unsticky.merge import (
    ABSENT,
    BUILT_IN,
    NAMED,
    Unmergeable,
    appended,
    first_wins,
    last_wins,
    strict,
    three_way,
)

_LEAVES = st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.sampled_from(["x", "y"]))
_TREES = st.recursive(
    _LEAVES, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=6
)
_SIDES = st.one_of(st.just(ABSENT), _TREES)


def outcome(base: Any, mine: Any, theirs: Any) -> Any:
    """Return the merged value in a form that can be compared, "conflict" where there is none."""
    try:
        return _plain(three_way(base, mine, theirs))
    except Unmergeable:
        return "conflict"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value if value is ABSENT else encode(value)


@given(_SIDES, _SIDES, _SIDES)
def test_it_does_not_matter_who_comes_first(base: Any, mine: Any, theirs: Any) -> None:
    """The merge is symmetric, also where there was nothing before."""
    assert outcome(base, mine, theirs) == outcome(base, theirs, mine)


@given(_SIDES, _SIDES)
def test_one_side_alone_changes_freely(base: Any, mine: Any) -> None:
    """Where the other did nothing, the change is taken whole, in either direction."""
    assert outcome(base, mine, base) == outcome(base, base, mine) == _plain(mine)


@given(_SIDES, _SIDES, _SIDES)
def test_arguments_are_left_alone(base: Any, mine: Any, theirs: Any) -> None:
    """Merging changes none of the three."""
    before = (_plain(base), _plain(mine), _plain(theirs))
    outcome(base, mine, theirs)
    assert (_plain(base), _plain(mine), _plain(theirs)) == before


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        (1, ABSENT, ABSENT, ABSENT),
        ({"a": 1}, {}, {}, {}),
        ("x", "y", "y", "y"),
        ("x", None, None, None),
        (ABSENT, "x", "x", "x"),
        (ABSENT, None, None, None),
        (ABSENT, True, True, True),
        (ABSENT, {}, {}, {}),
        (ABSENT, {"a": 1}, {}, {"a": 1}),
        (ABSENT, {"a": 1}, {"b": 1}, {"b": 1, "a": 1}),
        (ABSENT, {"a": "x"}, {"a": "x", "b": 1}, {"a": "x", "b": 1}),
        (ABSENT, {"a": {"x": 1}}, {"a": {"y": 1}}, {"a": {"y": 1, "x": 1}}),
        ({}, {"a": {"x": 1}}, {"a": {"y": 1}}, {"a": {"y": 1, "x": 1}}),
        ({}, {"a": 1}, {"b": 1}, {"b": 1, "a": 1}),
        ({"a": {}}, {"a": {"x": 1}}, {"a": {"y": 1}}, {"a": {"y": 1, "x": 1}}),
    ],
)
def test_settled(base: Any, mine: Any, theirs: Any, merged: Any) -> None:
    """What both agree on, and what they changed in different places."""
    assert three_way(base, mine, theirs) == merged


@pytest.mark.parametrize(
    ("base", "mine", "theirs"),
    [
        (1, 2, 2),
        (1, 2, True),
        (True, 1, 1),
        (1.0, 2.0, 2.0),
        ([], [1], [1]),
        ((), (1,), (1,)),
        ({1}, {2}, {2}),
        ({}, {"a": 1}, {"a": 1}),
        ({}, {"a": 1}, {"a": True}),
        ("x", ABSENT, "y"),
        ({"a": 1}, {"a": 2}, []),
        (ABSENT, "mine", "theirs"),
        (ABSENT, 1, 1),
        (ABSENT, 1, True),
        (ABSENT, [1], [1]),
        (ABSENT, {"a": 1}, {"a": 1}),
        (ABSENT, {"a": {"x": 1}}, {"a": {"x": 2}}),
        (ABSENT, {"a": 1}, [1]),
        (1, {"a": 1}, {"b": 1}),
    ],
)
def test_unsettled(base: Any, mine: Any, theirs: Any) -> None:
    """Both changed the same leaf, equal numbers and lists included: they may be two additions."""
    with pytest.raises(Unmergeable):
        three_way(base, mine, theirs)


@given(_SIDES, _SIDES, _SIDES)
def test_nothing_is_dropped_without_a_rule(base: Any, mine: Any, theirs: Any) -> None:
    """Every leaf that either side set is in what comes out, as that side set it."""
    try:
        merged = three_way(base, mine, theirs)
    except Unmergeable:
        return
    for side in (mine, theirs):
        before = _leaves(base)
        for place, leaf in _leaves(side).items():
            if before.get(place) != leaf:
                assert _leaves(merged)[place] == leaf


def _leaves(value: Any, *place: str) -> dict[tuple[str, ...], bytes]:
    if isinstance(value, dict):
        inner = [_leaves(item, *place, key) for key, item in value.items()]
        return {key: leaf for leaves in inner for key, leaf in leaves.items()}
    return {} if value is ABSENT else {place: encode(value)}


_ITEMS = st.lists(st.integers(0, 4), max_size=5)


@given(_ITEMS, _ITEMS, _ITEMS)
def test_appended_items_are_all_there(base: list[int], mine: list[int], theirs: list[int]) -> None:
    """What either appended to the base is in the merged list, theirs first, in order."""
    assert appended(base, base + mine, base + theirs) == (base + theirs + mine or ABSENT)


@given(_ITEMS, _ITEMS)
def test_what_was_shown_is_gone(base: list[int], theirs: list[int]) -> None:
    """A request that showed all messages removes them, and keeps those that came meanwhile."""
    assert appended(base, [], base + theirs) == (theirs or ABSENT)
    assert appended(base, ABSENT, base + theirs) == (theirs or ABSENT)


@given(_ITEMS)
def test_both_showed_them(base: list[int]) -> None:
    """Messages that both requests showed are gone."""
    assert appended(base, ABSENT, ABSENT) is ABSENT


def test_the_simple_rules() -> None:
    """`last` takes mine, `first` what is stored, deletions included."""
    assert last_wins(1, 2, 3) == 2
    assert last_wins(1, ABSENT, 3) is ABSENT
    assert first_wins(1, 2, 3) == 3
    assert first_wins(1, 2, ABSENT) is ABSENT


@pytest.mark.parametrize("sides", [(1, 2, 3), (ABSENT, "x", "x"), ({}, {"a": 1}, {"b": 1})])
def test_strict_settles_nothing(sides: tuple[Any, Any, Any]) -> None:
    """With the rule `strict` two changes conflict, equal ones and other leaves included."""
    with pytest.raises(Unmergeable):
        strict(*sides)
    assert NAMED["strict"] is strict


def test_the_first_token_of_two_tabs_stays() -> None:
    """Flask-WTF's token is the one field of which the first silently wins."""
    assert [name for name, rule in BUILT_IN.items() if rule is first_wins] == ["csrf_token"]
