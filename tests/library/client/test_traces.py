"""Spans of round trips: one for each, with the name of what was called and how it ended."""

import secrets
from contextlib import suppress

import pytest
from unsticky.errors import OutcomeUnknown, StoreUnavailable
from unsticky.stores import Deadline, Script, Wait

from tests.library.client.visitors import Opened, Visitors, run
from tests.support.stores.places import AtServer, deadline
from tests.support.stores.spans import spans
from tests.support.stores.strange import Relay


def test_names_and_errors(place: AtServer, opened: Opened) -> None:
    """A script by its name, a command by its own, several as one; of errors only the kind."""
    client, key = opened(place.server.url), f"{place.prefix}private"
    text = secrets.token_hex(8)
    named = Script.from_text(f"return '{text}'", "raise_to")
    failing = Script.from_text(f"return redis.error_reply('{text}')")
    with spans() as traced:
        before = client.round_trips
        client.call(named, (), (), deadline())
        client.call(named, (), (), deadline())
        client.call_and_wait(named, (), (), deadline(), Wait(1, 1))
        client.ask(deadline(), "set", key, "private")
        client.ask(deadline(), "PING")
        client.ask_all(deadline(), [("GET", key), ("GET", key)])
        with suppress(StoreUnavailable):
            client.call(failing, (), (), deadline())
        with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
            client.ask(deadline(), "HGET", key, "f")
        found = traced.taken()
        assert client.round_trips - before == len(found)
    assert found == [
        ("raise_to", "NOSCRIPT"),
        ("EVAL", None),
        ("raise_to", None),
        ("raise_to", None),
        ("SET", None),
        ("PING", None),
        ("PIPELINE", None),
        ("EVALSHA", "NOSCRIPT"),
        ("EVAL", "ERR"),
        ("HGET", "WRONGTYPE"),
    ]
    with spans() as traced:
        assert Visitors(client, place).found(b"ann") == b"ann"
        assert "read" in {name for name, _ in traced.taken()}
    run(client)
    assert not traced.taken()


def test_a_server_that_hangs_or_breaks_off(place: AtServer, opened: Opened, relay: Relay) -> None:
    """The span has the exception's type; an attempt without a connection is no round trip."""
    client = opened(relay.url)
    run(client)
    with spans() as traced:
        place.server.pause()
        try:
            with pytest.raises(OutcomeUnknown):
                client.ask(Deadline(0.2), "PING")
        finally:
            place.server.resume()
        assert traced.taken() == [("PING", "TimeoutError")]
        relay.close()
        with pytest.raises(StoreUnavailable):
            client.ask(deadline(), "PING")
        assert all(error is not None for _, error in traced.taken())
