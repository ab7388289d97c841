"""Who a client is, and how much one client may have at once."""

import re
import runpy
import select
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.stack.nginx.conftest import StartEdge
from tests.stack.nginx.replica import Script
from tests.support.http.client import ask
from tests.support.http.wire import expect_problem, sent
from tests.support.same_client import DIFFERENT, SAME
from tests.support.stacks.nginx import TEMPLATES, Nginx
from tests.support.waiting import wait_until

_BELIEVE = {"real_ip_header X-Forwarded-For": "real_ip_header X-Test-Address"}
_PROXY = "set_real_ip_from 127.0.0.1;"


def _hold(port: int, address: str) -> socket.socket:
    """Begin a request that stays open: it has a whole header and half a body."""
    head = f"POST /held HTTP/1.1\r\nHost: shop.test\r\nX-Test-Address: {address}\r\n"
    return sent(port, f"{head}Content-Length: 10\r\n\r\n01234".encode())


def _hold_alone(port: int, address: str) -> socket.socket:
    """Begin it as the one request that this client may have, once nginx allows it.

    nginx counts a request for a moment after its client has the answer, and refuses this one.
    """

    def begun() -> socket.socket | None:
        held = _hold(port, address)
        while not select.select([held], [], [], 0.2)[0]:
            if _status(port, address) == 429:
                return held
        held.close()
        return None

    return wait_until(begun, "the first is counted")


def _status(port: int, address: str) -> int:
    return ask(port, "GET", "/x", headers={"X-Test-Address": address}).status


@pytest.fixture(name="one_each", scope="module")
def _one_each(start_edge: StartEdge) -> Nginx:
    """An nginx that allows one request of each client, and believes what address it has."""
    return start_edge(
        {**_BELIEVE, "limit_conn clients 256": "limit_conn clients 1"}, NGINX_TRUSTED_PROXIES=_PROXY
    )


@pytest.mark.parametrize(("first", "second"), SAME)
def test_one_client_has_one_limit(one_each: Nginx, first: str, second: str) -> None:
    """Addresses of one client are limited together."""
    with _hold_alone(one_each.port, first):
        assert _status(one_each.port, second) == 429
    wait_until(lambda: _status(one_each.port, second) == 200, "the first is gone")


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_clients_do_not_limit_each_other(one_each: Nginx, first: str, second: str) -> None:
    """A client that has reached its limit leaves the others theirs."""
    with _hold_alone(one_each.port, first):
        assert _status(one_each.port, second) == 200
    wait_until(lambda: _status(one_each.port, first) == 200, "the first is gone")


def test_readme_has_the_same_rule(tmp_path: Path) -> None:
    """The function in README.md, which applications copy, finds the same clients."""
    readme = (TEMPLATES / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    (tmp_path / "readme.py").write_text(code, encoding="utf-8")
    client = runpy.run_path(str(tmp_path / "readme.py"))["client"]
    assert [pair for pair in SAME if client(pair[0]) != client(pair[1])] == []
    assert [pair for pair in DIFFERENT if client(pair[0]) == client(pair[1])] == []


def test_client_cannot_take_all_connections(start_edge: StartEdge, script: Script) -> None:
    """Of 400 half-sent bodies of one client 144 are rejected; another client is served."""
    edge = start_edge(_BELIEVE, NGINX_TRUSTED_PROXIES=_PROXY)
    with ExitStack() as held:
        connections = [held.enter_context(_hold(edge.port, "2001:db8::1")) for _ in range(400)]
        refused = wait_until(lambda: _answered(connections, 144), "144 answers")
        assert {connection.recv(13) for connection in refused} == {b"HTTP/1.1 429 "}
        answer = ask(edge.port, "GET", "/x", headers={"X-Test-Address": "2001:db8::2"})
        expect_problem(answer, 429)
        assert answer.headers["Retry-After"] == "1"
        assert _status(edge.port, "2001:db8:0:1::1") == 200
    assert script.begun == ["/x"]


def _answered(connections: list[socket.socket], number: int) -> list[socket.socket] | None:
    answered = []
    for connection in connections:
        connection.settimeout(0)
        try:
            connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            continue
        answered.append(connection)
    assert len(answered) <= number
    return answered if len(answered) == number else None
