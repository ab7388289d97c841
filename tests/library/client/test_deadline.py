"""No reply takes longer than the deadline, and no lost reply is called undone."""

import threading

import pytest
from unsticky.errors import OutcomeUnknown
from unsticky.stores import Deadline

from tests.library.client.visitors import DEADLINE, GENEROUS, Opened
from tests.support.stores.places import deadline
from tests.support.stores.strange import Relay
from tests.support.waiting import at_most


@pytest.mark.parametrize("piece", [b":1\r\n", b"$100\r\nx", b"x"], ids=["items", "text", "bytes"])
def test_a_reply_that_drips_ends_with_the_deadline(
    opened: Opened, relay: Relay, piece: bytes
) -> None:
    """However long it goes on, and in however small pieces."""
    begun = b"$1000\r\n" if piece == b"x" else b"*1000\r\n"
    relay.meddle = lambda _: (begun, *((DEADLINE / 5, piece) * 20))
    with at_most(GENEROUS), pytest.raises(OutcomeUnknown):
        opened(relay.url).ask(Deadline(DEADLINE), "PING")


def test_a_server_that_stops_reading_costs_the_deadline(opened: Opened, relay: Relay) -> None:
    """A command larger than what the network keeps is given up in time."""
    client = opened(relay.url)
    client.ask(deadline(), "PING")
    relay.go_silent()
    with at_most(GENEROUS), pytest.raises(OutcomeUnknown):
        client.ask(Deadline(DEADLINE), "ECHO", b"x" * 30_000_000)


def test_a_reply_cut_off_is_asked_for_again(opened: Opened, relay: Relay) -> None:
    """A connection that ends in the middle of a reply is replaced, once."""
    cut: list[bytes] = []

    def meddle(data: bytes) -> tuple[bytes, ...]:
        if cut:
            return (data,)
        cut.append(data)
        relay.go_silent()
        for stream in relay._clients:  # noqa: SLF001 (it hangs up)
            stream.shutdown(2)
        return ()

    relay.meddle = meddle
    assert opened(relay.url).ask(deadline(), "ECHO", "text") == b"text"
    assert relay.connections == 2


@pytest.mark.parametrize("end", ["threads", "connections"])
def test_what_may_have_happened_is_never_called_undone(
    opened: Opened, relay: Relay, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """If the answer was lost and nothing is left to ask again with, the outcome is unknown."""
    client = opened(f"{relay.url}?max_connections=1")
    client.ask(deadline(), "PING")

    def meddle(_: bytes) -> tuple[bytes, ...]:
        if end == "threads":
            monkeypatch.setattr(threading.Thread, "start", _no_thread)
        else:
            client._pool._open += 1  # noqa: SLF001 (another thread was quicker)
        for stream in relay._clients:  # noqa: SLF001 (it hangs up)
            stream.shutdown(2)
        return ()

    relay.meddle = meddle
    with pytest.raises(OutcomeUnknown, match="the first answer was lost, and then"):
        client.ask(Deadline(DEADLINE), "ECHO", "text")
    monkeypatch.undo()


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
