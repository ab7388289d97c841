"""Requirement 22: a store in trouble is answered as the route declared, within the deadline."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import redis
from flask import Flask
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from tests.support.http.wire import Answer
from tests.support.ports import free_port
from tests.support.stores.strange import Relay
from tests.support.waiting import PATIENCE, at_most, wait_until

from .browser import Browser
from .conftest import NewApp
from .peers import answering, breaking_then, dripping, talking
from .test_identifiers import Browse
from .valkey import Valkey

_DEADLINE = 0.5
_GENEROUS = _DEADLINE + 1.0
"""The deadline and what this process's own work adds to it; see `at_most` (seconds)."""


@dataclass
class Fault:
    """Something that befalls a store.

    Attributes:
        begin: makes it happen.
        end: repairs it.
        reads: whether reads still answer.
        hangs: whether calls take until the deadline.
    """

    begin: Callable[[Valkey, Relay], object]
    end: Callable[[Valkey, Relay], object]
    reads: bool = False
    hangs: bool = False


def _delay(relay: Relay, seconds: float) -> None:
    relay.delay = seconds


_FAULTS = {
    "stopped": Fault(lambda valkey, _: valkey.kill(), lambda valkey, _: valkey.start()),
    "paused": Fault(
        lambda valkey, _: valkey.pause(), lambda valkey, _: valkey.resume(), hangs=True
    ),
    "slow": Fault(
        lambda _, relay: _delay(relay, 2.0), lambda _, relay: _delay(relay, 0.0), hangs=True
    ),
    "read-only": Fault(
        lambda valkey, _: valkey.ask("REPLICAOF", "127.0.0.1", free_port()),
        lambda valkey, _: valkey.ask("REPLICAOF", "NO", "ONE"),
    ),
    "full": Fault(
        lambda valkey, _: valkey.ask("CONFIG", "SET", "maxmemory", 1),
        lambda valkey, _: valkey.ask("CONFIG", "SET", "maxmemory", 0),
        reads=True,
    ),
}


@pytest.fixture(name="tcp_valkey", scope="module")
def _tcp_valkey() -> Iterator[Valkey]:
    server = Valkey(free_port())
    server.start()
    yield server
    server.dispose()


@pytest.fixture(name="relay")
def _relay(tcp_valkey: Valkey) -> Iterator[Relay]:
    relay = Relay(tcp_valkey.port)
    yield relay
    relay.close()


@pytest.fixture(name="fault", params=_FAULTS)
def _fault(request: pytest.FixtureRequest) -> Fault:
    """Each fault, which the test brings about."""
    return _FAULTS[request.param]


@pytest.fixture(name="browser")
def _browser(
    request: pytest.FixtureRequest, new_app: NewApp, relay: Relay, browse: Browse
) -> Browser:
    """Someone who is logged in, and whose session was just used."""
    waits = "fault" not in request.fixturenames or request.getfixturevalue("fault").hangs
    # Where nothing waits until the deadline, a busy machine should not miss it, either.
    app = new_app(relay.url, UNSTICKY_DEADLINE=_DEADLINE if waits else PATIENCE)
    browser = browse(app)
    wait_until(
        lambda: browser.post("/login", user="ann").status == browser.get("/me").status == 200,
        "a login within the deadline",
    )
    return browser


@pytest.fixture(name="befallen")
def _befallen(tcp_valkey: Valkey, relay: Relay, browser: Browser, fault: Fault) -> Iterator[Fault]:
    """A fault that goes on until the test is over; everyone was logged in before it."""
    del browser
    fault.begin(tcp_valkey, relay)
    yield fault
    fault.end(tcp_valkey, relay)


def _timed(request: Callable[[], Answer]) -> Answer:
    """Return the answer, which must come within the deadline."""
    with at_most(_GENEROUS):
        return request()


def _assert_refused(browser: Browser, cookie: str | None, answer: Answer) -> None:
    assert answer.status == 503
    assert answer.media_type == "application/problem+json"
    assert answer.headers["Set-Cookie"] is None
    assert browser.cookie == cookie
    code = answer.json()["code"]
    assert code in {"store-unavailable", "outcome-unknown"}
    # To repeat what may have happened is not advised.
    assert (answer.headers["Retry-After"] is None) == (code == "outcome-unknown")


