"""Requirement 19: what is planted in the store runs nothing, and is set aside."""

import pickle
import struct
from pathlib import Path
from typing import Any

import msgpack
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unsticky.codec import decode, encode
from unsticky.errors import Corrupt
from unsticky.fields import plain_field

from .browser import Browser
from .conftest import NewApp
from .test_identifiers import Browse
from .valkey import Valkey

_THEME = plain_field("theme")


class _Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def _nested(levels: int) -> bytes:
    return b"\x91" * levels + b"\xc0"


def _nested_tuples(levels: int) -> bytes:
    blob = b"\x90"
    for _ in range(levels):
        blob = msgpack.packb(msgpack.ExtType(2, b"\x91" + blob))
    return blob


def _blobs(proof: str) -> dict[str, bytes]:
    bomb = _Bomb(proof)
    return {
        **{f"pickle {n}": pickle.dumps(bomb, n) for n in range(6)},
        "pickle in bytes' clothes": b"\xc1" + pickle.dumps(bomb),
        "pickle as an extension": msgpack.packb(msgpack.ExtType(99, pickle.dumps(bomb))),
        "marked as of another library": b"!" + pickle.dumps(bomb),
        "empty": b"",
        "not a number": b"12x",
        "a number's other spelling": b"007",
        "longer than any number": b"9" * 5000,
        "cut off": encode({"a": [1, 2, 3]})[:-1],
        "with something after it": encode("dark") + b"\xc0",
        "claiming 4 GiB of bytes": b"\xc6" + struct.pack(">I", 2**32 - 1) + b"x",
        "claiming 4 billion items": b"\xdd" + struct.pack(">I", 2**32 - 1),
        "claiming 4 billion pairs": b"\xdf" + struct.pack(">I", 2**32 - 1),
        "no UTF-8": b"\xa2\xff\xfe",
        "an unhashable key": msgpack.packb({}) and b"\x81\x90\x01",
        "deeper than is written": _nested(33),
        "too deep": _nested(600),
        "deeper than any stack": _nested(200_000),
        "tuples deeper than is written": _nested_tuples(33),
        "tuples too deep": _nested_tuples(1000),
        "a time zone from a path": msgpack.packb(
            msgpack.ExtType(5, msgpack.packb(["2020-01-01T00:00:00", 0, "../../../etc/passwd"]))
        ),
        "a datetime that is none": msgpack.packb(msgpack.ExtType(5, b"\x90")),
        "a UUID that is none": msgpack.packb(msgpack.ExtType(10, b"short")),
        "a decimal that is none": msgpack.packb(msgpack.ExtType(9, b"1e")),
    }


@pytest.fixture(name="proof")
def _proof(tmp_path: Path) -> Path:
    """The file that exists once planted code ran."""
    return tmp_path / "code-ran"


def _session_key(app: Flask, valkey: Valkey) -> bytes:
    (key,) = [
        key
        for key in valkey.keys(f"{app.config['SESSION_KEY_PREFIX']}*:s:*")
        if b"\0m" in valkey.hash(key)
    ]
    return key


def _planted(new_app: NewApp, valkey: Valkey, browse: Browse) -> tuple[Flask, Browser, bytes]:
    app = new_app(valkey.url)
    browser = browse(app)
    browser.post("/set", theme="dark", other="kept")
    return app, browser, _session_key(app, valkey)


@pytest.mark.parametrize("name", _blobs(""))
def test_19_a_planted_value_is_set_aside(
    new_app: NewApp, valkey: Valkey, browse: Browse, proof: Path, name: str
) -> None:
    """Bytes that the library did not write run nothing; their session is quarantined, counted."""
    app, browser, key = _planted(new_app, valkey, browse)
    blob = _blobs(str(proof))[name]
    valkey.ask("HSET", key, _THEME, blob)
    answer = browser.get("/me")
    assert answer.status == 409
    assert answer.json()["code"] == "session-gone"
    assert not proof.exists()
    assert app.extensions["unsticky"].counters.quarantined == 1
    (aside,) = valkey.keys(f"{app.config['SESSION_KEY_PREFIX']}*:q:*")
    assert valkey.hash(aside)[_THEME] == blob
    assert valkey.ask("PTTL", aside) > 0
    # The next request begins a new session.
    assert browser.get("/me").json()["data"] == {}
    assert browser.post("/set", theme="light").status == 200
    assert browser.get("/me").json()["data"] == {"theme": "light"}


def test_19_a_planted_permanence_is_no_error_page(
    new_app: NewApp, valkey: Valkey, browse: Browse
) -> None:
    """What only the library itself reads at the end ends nobody's request with a 500."""
    app, browser, key = _planted(new_app, valkey, browse)
    valkey.ask("HSET", key, plain_field("_permanent"), b"\xc1")
    assert browser.get("/optional").status in {200, 409}
    assert browser.get("/optional").status in {200, 409}
    assert browser.get("/me").status in {200, 409}
    assert browser.get("/me").json()["data"] == {}
    assert app.extensions["unsticky"].counters.quarantined == 1


