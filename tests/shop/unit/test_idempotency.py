"""Idempotency-Key with views of the test's own, where a test can step in."""

from collections.abc import Callable

import pytest
from flask import Flask, abort
from shop.http.idempotency import LEASE_MS, idempotent
from unsticky import StoreUnavailable, session

from tests.support.http.wire import Answer
from tests.support.shop.client import ShopClient
from tests.support.stores.servers import Server

_KEPT_MS = 24 * 3600 * 1000


class _Probe:
    """A call that counts in the session how often it had an effect.

    Attributes:
        before: what its view does first; it may raise.
    """

    def __init__(self, shop: Flask) -> None:
        self.before: Callable[[], None] = lambda: None

        @shop.post("/api/probe")
        @idempotent
        def probe() -> str:
            self.before()
            return str(session.incr("probes"))

        self.client = ShopClient(shop)
        self.client.session()

    def meanwhile(self, act: Callable[[], object]) -> None:
        """Let the view do this first, once."""

        def once() -> None:
            self.before = lambda: None
            act()

        self.before = once

    def send(self, body: object = "one", **headers: str) -> Answer:
        """Send a request with the one key."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.tab().send("POST", "/api/probe", body, {"Idempotency-Key": "k", **sent})


@pytest.fixture(name="probe")
def _probe(shop: Flask) -> _Probe:
    """A call that honours a key."""
    return _Probe(shop)


@pytest.mark.parametrize("failure", [503, 500])
def test_failures_are_not_stored(probe: _Probe, failure: int) -> None:
    """After a 503 or a 500 the key is free at once, also for another request."""

    def fail() -> None:
        if failure == 503:
            raise StoreUnavailable("it is away")
        abort(500)

    probe.meanwhile(fail)
    assert probe.send().status == failure
    answers = [probe.send("another") for _ in range(2)]
    assert [(answer.status, answer.text) for answer in answers] == [(200, "1")] * 2


def test_in_flight(probe: _Probe) -> None:
    """While one is being answered, others wait; with another body they are wrong."""
    inner: list[Answer] = []

    probe.meanwhile(lambda: inner.extend((probe.send(), probe.send("another"))))
    assert probe.send().text == "1"
    waits, other = inner
    assert (waits.status, waits.json()["code"]) == (409, "idempotency-key-in-flight")
    assert 1 <= int(waits.headers["Retry-After"]) <= LEASE_MS / 1000
    assert (other.status, other.json()["code"]) == (422, "idempotency-key-reused")
    assert probe.send().headers["Idempotency-Replayed"] == "true"


def test_request_that_nginx_sends_again_goes_on(probe: _Probe) -> None:
    """The same request id holds the lease already: no 409, and the effect is there once."""
    again: list[Answer] = []

    probe.meanwhile(lambda: again.append(probe.send(X_Request_ID="a" * 32)))
    assert probe.send(X_Request_ID="a" * 32).text == "1"
    assert (again[0].status, again[0].text) == (200, "1")


def test_lease_that_ended(probe: _Probe, server: Server) -> None:
    """Another request takes over from one that died; the first answer is everyone's."""
    inner: list[Answer] = []

    def later() -> None:
        (lease,) = server.keys("shop:*:lease")
        server.raw.delete(lease)  # five seconds later
        inner.extend((probe.send("another"), probe.send()))

    probe.meanwhile(later)
    assert probe.send().text == "1"
    assert [answer.status for answer in inner] == [422, 200]
    assert inner[1].text == "1"
    assert "Idempotency-Replayed" not in inner[1].headers


def test_how_long_answers_are_kept(probe: _Probe, server: Server) -> None:
    """An answer is kept for 24 hours from when it was stored; then the key is new."""
    probe.send()
    for pattern in ("shop:*:answer", "shop:*:request"):
        (key,) = server.keys(pattern)
        assert _KEPT_MS - 60_000 < server.raw.pttl(key) <= _KEPT_MS
        server.raw.pexpire(key, 30_000)
    assert probe.send().headers["Idempotency-Replayed"] == "true"
    assert server.raw.pttl(key) <= 30_000
    server.raw.delete(*server.keys("shop:*"))
    assert "Idempotency-Replayed" not in probe.send("another").headers


@pytest.mark.parametrize("key", ["", "\x7f", "s\u00fc", "\t"])
def test_malformed_keys_that_nginx_may_refuse(shop: Flask, key: str) -> None:
    """Keys that not every proxy forwards are a 400 like others."""
    answer = ShopClient(shop).add("tea", key=key)
    assert (answer.status, answer.json()["code"]) == (400, "idempotency-key-malformed")
