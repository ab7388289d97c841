"""What a client claims about itself, and what a replica is told."""

import pytest

from tests.stack.nginx.conftest import StartEdge
from tests.stack.nginx.replica import Script, Seen
from tests.support.http.client import ask
from tests.support.http.wire import exchange
from tests.support.stacks.nginx import Nginx

_FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Ssl": "on",
    "X-Forwarded-Protocol": "ssl",
    "X-Real-IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9",
    "X-Request-ID": "f" * 32,
}


def _one(script: Script, path: str) -> Seen:
    (request,) = script.requests(path)
    return request


def test_forged_forwarding_headers_are_replaced(edge: Nginx, script: Script) -> None:
    """A client cannot choose the address, scheme, host or prefix that the application believes."""
    ask(edge.port, "GET", "/x", headers={"Host": "shop.test", **_FORGED})
    headers = _one(script, "/x").headers
    forwarding = {
        name: value for name, value in headers.items() if name.startswith(("x-forwarded", "x-real"))
    }
    assert forwarding == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "shop.test",
    }
    assert "forwarded" not in headers


def test_the_trace_of_a_caller_arrives(edge: Nginx, script: Script) -> None:
    """What names a span of the caller is passed on; nginx makes no spans."""
    sent = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=1"}
    ask(edge.port, "GET", "/x", headers=sent)
    assert sent.items() <= _one(script, "/x").headers.items()


def test_headers_with_underscores_are_dropped(edge: Nginx, script: Script) -> None:
    """A header that WSGI would take for a forwarding header never reaches the application."""
    ask(edge.port, "GET", "/x", headers={"X_Forwarded_For": "203.0.113.9", "Script_Name": "/evil"})
    assert not {"x_forwarded_for", "script_name"} & _one(script, "/x").headers.keys()


def test_clients_cannot_choose_the_request_id(edge: Nginx, script: Script) -> None:
    """One fresh id names a request to replica, client and log; an id that was sent does not."""
    answers = [ask(edge.port, "GET", "/x", headers=_FORGED) for _ in range(2)]
    ids = [answer.request_id for answer in answers]
    assert ids == [request.headers["x-request-id"] for request in script.requests("/x")]
    assert len({*ids, "f" * 32}) == 3
    assert edge.logged(ids[0])["status"] == 200


@pytest.mark.parametrize("host", ["shop.test", "shop.test:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_host_and_port_reach_the_application(edge: Nginx, script: Script, host: str) -> None:
    """The application sees the host with the port that the client used, to compare Origin with."""
    ask(edge.port, "GET", "/x", headers={"Host": host})
    headers = _one(script, "/x").headers
    assert (headers["host"], headers["x-forwarded-host"]) == (host, host)


@pytest.mark.parametrize(
    ("host", "arrives"),
    [
        (b"", "_"),
        (b"Host: 10.1.2.3:8080\r\n", "10.1.2.3:8080"),
        (b"Host: [fe80::1]\r\n", "[fe80::1]"),
    ],
)
def test_probe_without_host_reaches_the_application(
    edge: Nginx, script: Script, host: bytes, arrives: str
) -> None:
    """A load balancer's probe, with an address as its host or none by HTTP/1.0, is passed on."""
    version = b"1.1" if host else b"1.0"
    answer = exchange(edge.port, b"GET /livez HTTP/" + version + b"\r\n" + host + b"\r\n")
    assert answer.status == 200
    assert _one(script, "/livez").headers["host"] == arrives


def test_host_of_the_request_line_wins(edge: Nginx, script: Script) -> None:
    """With a whole URL in the request line its host counts, not the Host header's (RFC 9112)."""
    exchange(edge.port, b"GET http://shop.test:8080/x HTTP/1.1\r\nHost: evil.test\r\n\r\n")
    headers = _one(script, "/x").headers
    assert (headers["host"], headers["x-forwarded-host"]) == ("shop.test:8080", "shop.test:8080")


def test_paths_arrive_as_they_were_sent(edge: Nginx, script: Script) -> None:
    """Escapes, double slashes and queries are the application's to judge."""
    path = "/a%2Fb//c/%C3%A9?q=1&q=%20"
    ask(edge.port, "GET", path)
    assert _one(script, path).method == "GET"


def test_nginx_does_not_tell_its_version(edge: Nginx) -> None:
    """Neither an answer nor an error names nginx's version."""
    for path in ("/x", "/.problem"):
        assert ask(edge.port, "GET", path).headers["Server"] == "nginx"


def test_a_header_cannot_forge_a_log_line(edge: Nginx) -> None:
    """Quotes and control characters in a header stay inside one field of one log line."""
    agent = 'x","status":200,"forged":"1\\'
    answer = ask(edge.port, "GET", "/x", headers={"User-Agent": agent})
    entry = edge.logged(answer.request_id)
    assert (entry["user_agent"], "forged" in entry) == (agent, False)


@pytest.mark.parametrize("agent", [b"\x1b[2J", b"\xc2\x9b2J", b"\x9b2J", b"\x7f", b"caf\xc3\xa9"])
def test_log_has_printable_ascii_only(edge: Nginx, agent: bytes) -> None:
    """What could move a terminal's cursor, or is no valid JSON, is not in the log."""
    lines = (b"GET /caf\xc3\xa9 HTTP/1.1", b"Host: shop.test", b"User-Agent: " + agent, b"", b"")
    answer = exchange(edge.port, b"\r\n".join(lines))
    assert answer.status == 200
    entry = edge.logged(answer.request_id)
    assert entry["request"] == "GET (not printable ASCII)"
    assert entry["user_agent"] == "(not printable ASCII)"


def test_log_of_a_rejected_host_has_printable_ascii_only(edge: Nginx) -> None:
    """A Host that nginx rejects cannot move the cursor, either."""
    answer = exchange(edge.port, b"GET / HTTP/1.1\r\nHost: \xc2\x9b2J\r\n\r\n")
    assert edge.logged(answer.request_id)["host"] == "(not printable ASCII)"


def test_error_log_has_no_control_characters(start_edge: StartEdge) -> None:
    """A rejected login is in the error log with its Referer, unless that has control characters."""
    edge = start_edge(NGINX_LOGIN_RATE="1r/m", NGINX_LOGIN_BURST="1", NGINX_LOGIN_PATHS="/login")
    head = b"POST /login HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\nReferer: "
    statuses = [
        exchange(edge.port, head + referer + b"\r\n\r\n").status
        for referer in (b"/a", b"/b", b"/c", b"\x1b[2J", b"\xc2\x9b2J", b"\x7f")
    ]
    assert statuses == [200, 200, 429, 400, 400, 400]
    logged = (edge.run / "error.log").read_bytes()
    assert b'referrer: "/c"' in logged
    assert b"2J" not in logged


def test_access_log_names_replica_and_times(edge: Nginx, script: Script) -> None:
    """An access log entry names client, request, status, replica and the times it took."""
    answer = ask(edge.port, "GET", "/x?q=1", headers={"Host": "shop.test:8080"})
    entry = edge.logged(answer.request_id)
    replica = _one(script, "/x?q=1").replica
    assert entry["client"] == "127.0.0.1"
    assert entry["request"] == "GET /x?q=1 HTTP/1.1"
    assert entry["host"] == "shop.test:8080"
    assert (entry["status"], entry["upstream_status"]) == (200, "200")
    assert entry["upstream"].endswith(f"/{replica}.sock")
    assert entry["bytes_sent"] > len(answer.body)
    assert 0 <= float(entry["upstream_response_time"]) <= entry["request_time"] + 0.002