@pytest.mark.parametrize("field", [b"v", b"v\x05the", b"v\x02\xff\xfe", b"v\xff"])
def test_19_a_planted_name_is_set_aside(
    new_app: NewApp, valkey: Valkey, browse: Browse, field: bytes
) -> None:
    """A field whose name the library cannot have made does not answer with a 500 for ever."""
    app, browser, key = _planted(new_app, valkey, browse)
    valkey.ask("HSET", key, field, encode("x"))
    answer = browser.get("/me")
    assert answer.status == 409
    assert app.extensions["unsticky"].counters.quarantined == 1
    assert browser.get("/me").json()["data"] == {}


def test_19_a_planted_map_key_is_set_aside(new_app: NewApp, valkey: Valkey, browse: Browse) -> None:
    """An entry whose key is unreadable is found when the map is listed, and set aside."""
    app, browser, key = _planted(new_app, valkey, browse)
    valkey.ask("HSET", key, b"m\x04cart\xc1", b"1")
    assert browser.get("/cart").status == 409
    assert app.extensions["unsticky"].counters.quarantined == 1
    assert browser.get("/cart").json() == []


@pytest.mark.parametrize("birth", [b"", b"1", b"1abcdefgh" + b"x" * 26, b"1" + b"0" * 33])
def test_19_a_planted_birth_record_is_set_aside(
    new_app: NewApp, valkey: Valkey, browse: Browse, birth: bytes
) -> None:
    """A session whose own record is malformed ends, for readers and for writers alike."""
    app, browser, key = _planted(new_app, valkey, browse)
    valkey.ask("HSET", key, b"\0m", birth)
    writer = browser.twin()
    assert browser.get("/me").status in {200, 409}
    assert browser.get("/me").json()["data"] == {}
    assert writer.post("/set", theme="light").status == 200
    assert app.extensions["unsticky"].counters.quarantined == 1
    assert valkey.keys(f"{app.config['SESSION_KEY_PREFIX']}*:q:*")


@pytest.mark.parametrize("first", ["read", "write"])
def test_19_another_librarys_key_is_set_aside(
    new_app: NewApp, valkey: Valkey, browse: Browse, proof: Path, first: str
) -> None:
    """A pickle that stands where the session should be runs nothing and blocks nobody."""
    app, browser, key = _planted(new_app, valkey, browse)
    valkey.ask("DEL", key)
    valkey.ask("SET", key, pickle.dumps(_Bomb(str(proof))))
    if first == "read":
        assert browser.get("/me").json()["data"] == {}
    assert browser.post("/set", theme="light").status == 200
    assert browser.get("/me").json()["data"] == {"theme": "light"}
    assert not proof.exists()
    assert app.extensions["unsticky"].counters.quarantined == 1
    assert valkey.keys(f"{app.config['SESSION_KEY_PREFIX']}*:q:*")


def test_19_what_a_newer_release_wrote_is_left_alone(
    new_app: NewApp, valkey: Valkey, browse: Browse
) -> None:
    """An envelope of a later version is answered 503 and stays as it is, byte by byte."""
    app, browser, key = _planted(new_app, valkey, browse)
    valkey.ask("HSET", key, b"\0m", b"2" + valkey.hash(key)[b"\0m"][1:])
    before = valkey.hash(key)
    assert browser.get("/me").status == 503
    assert browser.post("/set", theme="light").status == 503
    assert valkey.hash(key) == before
    assert app.extensions["unsticky"].counters.quarantined == 0


def test_19_a_session_grows_to_its_caps_and_no_further(
    new_app: NewApp, store: str, browse: Browse
) -> None:
    """Too many fields, too many bytes or too deep a value: refused whole, the session as before."""
    app = new_app(store, UNSTICKY_MAX_BYTES=10_000, TESTING=False)
    browser = browse(app)
    browser.post("/set", theme="dark")
    deep: Any = None
    for _ in range(40):
        deep = [deep]
    for values in ({"x": "y" * 10_001}, {f"k{n}": 1 for n in range(1025)}, {"deep": deep}):
        assert browser.post("/set", **values).status == 500
    assert browser.get("/me").json()["data"] == {"theme": "dark"}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_19_any_bytes_decode_to_a_value_or_to_corrupt(data: bytes) -> None:
    """Whatever the bytes, decoding returns what can be encoded again, or raises Corrupt alone."""
    try:
        value = decode(data)
    except Corrupt:
        return
    encode(value)
