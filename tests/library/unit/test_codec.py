"""The serializer: what goes in comes out, type included; nothing else gets in; nothing runs."""

import pickle
from collections import Counter, OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
from types import MappingProxyType
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
from werkzeug.datastructures import CombinedMultiDict, ImmutableMultiDict, MultiDict
from werkzeug.local import LocalProxy

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


class _ZoneName(StrEnum):
    BERLIN = "Europe/Berlin"


def test_a_zone_may_be_named_by_a_member() -> None:
    """A StrEnum's member that names a zone or an offset is stored as its text."""
    for zone in (ZoneInfo.no_cache(_ZoneName.BERLIN), timezone(timedelta(0), _ZoneName.BERLIN)):
        moment = decode(encode(datetime(2026, 1, 1, tzinfo=zone)))
        assert moment.tzinfo == zone or moment.tzinfo.key == "Europe/Berlin"


class _Level(IntEnum):
    ONE = 1
    HUGE = 2**70


class _Access(IntFlag):
    READ = 1
    WRITE = 2


class _Color(StrEnum):
    RED = "red"


class _OldColor(str, Enum):  # noqa: UP042  (what was written before Python 3.11)
    RED = "red"

    def __str__(self) -> str:
        return "not what is stored"


class _Plain(Enum):
    ONE = 1


class _Text(str):
    """What only looks like itself to others: json.dumps writes its letters all the same."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return 5

    def __str__(self) -> str:
        return "other"

    def encode(self, *_: Any) -> bytes:
        return b"other"


class _Lazy:
    """A translation made when it is shown."""

    def __html__(self) -> str:
        return "<b>hello</b>"


def _child(base: type) -> Any:
    """Return a subclass that adds nothing."""
    return type(f"_{base.__name__}", (base,), {})


_Token = _child(dict)
_List = _child(list)
_Set = _child(set)
_FrozenSet = _child(frozenset)
_Bytes = _child(bytes)
_Float = _child(float)
_MarkupChild = _child(Markup)
_Date = _child(date)
_Time = _child(time)
_Datetime = _child(datetime)
_Decimal = _child(Decimal)
_UUID = _child(UUID)
_Zone = _child(ZoneInfo)
_Int = _child(int)
_Str = _child(str)
_Tuple = _child(tuple)


class _HashableList(list[Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return 5


class _Duration(timedelta):
    days = 99  # pendulum's say another number, too


class _Hour(tzinfo):
    """A zone such as pytz and dateutil make."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _: datetime | None) -> str:
        return "an hour"


@dataclass
class _Address:
    city: str


@dataclass
class _User:
    name: str
    addresses: list[_Address] = field(default_factory=list)


@dataclass(frozen=True)
class _Frozen:
    name: str