def _answered(answer: Answer) -> bool:
    assert answer.status in {200, 503}
    return answer.status == 200


def test_22_reading_is_answered_as_declared(befallen: Fault, browser: Browser) -> None:
    """A route that needs its session answers 503 with Retry-After, or the truth; nothing else."""
    cookie = browser.cookie
    for _ in range(3):
        answer = _timed(lambda: browser.get("/me"))
        if befallen.reads:
            assert answer.json()["user"] == "ann"
        else:
            _assert_refused(browser, cookie, answer)
            assert answer.headers["Retry-After"] == "1"


def test_22_a_write_is_refused_and_said_to_be(befallen: Fault, browser: Browser) -> None:
    """A change that could not be stored is never answered as if it had been."""
    del befallen
    cookie = browser.cookie
    for path in ("/set", "/add", "/rotate", "/login"):
        answer = _timed(partial(browser.post, path, user="bob"))
        _assert_refused(browser, cookie, answer)


def test_22_a_logout_that_failed_is_reported(befallen: Fault, browser: Browser) -> None:
    """A logout that was not carried out is no success, and leaves the cookie to try again."""
    cookie = browser.cookie
    answer = _timed(lambda: browser.post("/logout"))
    if befallen.reads:  # a full store still deletes
        assert answer.status == 204
        assert browser.cookie is None
    else:
        _assert_refused(browser, cookie, answer)
        assert answer.headers["Retry-After"] == "1"


def test_22_an_optional_view_lives_without(befallen: Fault, browser: Browser) -> None:
    """A view that declared it can do without gets an empty session that says so."""
    cookie = browser.cookie
    answer = _timed(lambda: browser.get("/optional"))
    expected = {"available": befallen.reads, "user": "ann" if befallen.reads else None}
    assert (answer.status, answer.json()) == (200, expected)
    assert answer.headers["Set-Cookie"] is None
    assert browser.cookie == cookie


def test_22_a_page_without_session_does_not_notice(befallen: Fault, browser: Browser) -> None:
    """A view that does not touch the session is served as usual."""
    del befallen
    assert _timed(lambda: browser.get("/untouched")).status == 200


def test_22_recovery_needs_no_restart(
    tcp_valkey: Valkey, relay: Relay, browser: Browser, fault: Fault
) -> None:
    """Once the store is back the same process serves the same session again, within two seconds."""
    cookie = browser.cookie
    fault.begin(tcp_valkey, relay)
    try:
        browser.post("/set", theme="dark")
        browser.get("/me")
    finally:
        fault.end(tcp_valkey, relay)
    with at_most(2 + _GENEROUS):
        wait_until(lambda: _answered(browser.get("/me")), "an answer of the store")
    assert browser.get("/me").json()["user"] == "ann"
    assert browser.cookie == cookie
    wait_until(lambda: _answered(browser.post("/set", theme="light")), "a write")
    assert browser.get("/me").json()["data"]["theme"] == "light"


@contextlib.contextmanager
def _silent() -> Iterator[int]:
    """Listen and never say a word: connecting works, nothing else does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def _black_hole() -> Iterator[int]:
    """Leave the handshake itself unanswered: the queue of connections is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        for each in waiting:
            each.setblocking(False)  # noqa: FBT003 (the standard library's signature)
            each.connect_ex(address)
        try:
            yield address[1]
        finally:
            for each in waiting:
                each.close()


@pytest.mark.parametrize("peer", [_silent, _black_hole])
@pytest.mark.parametrize("path", ["/me", "/set"])
def test_22_the_deadline_covers_connecting(
    new_app: NewApp,
    browse: Browse,
    peer: Callable[[], contextlib.AbstractContextManager[int]],
    path: str,
) -> None:
    """A peer that never answers, or never even accepts, costs no more than the deadline."""
    with peer() as port:
        app = new_app(f"redis://127.0.0.1:{port}", UNSTICKY_DEADLINE=_DEADLINE)
        browser = _with_a_cookie(browse, app)
        method = "GET" if path == "/me" else "POST"
        for _ in range(2):
            answer = _timed(lambda: browser.send(method, path, {"theme": "dark"}))
            assert answer.status == 503


