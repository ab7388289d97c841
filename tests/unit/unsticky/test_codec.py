"""The serializer: what goes in comes out, type included; nothing else gets in; nothing runs."""

import pickle
from collections import OrderedDict, namedtuple
from collections.abc import Hashable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from unsticky.codec import MAX_DEPTH, decode, encode
from unsticky.errors import Corrupt, Unserializable

_ZONES = st.one_of(
    st.none(),
    st.just(UTC),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata"]).map(ZoneInfo),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone),
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_HASHABLE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        _TEXT,
        st.binary(),
        st.datetimes(timezones=_ZONES, allow_imaginary=False),
        st.dates(),
        st.times(timezones=_ZONES.filter(lambda zone: not isinstance(zone, ZoneInfo))),
        st.timedeltas(),
        st.decimals(allow_nan=False),
        st.uuids(),
        _TEXT.map(Markup),
    ),
    lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=4)),
    max_leaves=5,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    _HASHABLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(_HASHABLE, inner, max_size=5),
        st.sets(_HASHABLE, max_size=5),
        st.tuples(inner, inner),
    ),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """Return something that is equal exactly where type, value and order are, all the way down."""
    kind = type(value)
    if kind in {list, tuple}:
        return kind, [shape(item) for item in value]
    if kind in {set, frozenset}:
        return kind, sorted(repr(shape(item)) for item in value)
    if kind is dict:
        return kind, [(shape(key), shape(item)) for key, item in value.items()]
    if kind in {datetime, time}:
        return kind, value.replace(tzinfo=None), value.fold, repr(value.tzinfo)
    return kind, repr(value)


@given(VALUES)
def test_everything_comes_back_as_it_was(value: Any) -> None:
    """Value, type, order of dicts, sign of zero, fold and time zone are exact, however nested."""
    assert shape(decode(encode(value))) == shape(value)


@given(VALUES)
def test_encoding_is_canonical(value: Any) -> None:
    """What was decoded encodes to the same bytes: an untouched value never looks changed."""
    once = encode(value)
    assert encode(decode(once)) == once


@given(st.lists(_HASHABLE, max_size=8), st.randoms(use_true_random=False))
def test_equal_sets_encode_equally(items: list[Any], random: Any) -> None:
    """The order in which a set was filled does not show."""
    shuffled = list(items)
    random.shuffle(shuffled)
    first, second = set(items), set()
    for item in shuffled:
        second.add(next(same for same in first if same == item))
    assert encode(first) == encode(second)


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_are_their_decimal_text(value: int) -> None:
    """A plain integer is what a counter is: decimal, so that both are one field."""
    assert encode(value) == str(value).encode()


@given(VALUES.filter(lambda value: type(value) is not int or not -(2**63) <= value < 2**63))
def test_nothing_else_looks_like_an_integer(value: Any) -> None:
    """The first byte of everything else is at least 0x80."""
    assert encode(value)[0] >= 0x80


def test_nan_is_kept() -> None:
    """NaN has no equal, and comes back as NaN, with the same bytes each time."""
    assert str(decode(encode(float("nan")))) == "nan"
    assert encode(decode(encode(float("nan")))) == encode(float("nan"))
    assert decode(encode(Decimal("NaN"))).is_nan()


def test_a_named_offset_keeps_its_name() -> None:
    """A fixed offset with a name has that name when it comes back."""
    zone = timezone(timedelta(hours=1), "CET")
    moment = decode(encode(datetime(2026, 1, 1, tzinfo=zone)))
    assert moment.tzname() == "CET"


class _Level(IntEnum):
    ONE = 1


class _Text(str):
    __slots__ = ()


_Point = namedtuple("_Point", "x y")  # noqa: PYI024  (the untyped kind is what is refused)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        _Level.ONE,
        _Text("x"),
        _Point(1, 2),
        OrderedDict(a=1),
        bytearray(b"x"),
        memoryview(b"x"),
        1j,
        range(3),
        iter([]),
        print,
        int,
        ValueError("x"),
        msgpack.ExtType(5, b""),
        msgpack.Timestamp(1),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("wrap", ["", "list", "dict", "key"])
