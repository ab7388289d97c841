"""Errors that nginx makes are problem documents; those of the application are its own."""

import time

import pytest

from tests.stack.nginx.conftest import StartEdge
from tests.stack.nginx.replica import Script
from tests.support.http.client import ask
from tests.support.http.wire import Answer, exchange, expect_problem, read_answer, sent
from tests.support.stacks.nginx import Nginx
from tests.support.waiting import at_most, wait_until

_HOST = b"Host: shop.test\r\n"

REFUSED = {
    "a line that is not HTTP": (400, b"nonsense\r\n\r\n"),
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, b"GET / HTTP/1.1\r\n" + _HOST + _HOST + b"\r\n"),
    "an internal path": (404, b"GET /.problem HTTP/1.1\r\n" + _HOST + b"\r\n"),
    "TRACE": (405, b"TRACE / HTTP/1.1\r\n" + _HOST + b"\r\n"),
    "CONNECT": (405, b"CONNECT shop.test:1 HTTP/1.1\r\nHost: shop.test:1\r\n\r\n"),
    "a body announced as too large": (
        413,
        b"POST / HTTP/1.1\r\n" + _HOST + b"Content-Length: 65537\r\n\r\n",
    ),
    "a chunk that is too large": (
        413,
        b"POST / HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n20000\r\na",
    ),
    "a long request line": (414, b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\n" + _HOST + b"\r\n"),
    "a long header line": (
        431,
        b"GET / HTTP/1.1\r\n" + _HOST + b"Cookie: " + b"a" * 8192 + b"\r\n\r\n",
    ),
    "many header lines": (431, b"GET / HTTP/1.1\r\n" + _HOST + b"A: 1\r\n" * 81 + b"\r\n"),
    "an unknown transfer coding": (
        501,
        b"POST / HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: gzip\r\n\r\n",
    ),
    "a control character": (400, b"GET / HTTP/1.1\r\n" + _HOST + b"Referer: \x1b[2J\r\n\r\n"),
    "a control character of Unicode": (400, b"GET /\xc2\x9b2J HTTP/1.1\r\n" + _HOST + b"\r\n"),
    "another HTTP": (505, b"GET / HTTP/2.7\r\n" + _HOST + b"\r\n"),
}


def _assert_problem(answer: Answer, status: int) -> None:
    assert len(expect_problem(answer, status)["detail"]) > 20
    assert len(answer.request_id) == 32
    assert int(answer.headers["Content-Length"]) == len(answer.body)


@pytest.mark.parametrize(("status", "request_bytes"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals_are_problem_documents(
    edge: Nginx, script: Script, status: int, request_bytes: bytes
) -> None:
    """What nginx refuses is a problem document with its id and no cookie; no replica sees it."""
    answer = exchange(edge.port, request_bytes)
    _assert_problem(answer, status)
    assert "Set-Cookie" not in answer.headers
    assert not script.seen


def test_access_log_has_the_id_of_a_refusal(edge: Nginx, script: Script) -> None:
    """The access log has the id, the status and the request line of a refused request."""
    answer = exchange(edge.port, b"TRACE /x HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    entry = edge.logged(answer.request_id)
    assert (entry["status"], entry["request"]) == (405, "TRACE /x HTTP/1.1")
    assert not script.seen


def test_method_not_allowed_lists_the_allowed(edge: Nginx) -> None:
    """A 405 carries Allow, as RFC 9110 requires, and no Retry-After: repeating changes nothing."""
    answer = exchange(edge.port, b"TRACE / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    assert {"GET", "HEAD", "POST", "PUT", "DELETE"} <= set(answer.headers["Allow"].split(", "))
    assert "Retry-After" not in answer.headers


def test_the_largest_allowed_request_passes(edge: Nginx, script: Script) -> None:
    """A body of 64 KiB, a cookie of 4 KiB and a line of nearly 8 KiB reach a replica whole."""
    path = "/" + "a" * 8000
    cookie = "sid=" + "c" * 4096
    answer = ask(edge.port, "POST", path, bytes(65536), {"Cookie": cookie})
    assert answer.status == 200
    (request,) = script.requests(path)
    assert (len(request.body), request.headers["cookie"]) == (65536, cookie)


def test_no_living_replica_is_502(start_edge: StartEdge, script: Script) -> None:
    """When every replica dies over a GET, the client gets a 502 problem with Retry-After."""
    script.deaths = 2
    edge = start_edge()
    answer = ask(edge.port, "GET", "/x")
    _assert_problem(answer, 502)
    assert answer.headers["Retry-After"] == "1"
    assert len(script.requests("/x")) == 2


def test_silent_replica_is_504(start_edge: StartEdge, script: Script) -> None:
    """A replica that does not answer in time gives a 504 problem with Retry-After."""
    edge = start_edge({"proxy_read_timeout 30s": "proxy_read_timeout 200ms"})
    script.silent.set()
    answer = ask(edge.port, "POST", "/x", b"")
    script.resume.set()
    _assert_problem(answer, 504)
    assert answer.headers["Retry-After"] == "5"
    assert len(script.requests("/x")) == 1


def test_error_of_a_head_has_no_body(start_edge: StartEdge, script: Script) -> None:
    """The error of a HEAD has the problem's header and no body."""
    script.deaths = 2
    answer = exchange(
        start_edge().port, b"HEAD / HTTP/1.1\r\nHost: shop.test\r\n\r\n", method="HEAD"
    )
    assert (answer.status, answer.body) == (502, b"")
    assert answer.media_type == "application/problem+json"


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 422, 429, 500, 502, 503, 504])
def test_application_errors_pass_unchanged(edge: Nginx, script: Script, status: int) -> None:
    """An error that the application answered reaches the client word by word, asked once."""
    path = f"/answer/{status}"
    answer = ask(edge.port, "GET", path)
    assert (answer.status, answer.json()) == (status, {"title": "the application's own words"})
    assert len(script.requests(path)) == 1


@pytest.mark.parametrize("path", ["/login", "/api/login"])
def test_sign_in_attempts_are_limited(start_edge: StartEdge, script: Script, path: str) -> None:
    """Two logins are sent at once, the others of the burst wait for their turn, the rest get 429.

    Showing the form is not counted.
    """
    edge = start_edge(
        NGINX_LOGIN_RATE="1r/s", NGINX_LOGIN_BURST="3", NGINX_LOGIN_PATHS="/login|/api/login"
    )
    forms = {ask(edge.port, "GET", path).status for _ in range(5)}
    assert forms == {200}
    script.reset()
    login = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()
    begin = time.monotonic()
    # All at once: in a second, nginx lets one more through.
    connections = [sent(edge.port, login) for _ in range(6)]
    with at_most(1):
        wait_until(lambda: len(script.requests(path)) == 2, "two logins")
    answers = []
    for connection in connections:
        with connection:
            answers.append(read_answer(connection, "POST"))
    answers.sort(key=lambda answer: answer.status)
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 429, 429]
    assert time.monotonic() - begin > 1.9
    _assert_problem(answers[-1], 429)
    assert answers[-1].headers["Retry-After"] == "1"
    assert len(script.requests(path)) == 4