def test_22_the_deadline_covers_looking_up_the_name(
    new_app: NewApp, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that does not answer costs no more than the deadline."""
    answered = threading.Event()

    def slow(*_: object, **__: object) -> list[object]:
        answered.wait(PATIENCE)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    app = new_app("redis://a-store-somewhere:6379", UNSTICKY_DEADLINE=_DEADLINE)
    browser = _with_a_cookie(browse, app)
    try:
        _assert_refused(browser, browser.cookie, _timed(lambda: browser.get("/me")))
    finally:
        answered.set()


def test_22_the_deadline_covers_a_whole_request(
    new_app: NewApp, relay: Relay, browse: Browse
) -> None:
    """Many calls that are each fast enough do not add up to more than one deadline."""
    app = new_app(f"redis://127.0.0.1:{relay.port}", UNSTICKY_DEADLINE=_DEADLINE)
    browser = browse(app)
    browser.post("/login", user="ann")
    relay.delay = _DEADLINE / 4  # a trip, there and back, takes half a deadline
    answer = _timed(lambda: browser.post("/many"))
    _assert_refused(browser, browser.cookie, answer)


def test_22_a_store_that_hangs_holds_one_request_and_not_all(
    tcp_valkey: Valkey, new_app: NewApp, relay: Relay, browse: Browse
) -> None:
    """After one request ran into the deadline, the next are refused at once; both are counted."""
    app = new_app(relay.url, UNSTICKY_DEADLINE=_DEADLINE)
    browser = _with_a_cookie(browse, app)
    tcp_valkey.pause()
    try:
        browser.get("/me")
        began = time.monotonic()
        with at_most(2 * _GENEROUS):
            for _ in range(20):
                assert browser.get("/me").status == 503
        took = time.monotonic() - began
    finally:
        tcp_valkey.resume()
    counters = app.extensions["unsticky"].counters
    assert counters.store_errors == counters.store_timeouts + counters.store_refusals == 21
    # One a second finds out whether the store is back.
    assert 1 <= counters.store_timeouts <= 1 + took


def test_22_the_deadline_covers_an_answer_that_drips(new_app: NewApp, browse: Browse) -> None:
    """A peer that keeps talking without coming to an end costs no more than the deadline."""
    with talking(dripping(_DEADLINE / 3)) as port:
        app = new_app(f"redis://127.0.0.1:{port}", UNSTICKY_DEADLINE=_DEADLINE)
        browser = _with_a_cookie(browse, app)
        _assert_refused(browser, browser.cookie, _timed(lambda: browser.get("/me")))


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\xff" * 50], ids=["http", "noise"]
)
def test_22_a_peer_that_is_no_store_is_a_store_in_trouble(
    new_app: NewApp, browse: Browse, reply: bytes
) -> None:
    """Whatever else listens there is answered as declared, by required and optional views."""
    with talking(answering(reply)) as port:
        app = new_app(f"redis://127.0.0.1:{port}", UNSTICKY_DEADLINE=_DEADLINE)
        browser = _with_a_cookie(browse, app)
        _assert_refused(browser, browser.cookie, _timed(lambda: browser.get("/me")))
        answer = _timed(lambda: browser.get("/optional"))
        assert (answer.status, answer.json()["available"]) == (200, False)


@pytest.mark.parametrize("refusal", ["READONLY You can't write", "LOADING the data set"])
def test_22_what_may_have_happened_is_not_called_undone(
    new_app: NewApp, browse: Browse, refusal: str
) -> None:
    """A write that was sent and lost its answer is unknown, though its resend was refused."""
    with talking(breaking_then(f"-{refusal}\r\n".encode())) as port:
        app = new_app(f"redis://127.0.0.1:{port}", UNSTICKY_DEADLINE=_DEADLINE)
        browser = _with_a_cookie(browse, app)
        answer = _timed(lambda: browser.post("/add"))
        _assert_refused(browser, browser.cookie, answer)
        assert answer.json()["code"] == "outcome-unknown"


def test_22_a_request_that_spent_its_time_does_not_refuse_the_others(
    new_app: NewApp, relay: Relay, browse: Browse
) -> None:
    """Running out of one's own time on a store that answers is no reason to give the store up."""
    browser = browse(new_app(relay.url, UNSTICKY_DEADLINE=2.0))
    assert browser.post("/login", user="ann").status == 200
    relay.delay = 2.0 / 16  # of twenty trips, there and back, sixteen are too many
    assert browser.post("/many").status == 503
    relay.delay = 0.0
    assert browser.get("/me").status == 200


@pytest.fixture(name="other_valkey")
def _other_valkey() -> Iterator[Valkey]:
    server = Valkey(free_port())
    server.start()
    yield server
    server.dispose()


@pytest.fixture(name="switchboard")
def _switchboard(tcp_valkey: Valkey) -> Iterator[Relay]:
    """An address that leads to a store, and may lead to another one later."""
    switchboard = Relay(str(tcp_valkey.socket))
    yield switchboard
    switchboard.close()


@pytest.fixture(name="connected", params=["url", "client"])
def _connected(
    request: pytest.FixtureRequest, switchboard: Relay, new_app: NewApp
) -> Iterator[Flask]:
    """An application whose store is at the address, named by a URL or a client."""
    if request.param == "url":
        yield new_app(f"{switchboard.url}?health_check_interval=1")
        return
    connect: Any = _tracking
    client = redis.Redis(
        port=switchboard.port,
        health_check_interval=1,
        retry=Retry(ExponentialBackoff(cap=1, base=0.5), 10),
        redis_connect_func=connect,
    )
    yield new_app("client", SESSION_REDIS=client)
    client.close()


def _tracking(connection: Any) -> None:
    connection.on_connect()
    connection.send_command("CLIENT", "TRACKING", "ON", "BCAST")
    connection.read_response()


def _logged_in(browse: Browse, app: Flask, user: str) -> Browser:
    browser = browse(app)
    assert browser.post("/login", user=user).status == 200
    return browser


def test_22_failover_is_answered_as_declared(
    tcp_valkey: Valkey, other_valkey: Valkey, switchboard: Relay, connected: Flask, browse: Browse
) -> None:
    """While a primary is replaced: the declared status, no cookie cleared; then all is served."""
    browser = _logged_in(browse, connected, "ann")
    cookie = browser.cookie
    other_valkey.ask("REPLICAOF", "127.0.0.1", tcp_valkey.port)
    wait_until(lambda: other_valkey.keys("*") == tcp_valkey.keys("*"), "a full replica")
    try:
        other_valkey.ask("REPLICAOF", "NO", "ONE")
        tcp_valkey.ask("REPLICAOF", "127.0.0.1", other_valkey.port)
        _assert_refused(browser, cookie, _timed(lambda: browser.get("/me")))
        switchboard.target = str(other_valkey.socket)
        for _ in range(3):
            assert _timed(lambda: browser.get("/me")).json()["user"] == "ann"
            assert browser.post("/set", theme="dark").status == 200
    finally:
        tcp_valkey.ask("REPLICAOF", "NO", "ONE")


def test_22_a_visitor_never_gets_anothers_session(connected: Flask, browse: Browse) -> None:
    """What the server says unasked, such as its notices of changes, is never taken for a reply."""
    ann, bob = (_logged_in(browse, connected, user) for user in ("ann", "bob"))
    for _ in range(5):
        for browser, user in ((ann, "ann"), (bob, "bob")):
            assert browser.post("/set", theme=user).status == 200
            assert browser.get("/me").json()["user"] == user


def test_22_connections_that_died_silently_are_not_used(
    switchboard: Relay, connected: Flask, browse: Browse
) -> None:
    """A firewall that drops idle connections costs nobody a request."""
    browser = _logged_in(browse, connected, "ann")
    time.sleep(1.05)  # the health check's interval
    switchboard.go_silent()
    assert _timed(lambda: browser.get("/me")).json()["user"] == "ann"


def test_22_a_server_that_is_down_is_answered_at_once(
    switchboard: Relay, connected: Flask, browse: Browse
) -> None:
    """Whatever retries the application's own client is given, the worker is free again."""
    browser = _logged_in(browse, connected, "ann")
    threads = threading.active_count()
    switchboard.close()
    with at_most(_DEADLINE):
        for _ in range(4):
            _assert_refused(browser, browser.cookie, browser.get("/me"))
    assert threading.active_count() <= threads


def _with_a_cookie(browse: Browse, app: Flask) -> Browser:
    """Return a browser of `app` with a cookie that only the store could tell is unknown."""
    browser = browse(app)
    ring = app.extensions["unsticky"].state.ring
    browser.cookie = ring.sign(ring.mint(), 0)
    return browser
