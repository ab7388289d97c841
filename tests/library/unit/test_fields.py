"""Names of merge units."""

from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from unsticky.codec import encode
from unsticky.errors import Corrupt, Unserializable
from unsticky.fields import (
    describe,
    entry_field,
    entry_key,
    is_name,
    map_prefix,
    name_of,
    order,
    plain_field,
)

_NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
_KEYS = st.one_of(_NAMES, st.integers(), st.binary(), st.uuids())


@given(_NAMES)
def test_a_plain_field_names_its_key(name: str) -> None:
    """The key comes back, and messages call the field by it."""
    assert name_of(plain_field(name)) == describe(plain_field(name)) == name


@given(_NAMES, _KEYS)
def test_an_entry_names_its_map_and_key(name: str, key: object) -> None:
    """Map and key come back, the key with its type."""
    field = entry_field(map_prefix(name), key)
    assert name_of(field) == name
    assert entry_key(map_prefix(name), field) == key
    assert type(entry_key(map_prefix(name), field)) is type(key)


@given(_NAMES, _NAMES, _KEYS)
def test_no_map_reaches_into_another(one: str, other: str, key: object) -> None:
    """An entry begins with its own map's prefix only, however the names begin."""
    assert entry_field(map_prefix(one), key).startswith(map_prefix(other)) == (one == other)
    assert not plain_field(one).startswith(map_prefix(other))


def test_keys_of_different_types_are_different_entries() -> None:
    """Text, a number and bytes that look alike do not meet."""
    prefix = map_prefix("cart")
    assert len({entry_field(prefix, key) for key in ("1", 1, b"1", UUID(int=1))}) == 4


class _Name(StrEnum):
    CART = "cart"


class _Number(IntEnum):
    ONE = 1


class _Sly(str):
    """Takes the place of other keys wherever only hash and equality are looked at."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("cart")

    def encode(self, *_: Any) -> bytes:
        return b"other"


class _Id(UUID):
    pass


@pytest.mark.parametrize("field", [plain_field, map_prefix])
def test_subclasses_of_str_are_names(field: Callable[[object], bytes]) -> None:
    """A member of a StrEnum, or Markup, is the name that its text is, whatever it compares like."""
    assert field(_Name.CART) == field(Markup("cart")) == field("cart")
    assert field(_Sly("theme")) == field("theme")
    assert field("cart") != field(_Sly("user"))


@pytest.mark.parametrize(
    ("key", "base"),
    [
        (_Name.CART, "cart"),
        (Markup("cart"), "cart"),
        (_Sly("tea"), "tea"),
        (_Number.ONE, 1),
        (_Id(int=5), UUID(int=5)),
    ],
)
def test_subclasses_are_the_keys_that_their_base_is(key: object, base: object) -> None:
    """A map's key of a subclass is the base's entry."""
    prefix = map_prefix("cart")
    assert entry_field(prefix, key) == entry_field(prefix, base)
    assert type(entry_key(prefix, entry_field(prefix, key))) is type(base)


@pytest.mark.parametrize("key", [True, 1.0, None, (1,), frozenset({1}), [], "\ud800"])
def test_keys_of_other_types_are_refused(key: object) -> None:
    """A map's keys are str, int, bytes or UUID; equal keys of other types would be confused."""
    entry_field(map_prefix("cart"), 1)
    with pytest.raises(Unserializable, match="key"):
        entry_field(map_prefix("cart"), key)


@pytest.mark.parametrize(
    "name", ["x" * 256, "é" * 128, "\ud800", 1, None, b"x", [], _Sly("\ud800")]
)
def test_a_name_that_cannot_be_one_is_refused(name: object) -> None:
    """A session's keys are str of at most 255 bytes; nothing can be found under anything else."""
    for field in (plain_field, map_prefix):
        with pytest.raises(Unserializable):
            field(name)
    assert not is_name(name)
    assert is_name(_Sly("x"))


@given(st.sets(_NAMES))
def test_names_are_in_alphabetical_order(names: set[str]) -> None:
    """Plain keys are sorted by their text, not by its length, which their fields begin with."""
    found = sorted((plain_field(name) for name in names), key=order)
    assert [name_of(field) for field in found] == sorted(names)


@given(st.sets(_KEYS))
def test_entries_are_in_order_of_their_keys(keys: set[object]) -> None:
    """Numbers are sorted by size, text by code point; types do not mix."""
    prefix = map_prefix("cart")
    found = sorted((entry_field(prefix, key) for key in keys), key=order)
    assert [entry_key(prefix, field) for field in found] == sorted(
        keys, key=lambda key: (type(key).__name__, key)
    )


@given(st.lists(_NAMES, max_size=3), st.lists(st.binary(max_size=10)), st.lists(_KEYS, max_size=3))
def test_fields_of_any_bytes_can_be_sorted(
    names: list[str], damage: list[bytes], keys: list[object]
) -> None:
    """Sorting never fails, does not depend on what came first, and leaves good fields in order."""
    good = [plain_field(name) for name in set(names)]
    good += [
        entry_field(map_prefix(name), key) for name in set(names) for key in dict.fromkeys(keys)
    ]
    odd = [kind + field for kind in (b"v", b"m", b"") for field in damage]
    no_keys: list[object] = [None, [1], {}, 1.5, float("nan"), (1,)]
    odd += [map_prefix("cart") + encode(key) for key in no_keys]
    found = sorted([*odd, *good], key=order)
    assert found == sorted([*good, *odd], key=order)
    assert [field for field in found if field not in odd] == sorted(set(good) - set(odd), key=order)


@given(st.binary(max_size=40))
def test_any_bytes_can_be_described(field: bytes) -> None:
    """Naming a field for a message never fails; reading its name raises nothing but Corrupt."""
    assert isinstance(describe(field), str)
    try:
        name_of(field)
    except Corrupt:
        return