_Point = namedtuple("_Point", "x y")  # noqa: PYI024  (the untyped kind is the one meant)
_FORM = MultiDict([("a", "1"), ("a", "2"), ("b", "3")])
_ZONED = datetime(2026, 1, 1, 12, 0, 0, 7, UTC, fold=1)


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (_Token(a=1), {"a": 1}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (defaultdict(list, {"a": [1]}), {"a": [1]}),
        (_FORM, {"a": "1", "b": "3"}),
        (ImmutableMultiDict(_FORM), {"a": "1", "b": "3"}),
        (CombinedMultiDict([MultiDict({"c": "0"}), _FORM]), {"c": "0", "a": "1", "b": "3"}),
        (_List([1]), [1]),
        (_Point(1, 2), (1, 2)),
        (msgpack.ExtType(5, b"x"), (5, b"x")),  # a named tuple: the code is not the format's
        (_Set({1}), {1}),
        (_FrozenSet({1}), frozenset({1})),
        (_Text("x"), "x"),
        (_Color.RED, "red"),
        (_OldColor.RED, "red"),
        (_Bytes(b"x"), b"x"),
        (_Level.ONE, 1),
        (_Level.HUGE, 2**70),
        (_Access.READ | _Access.WRITE, 3),
        (_Float(1.5), 1.5),
        (_MarkupChild("<b>"), Markup("<b>")),
        (_Lazy(), Markup("<b>hello</b>")),
        (_Datetime(2026, 1, 2, 3, 4, 5, 6, UTC), datetime(2026, 1, 2, 3, 4, 5, 6, UTC)),
        (_Date(2026, 1, 2), date(2026, 1, 2)),
        (_Time(1, 2, 3, 4, UTC, fold=1), time(1, 2, 3, 4, UTC, fold=1)),
        (_Duration(-1, 2, 3), timedelta(-1, 2, 3)),
        (_Decimal("1.50"), Decimal("1.50")),
        (_UUID(int=5), UUID(int=5)),
        (
            _User("ann", [_Address("Rome")]),
            {"name": "ann", "addresses": [{"city": "Rome"}]},
        ),
        (LocalProxy(lambda: _Token(a=1)), {"a": 1}),
        (
            _ZONED.replace(tzinfo=_Zone("Europe/Berlin")),
            _ZONED.replace(tzinfo=ZoneInfo("Europe/Berlin")),
        ),
        (time(1, tzinfo=_Zone("Europe/Berlin")), time(1, tzinfo=ZoneInfo("Europe/Berlin"))),
        (_ZONED.replace(tzinfo=_Hour()), _ZONED.replace(tzinfo=timezone(timedelta(hours=1)))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_flask_stores_is_stored_as_its_base(value: Any, base: Any) -> None:
    """Subclasses, multi-dicts, dataclasses and `__html__` come back as what Flask takes them for.

    So they do inside of other values, as keys and after a change in place.
    """
    if isinstance(base, datetime):
        base = base.replace(fold=base.fold if isinstance(base.tzinfo, ZoneInfo) else 0)
    assert encode(value) == encode(base)
    assert encode({"k": [value, (value,)]}) == encode({"k": [base, (base,)]})
    grown: list[Any] = decode(encode([]))
    grown.append(value)
    assert shape(decode(encode(grown))) == shape([base])
    if isinstance(value, Hashable) and isinstance(base, Hashable):
        assert encode({value: 1}) == encode({base: 1})
        assert encode({value}) == encode({base})


_DISGUISES: dict[type, Any] = {
    date: lambda value: _Date(value.year, value.month, value.day),
    datetime: lambda value: _Datetime.combine(value.date(), value.timetz()).replace(
        fold=value.fold
    ),
    timedelta: lambda value: _Duration(value.days, value.seconds, value.microseconds),
    UUID: lambda value: _UUID(int=value.int),
    dict: OrderedDict,
} | {
    kind.__base__: kind
    for kind in (
        _Str,
        _Int,
        _Float,
        _Bytes,
        _MarkupChild,
        _Decimal,
        _List,
        _Tuple,
        _Set,
        _FrozenSet,
    )
}


def _disguised(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        value = {_disguised(key): _disguised(item) for key, item in value.items()}
    elif kind in {list, tuple, set, frozenset}:
        value = kind(_disguised(item) for item in value)
    return _DISGUISES.get(kind, lambda same: same)(value)


@given(VALUES)
def test_subclasses_all_the_way_down_are_their_bases(value: Any) -> None:
    """Whatever is in whatever, subclasses have the bytes of their bases."""
    assert encode(_disguised(value)) == encode(value)


def test_keys_that_become_one_are_one() -> None:
    """Keys and items that are the same once they are their base do not stand there twice."""
    assert encode({_Text("a"): 1, "a": 2}) == encode({"a": 2})
    assert encode({_Text("a"), "a"}) == encode({"a"})


@pytest.mark.parametrize(
    "value",
    [
        object(),
        _Plain.ONE,
        UserDict(a=1),
        MappingProxyType({"a": 1}),
        bytearray(b"x"),
        memoryview(b"x"),
        1j,
        range(3),
        iter([]),
        print,
        int,
        Markup,
        _User,
        ValueError("x"),
        LocalProxy(lambda: "x"),
        msgpack.Timestamp(1),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    ("where", "wrap"),
    [
        ("field", lambda value: value),
        ("field[1]", lambda value: [0, value]),
        ("field['k']", lambda value: {"k": value}),
        ("field key", lambda value: {value: 1}),
        (
            f"field['addresses'][1][{_Color.RED!r}]",
            lambda value: _User("ann", [0, {_Color.RED: value}]),  # type: ignore[list-item]
        ),
    ],
)
def test_other_types_are_refused_by_path(
    value: Any, where: str, wrap: Callable[[Any], Any]
) -> None:
    """Anything else is refused, and the message says where it is."""
    if where == "field key" and not isinstance(value, Hashable):
        return  # Python itself refuses it as a key
    with pytest.raises(Unserializable) as caught:
        encode(wrap(value), "field")
    assert str(caught.value).startswith(where)
    assert type(value).__qualname__ in str(caught.value)


def test_refusals_say_what_to_do() -> None:
    """The message names the place, the type and a way out."""
    with pytest.raises(Unserializable) as caught:
        encode({"items": [1, 2, object()]}, "session['cart']")
    assert str(caught.value) == (
        "session['cart']['items'][2] is a builtins.object, which cannot be stored; "
        "convert it to plain values first"
    )
    with pytest.raises(Unserializable, match=r"_Plain.*store its \.value"):
        encode(_Plain.ONE)


class _Failing(dict[str, Any]):
    def items(self) -> Any:
        message = "no database"
        raise RuntimeError(message)


def test_a_conversion_that_fails_is_refused_by_path() -> None:
    """An error in the application's own code, such as a lazy translation's, has the path, too."""
    with pytest.raises(Unserializable, match=r"field\[0\] is a .*_Failing.*no database"):
        encode([_Failing()], "field")


@pytest.mark.parametrize("value", [_Frozen("x"), (_Frozen("x"),), _HashableList()])
@pytest.mark.parametrize("wrap", [lambda value: {value: 1}, lambda value: {value}])
def test_keys_that_would_not_hash_are_refused(value: Any, wrap: Any) -> None:
    """What is stored as a dict or a list is no key: it could not be read again."""
    with pytest.raises(Unserializable, match=r"field.* (key|item) of"):
        encode(wrap(value), "field")


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (-5, "2d35"),
        (2**70, "c71201343030303030303030303030303030303030"),
        (1.5, "cb3ff8000000000000"),
        ("é", "a2c3a9"),
        (b"\0", "c40100"),
        (None, "c0"),
        (True, "c3"),
        ([1, (2,)], "9201d5029102"),
        ({"k": {1, "a"}}, "81a16bd70392c40101c402a161"),
        (frozenset([b"x"]), "c7060491c403c40178"),
        (
            datetime(2026, 1, 2, 3, 4, 5, 6, ZoneInfo("Europe/Berlin")),
            (
                "c72b0593ba323032362d30312d30325430333a30343a30352e30303030303600"
                "ad4575726f70652f4265726c696e"
            ),
        ),
        (
            datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1), "CET")),
            "c71f0593b3323032362d30312d30325430303a30303a30300093cd0e1000a3434554",
        ),
        (date(2026, 1, 2), "c70a06323032362d30312d3032"),
        (time(1, 2), "c70c0793a830313a30323a303000c0"),
        (timedelta(days=-1, microseconds=3), "c70c08fffffffffffeae8000000003"),
        (Decimal("1.50"), "d609312e3530"),
        (UUID(int=7), "d80a00000000000000000000000000000007"),
        (Markup("<b>"), "c7030b3c623e"),
    ],
)
def test_the_format_stays(value: Any, stored: str) -> None:
    """What an earlier release wrote is what this one writes, byte for byte, and reads."""
    assert encode(value).hex() == stored
    assert shape(decode(bytes.fromhex(stored))) == shape(value)


