"""A slow client costs nginx a connection, and never a worker."""

import contextlib
import socket

from tests.stack.nginx.conftest import StartEdge
from tests.stack.nginx.replica import LARGE, Script
from tests.support.client import ask
from tests.support.nginx import Nginx
from tests.support.wire import read_answer

_HEAD = b"POST /slow HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10\r\n\r\n"


def test_replica_gets_complete_requests_only(edge: Nginx, script: Script) -> None:
    """A body that trickles in reaches a replica once it is whole; others are served meanwhile."""
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as slow:
        slow.sendall(_HEAD + b"01234")
        assert ask(edge.port, "GET", "/x").status == 200
        assert script.begun == ["/x"]
        slow.sendall(b"56789")
        assert read_answer(slow).status == 200
    assert [request.body for request in script.requests("/slow")] == [b"0123456789"]


def test_slow_reader_does_not_hold_a_replica(edge: Nginx, script: Script) -> None:
    """A replica hands over a large answer whole though its client reads nothing yet."""
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as slow:
        slow.sendall(b"GET /large HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        assert script.handed_over.wait(10)
        assert len(read_answer(slow).body) == LARGE


def test_stalled_client_is_disconnected(start_edge: StartEdge, script: Script) -> None:
    """Half a header or half a body ends the connection after the time limit; no replica sees it."""
    edge = start_edge(
        {
            "client_header_timeout 10s": "client_header_timeout 300ms",
            "client_body_timeout 10s": "client_body_timeout 300ms",
        }
    )
    for part in (_HEAD[:30], _HEAD + b"01234"):
        with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as slow:
            slow.sendall(part)
            with contextlib.suppress(ConnectionResetError):
                assert slow.recv(1) == b""
    assert not script.begun
