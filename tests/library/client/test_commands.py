"""Scripts, commands and their replies."""

import secrets

import pytest
from unsticky.errors import OutcomeUnknown, StoreUnavailable
from unsticky.stores import Script, replies
from unsticky.stores.replies import UNFINISHED, PlainReader

from tests.library.client.visitors import PUSH, Opened
from tests.support.stores.places import AtServer, deadline
from tests.support.stores.strange import bulk


def test_a_script_is_sent_whole_where_it_is_not_known(place: AtServer, opened: Opened) -> None:
    """Once; errors that it returns or meets come with the server's words."""
    client, text = opened(place.server.url), secrets.token_hex(8)
    run = Script.from_text(
        f"if ARGV[1] == '' then return redis.error_reply('{text}') end return ARGV"
    )
    assert client.call(run, (), (b"a", b"b"), deadline()) == [b"a", b"b"]
    assert client.round_trips == 2
    assert client.call(run, (), (b"a", b"b"), deadline()) == [b"a", b"b"]
    with pytest.raises(StoreUnavailable, match=text):
        client.call(run, (), (b"",), deadline())
    with pytest.raises(StoreUnavailable, match="nosuchthing"):
        client.call(Script.from_text("return nosuchthing()"), (), (), deadline())
    assert len(client._pool._idle) == 1  # noqa: SLF001


def test_commands_are_asked_in_one_trip(place: AtServer, opened: Opened) -> None:
    """Several commands, one trip, their replies in order; none for none."""
    client, key = opened(place.server.url), f"{place.prefix}k"
    assert client.ask_all(deadline(), [("SET", key, 5), ("INCR", key), ("GET", key)]) == [
        b"OK",
        6,
        b"6",
    ]
    assert (client.round_trips, client.ask_all(deadline(), []), client.round_trips) == (1, [], 1)
    assert client.ask(deadline(), b"LRANGE", f"{place.prefix}none", 0, -1) == []
    with pytest.raises(OutcomeUnknown, match="WRONGTYPE"):
        client.ask_all(deadline(), [("INCR", key), ("HGET", key, "f")])
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        client.ask(deadline(), "HGET", key, "f")


_REPLIES = (
    b"+OK\r\n-ERR no\r\n:-12\r\n$-1\r\n*-1\r\n$0\r\n\r\n$5\r\na\r\nbc\r\n"
    b"*3\r\n:1\r\n*2\r\n$1\r\nx\r\n*0\r\n+y\r\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 200])
def test_the_plain_reader_reads_what_hiredis_reads(size: int) -> None:
    """In pieces of any size, values and errors alike."""
    hiredis = pytest.importorskip("hiredis")
    readers = (
        PlainReader(),
        hiredis.Reader(notEnoughData=UNFINISHED, replyError=replies.ErrorReply),
    )
    read: list[list[object]] = []
    for reader in readers:
        read.append([])
        for start in range(0, len(_REPLIES), size):
            reader.feed(_REPLIES[start : start + size])
            while (reply := reader.gets()) is not UNFINISHED:
                read[-1].append(repr(reply))
        assert not reader.has_data()
    assert read[0] == read[1]
    assert len(read[0]) == 8


@pytest.mark.parametrize("noise", [b"HTTP/1.1 400\r\n", PUSH, b":x\r\n", b"*1\r\n" * 50, b"$x\r\n"])
def test_the_plain_reader_refuses_what_is_no_reply(noise: bytes) -> None:
    """Pushes are no replies either."""
    reader = PlainReader()
    reader.feed(noise)
    with pytest.raises(replies.NotAReply):
        reader.gets()


def test_a_large_reply_is_read(place: AtServer, opened: Opened) -> None:
    """Megabytes, in one text and in many."""
    client = opened(place.server.url)
    assert len(client.ask(deadline(), "ECHO", b"x" * 3_000_000)) == 3_000_000
    assert client.ask_all(deadline(), [("ECHO", bulk(b"y"))] * 20_000)[-1] == bulk(b"y")
