"""Where nginx and the shop meet: what nginx changes, refuses, or lets through to Gunicorn."""

import json

import pytest

from tests.support.http.client import ask
from tests.support.http.wire import exchange
from tests.support.stacks.local import Stack

_JSON = {"Content-Type": "application/json"}


def test_forwarding_headers_of_a_client_are_ignored(stack: Stack) -> None:
    """A client that claims TLS, another host or a prefix is served as what it is."""
    forged = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Ssl": "on",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Prefix": "/evil",
        "X-Request-ID": "f" * 32,
    }
    answer = ask(stack.port, "POST", "/api/cart/items", b'{"sku":"tea"}', _JSON | forged)
    assert answer.status == 200
    assert answer.request_id != "f" * 32
    assert "Secure" not in answer.headers["Set-Cookie"]


def test_host_is_another_name_of_this_machine(stack: Stack) -> None:
    """The origin that the check of other sites compares is the one that the browser sees."""
    named = {"Host": f"localhost:{stack.port}", "Origin": f"http://localhost:{stack.port}"}
    answer = ask(stack.port, "POST", "/api/cart/items", b'{"sku":"tea"}', _JSON | named)
    assert answer.status == 200


def test_request_without_host(stack: Stack) -> None:
    """HTTP/1.0 without a Host is a 400, but for a health check, as load balancers send it."""
    answer = exchange(stack.port, b"GET /api/products HTTP/1.0\r\n\r\n")
    assert (answer.status, answer.media_type) == (400, "application/problem+json")
    assert exchange(stack.port, b"GET /livez HTTP/1.0\r\n\r\n").status == 200


@pytest.mark.parametrize("line", ["8000", "cookie", "fields"])
def test_gunicorn_takes_what_nginx_lets_through(stack: Stack, line: str) -> None:
    """A long request line, a long cookie and many headers get the shop's answer, not HTML."""
    path, headers = "/livez", b""
    if line == "8000":
        path += "?" + "q" * 8000
    elif line == "cookie":
        headers = b"Cookie: other=" + b"c" * 8000 + b"\r\n"
    else:
        headers = b"".join(b"X-%d: 1\r\n" % number for number in range(78))
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + headers + b"\r\n"
    answer = exchange(stack.port, request)
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})