def test_other_types_are_refused_by_path(value: Any, wrap: str) -> None:
    """Anything else, subclasses included, is refused, and the message says where it is."""
    if wrap == "key":
        if not isinstance(value, Hashable):
            return  # Python itself refuses it as a key
        wrapped: Any = {value: 1}
    else:
        wrapped = {"": value, "list": [0, value], "dict": {"k": value}}[wrap]
    where = {"": "field", "list": "field[1]", "dict": "field['k']", "key": "field key"}[wrap]
    with pytest.raises(Unserializable) as caught:
        encode(wrapped, "field")
    assert str(caught.value).startswith(where)


@pytest.mark.parametrize(
    "value", ["\ud800", ["\udfff"], {"\ud800": 1}, Markup("\ud800"), {"\ud800"}]
)
def test_lone_surrogates_are_refused(value: Any) -> None:
    """Text that has no UTF-8 cannot be stored."""
    with pytest.raises(Unserializable, match=r"field.*surrogate"):
        encode(value, "field")


def test_a_time_zone_of_another_kind_is_refused_by_path() -> None:
    """Only fixed offsets and ZoneInfo are known; the message says where the other one is."""

    class Zone(ZoneInfo):
        pass

    moment = datetime(2026, 1, 1, tzinfo=Zone("Europe/Berlin"))
    with pytest.raises(Unserializable, match=r"field.*time zone"):
        encode([moment], "field")


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_depth_is_limited(kind: Any) -> None:
    """As deep as the limit works, one deeper is refused, and a circle is no endless loop."""

    def nested(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = {"k": value} if kind is dict else kind([value])
        return value

    assert decode(encode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(Unserializable, match="nested deeper"):
        encode(nested(MAX_DEPTH + 1))
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(Unserializable, match="nested deeper"):
        encode(circle)


def _decodes_or_is_corrupt(data: bytes) -> None:
    try:
        decode(data)
    except Corrupt:
        return


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_corrupt(data: bytes) -> None:
    """No bytes raise anything but Corrupt."""
    _decodes_or_is_corrupt(data)


@given(VALUES, st.integers(min_value=0), st.integers(0, 255))
def test_a_flipped_byte_decodes_or_is_corrupt(value: Any, place: int, byte: int) -> None:
    """Damage to good bytes raises nothing but Corrupt."""
    data = bytearray(encode(value))
    data[place % len(data)] = byte
    _decodes_or_is_corrupt(bytes(data))


@given(st.integers(-128, 127), st.one_of(st.binary(max_size=40), VALUES.map(encode)))
def test_any_extension_decodes_or_is_corrupt(code: int, body: bytes) -> None:
    """Known and unknown extension types with any body raise nothing but Corrupt."""
    _decodes_or_is_corrupt(msgpack.packb(msgpack.ExtType(code % 128, body)))


@pytest.mark.parametrize(
    "zone",
    [
        "America",
        "Nowhere",
        "../../../etc/passwd",
        "/etc/passwd",
        "",
        "a\0b",
        "x" * 5000,
        ".",
        "posix",
    ],
)
def test_a_planted_time_zone_is_corrupt(zone: str) -> None:
    """A name of a zone that is none opens no file and raises nothing but Corrupt."""
    body = msgpack.packb(["2026-01-01T00:00:00", 0, zone])
    with pytest.raises(Corrupt):
        decode(msgpack.packb(msgpack.ExtType(5, body)))


class _Planted:
    ran = False

    def __reduce__(self) -> Any:
        return setattr, (_Planted, "ran", True)


def test_a_planted_pickle_runs_nothing() -> None:
    """Bytes that would run code when unpickled are corrupt, and run none."""
    with pytest.raises(Corrupt):
        decode(pickle.dumps(_Planted()))
    assert not _Planted.ran


@pytest.mark.parametrize("data", [b"", b"01", b"-0", b"+1", b" 1", b"1_0", b"1.0", b"9" * 5000])
def test_only_canonical_decimal_is_an_integer(data: bytes) -> None:
    """One spelling for each number: others were not written here."""
    with pytest.raises(Corrupt):
        decode(data)


def test_a_uuid_is_small() -> None:
    """A UUID takes 18 bytes, not its 36 characters."""
    assert len(encode(UUID(int=5))) == 18
    assert decode(encode(date(2026, 1, 2))) == date(2026, 1, 2)