@pytest.mark.parametrize(
    "value", ["\ud800", ["\udfff"], {"\ud800": 1}, Markup("\ud800"), {"\ud800"}]
)
def test_lone_surrogates_are_refused(value: Any) -> None:
    """Text that has no UTF-8 cannot be stored."""
    with pytest.raises(Unserializable, match=r"field.*surrogate"):
        encode(value, "field")


class _Nowhere(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> None:
        return None


@pytest.mark.parametrize("value", [_ZONED.replace(tzinfo=_Nowhere()), time(1, tzinfo=_Hour())])
def test_a_time_zone_without_an_offset_is_refused_by_path(value: Any) -> None:
    """A zone that is no ZoneInfo needs an offset at that moment; a time alone has no moment."""
    with pytest.raises(Unserializable, match=r"field\[0\].*time zone"):
        encode([value], "field")


@pytest.mark.parametrize("kind", [list, tuple, dict, _List, _Token])
def test_depth_is_limited(kind: Any) -> None:
    """As deep as the limit works, one deeper is refused, and a circle is no endless loop."""

    def nested(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = kind({"k": value}) if issubclass(kind, dict) else kind([value])
        return value

    assert decode(encode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(Unserializable, match="nested deeper"):
        encode(nested(MAX_DEPTH + 1))
    circles: list[list[Any]] = [[], _List()]
    for circle in circles:
        circle.append((circle,))
        with pytest.raises(Unserializable, match="nested deeper"):
            encode(circle)


def _decodes_or_is_corrupt(data: bytes) -> None:
    try:
        value = decode(data)
    except Corrupt:
        return
    assert encode(decode(encode(value))) == encode(value)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_corrupt(data: bytes) -> None:
    """No bytes raise anything but Corrupt, or make a value that has no canonical bytes."""
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
