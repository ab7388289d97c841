"""The load at a fixed rate asks as often as it says and counts what is lost; the relay delays."""

import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import redis
from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server

from loadtest.errors import LoadTestError
from loadtest.frameworks import arrivals, contract, peers, servers
from loadtest.frameworks.benchmarks import deploys
from loadtest.frameworks.benchmarks.testbed import filled_cart
from loadtest.frameworks.relay import relay
from loadtest.frameworks.servers import Running
from loadtest.processes import family

_RATE = 50
_SECONDS = 2


@pytest.fixture(name="carts")
def _carts(store: Running, folder: Path) -> Iterator[tuple[Running, int]]:
    """The carts over this library in two gevent workers, and the port of nginx before them."""
    (peer,) = peers.named(["unsticky-gevent"])
    with (
        peer.serve(2, store, folder) as app,
        servers.nginx({"carts": app}, folder) as (_, ports),
    ):
        yield app, ports["carts"]


@contextmanager
def _serving(app: Flask) -> Iterator[int]:
    """Run an application, and yield its port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(name="forgetful")
def _forgetful() -> Iterator[int]:
    """The port of carts that forget: after the first ones, a tenth of what is acknowledged."""
    app = Flask("forgetful")
    carts: dict[str, Counter[str]] = {}
    adds = itertools.count(1)
    lock = threading.Lock()

    @app.post(contract.ITEMS)
    def add() -> Response:
        name = request.cookies.get("cart") or str(uuid4())
        with lock:
            number = next(adds)
            if number % 10 or number <= deploys.CARTS * len(contract.SKUS):
                item = request.get_json()
                carts.setdefault(name, Counter())[item["sku"]] += item.get("qty", 1)
        answer = jsonify({})
        answer.set_cookie("cart", name)
        return answer

    @app.get(contract.CART)
    def show() -> dict[str, int]:
        return {"count": carts[request.cookies["cart"]].total()}

    with _serving(app) as port:
        yield port


@pytest.fixture(name="stalled")
def _stalled() -> Iterator[tuple[threading.Event, int]]:
    """What lets a server answer, and its port: until then, no request gets an answer."""
    app, may_answer = Flask("stalled"), threading.Event()

    @app.route("/<path:_>", methods=["GET", "POST"])
    def answer(_: str) -> dict[str, int]:
        may_answer.wait()
        return {}

    with _serving(app) as port:
        yield may_answer, port
        may_answer.set()


def test_requests_arrive_at_the_rate_and_are_answered(carts: tuple[Running, int]) -> None:
    """Their number is that of a Poisson process, and each has a latency and a lateness."""
    _, port = carts
    cookie = filled_cart(port).header()
    found = arrivals.arrived(port, [cookie], _RATE, _SECONDS, 1)
    # Five standard deviations.
    assert found.requests == pytest.approx(_RATE * _SECONDS, abs=5 * (_RATE * _SECONDS) ** 0.5)
    assert (found.failed, found.details) == (0, [])
    assert len(found.ms) == len(found.late_ms) == found.requests
    assert 0 < found.p(50) <= found.p(99)
    # A latency counts from the moment at which the request was to be sent.
    assert all(ms > late >= 0 for ms, late in zip(found.ms, found.late_ms, strict=True))
    assert 0 < found.acknowledged < found.requests


def test_what_still_waits_at_the_end_counts(stalled: tuple[threading.Event, int]) -> None:
    """Far more requests are due than a server that stalls has taken: all have a latency."""
    may_answer, port = stalled
    due = 4 * arrivals.CONNECTIONS
    with arrivals.arriving(port, ["cart=1"], due) as found:
        time.sleep(1)
        opening = threading.Timer(0.5, may_answer.set)
        opening.start()
    opening.join()
    assert found.failed == 0
    # Five standard deviations. A second of waiting can be longer on a busy machine.
    assert len(found.ms) == found.requests >= due - 5 * due**0.5 > 2 * arrivals.CONNECTIONS


def test_what_gets_no_connection_has_failed(
    stalled: tuple[threading.Event, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that never answers ends the load soon, and leaves no request out."""
    monkeypatch.setattr(arrivals, "_TIMEOUT", 0.5)
    due = 4 * arrivals.CONNECTIONS
    monkeypatch.setattr(arrivals, "_SHOWN", 2 * due)
    with arrivals.arriving(stalled[1], ["cart=1"], due) as found:
        time.sleep(1)
    assert found.failed == found.requests >= due - 5 * due**0.5
    assert {detail.partition(":")[0] for detail in found.details} >= {"not sent"}


