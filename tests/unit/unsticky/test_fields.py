"""Names of merge units."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unsticky.errors import Corrupt, Unserializable
from unsticky.fields import describe, entry_field, entry_key, map_prefix, name_of, plain_field

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


@pytest.mark.parametrize("key", [True, 1.0, None, (1,), frozenset({1})])
def test_keys_of_other_types_are_refused(key: object) -> None:
    """A map's keys are str, int, bytes or UUID; equal keys of other types would be confused."""
    with pytest.raises(Unserializable, match="key"):
        entry_field(map_prefix("cart"), key)


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "\ud800", 1, None, b"x"])
def test_a_name_that_cannot_be_one_is_refused(name: object) -> None:
    """A session's keys are str of at most 255 bytes."""
    with pytest.raises(Unserializable):
        plain_field(name)


@given(st.binary(max_size=40))
def test_any_bytes_can_be_described(field: bytes) -> None:
    """Naming a field for a message never fails; reading its name raises nothing but Corrupt."""
    assert isinstance(describe(field), str)
    try:
        name_of(field)
    except Corrupt:
        return