def test_nothing_is_lost_if_nothing_is_done(carts: tuple[Running, int]) -> None:
    """Every addition is acknowledged and in the cart."""
    found = deploys.losses(carts[1], lambda: None)
    assert found.requests > 0
    assert (found.lost, found.details) == (0, [])


def test_what_a_kill_takes_along_is_lost(carts: tuple[Running, int]) -> None:
    """Additions that a worker had when it was killed have failed; the acknowledged are there."""
    app, port = carts

    def kill() -> None:
        workers = family(app.pid)[1:]
        for worker in workers:
            worker.suspend()
        # Until requests are on the connections that nginx keeps to them.
        time.sleep(0.5)
        for worker in workers:
            worker.kill()

    found = deploys.losses(port, kill)
    assert found.lost == found.failed >= 1
    assert found.details[0].startswith("POST /api/cart/items: 502")


def test_what_is_acknowledged_and_not_there_is_lost(forgetful: int) -> None:
    """Every tenth addition is answered with 200 and forgotten; none fails."""
    found = deploys.losses(forgetful, lambda: None)
    assert found.failed == 0
    assert found.lost == found.missing == pytest.approx(found.requests / 10, abs=1)


def test_a_deployment_has_the_parser_that_was_prepared(tmp_path: Path) -> None:
    """The stack's environment is looked at, and never that of the benchmark."""
    with pytest.raises(LoadTestError, match="no environment of its own"):
        deploys.require_parser(None, "Python")
    deploys.require_parser(tmp_path, "Python")
    with pytest.raises(LoadTestError, match="runs without gunicorn_h1c, and not with the C parser"):
        deploys.require_parser(tmp_path, "C")
    about = tmp_path / "lib" / "python3.11" / "site-packages" / "gunicorn_h1c-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: gunicorn_h1c\nVersion: 1.0\n")
    deploys.require_parser(tmp_path, "C")
    with pytest.raises(LoadTestError, match="runs with gunicorn_h1c, and not with the Python"):
        deploys.require_parser(tmp_path, "Python")


@pytest.mark.parametrize("milliseconds", [0, 5])
def test_a_round_trip_takes_the_delay(store: Running, folder: Path, milliseconds: int) -> None:
    """Commands through the relay have the store's answers, and each takes at least so long."""
    with relay(store, folder, milliseconds) as far, redis.Redis.from_url(far.database()) as client:
        for number in range(5):
            began = time.perf_counter()
            assert client.incr("count") == number + 1
            assert time.perf_counter() - began >= milliseconds / 1000
        assert client.set("large", b"x" * 3_000_000)
        assert client.get("large") == b"x" * 3_000_000


def test_the_relay_limits_nothing_but_time(store: Running, folder: Path) -> None:
    """Commands of forty connections wait at once, and an end is passed on."""
    with relay(store, folder, 5) as far, ExitStack() as stack:
        ends = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(40)]
        for end in ends:
            end.connect(str(far.socket))
            end.sendall(b"PING\r\n")
        assert {end.recv(100) for end in ends} == {b"+PONG\r\n"}
        ends[0].sendall(b"QUIT\r\n")
        assert (ends[0].recv(100), ends[0].recv(100)) == (b"+OK\r\n", b"")
        assert psutil.pid_exists(far.pid)
