"""A slow client costs nginx a connection, and never a worker."""

import contextlib
import socket
import time
from pathlib import Path

import psutil

from tests.stack.nginx.conftest import StartEdge
from tests.stack.nginx.replica import HUGE, LARGE, Script
from tests.support.http.client import ask
from tests.support.http.wire import read_answer, sent
from tests.support.stacks.nginx import Nginx
from tests.support.waiting import PATIENCE, wait_until

_HEAD = b"POST /slow HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10\r\n\r\n"


def test_replica_gets_complete_requests_only(edge: Nginx, script: Script) -> None:
    """A body that trickles in reaches a replica once it is whole; others are served meanwhile."""
    with sent(edge.port, _HEAD + b"01234") as slow:
        assert ask(edge.port, "GET", "/x").status == 200
        assert script.begun == ["/x"]
        slow.sendall(b"56789")
        assert read_answer(slow).status == 200
    assert [request.body for request in script.requests("/slow")] == [b"0123456789"]


def test_slow_reader_does_not_hold_a_replica(edge: Nginx, script: Script) -> None:
    """A replica hands over a large answer whole though its client reads nothing yet."""
    with sent(edge.port, b"GET /large HTTP/1.1\r\nHost: shop.test\r\n\r\n") as slow:
        assert script.handed_over.wait(PATIENCE)
        assert len(read_answer(slow).body) == LARGE


def test_slow_reader_gets_the_whole_answer(start_edge: StartEdge) -> None:
    """A reader may be slow: 6 KiB/s here, if all times are 40 times as long as in this test."""
    edge = start_edge({"send_timeout 60s": "send_timeout 1500ms"})
    with sent(edge.port, b"GET /large HTTP/1.1\r\nHost: shop.test\r\n\r\n") as slow:
        read, end = 0, time.monotonic() + 6
        while time.monotonic() < end:
            read += len(slow.recv(12 * 1024, socket.MSG_WAITALL))
            time.sleep(0.05)
        assert read < LARGE / 2
        while part := slow.recv(1024 * 1024):
            read += len(part)
            if read > LARGE:
                break
    assert read > LARGE


def test_long_answer_does_not_fill_the_temporary_folder(start_edge: StartEdge) -> None:
    """Of an answer that nobody reads, nginx keeps so much; then the replica waits. All arrives."""
    edge = start_edge({"proxy_max_temp_file_size 256m": "proxy_max_temp_file_size 16m"})
    with sent(edge.port, b"GET /huge HTTP/1.1\r\nHost: shop.test\r\n\r\n") as slow:
        wait_until(lambda: _largest_file(edge) > 15 * 1024 * 1024, "a file of 16 MiB")
        assert len(read_answer(slow).body) == HUGE
        assert _largest_file(edge) <= 16 * 1024 * 1024


def _largest_file(edge: Nginx) -> int:
    """Return the size of the largest file that nginx's workers have open, in bytes."""
    sizes = [0]
    for worker in psutil.Process(edge.process.pid).children():
        for path in Path(f"/proc/{worker.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
    return max(sizes)


def test_stalled_client_is_disconnected(start_edge: StartEdge, script: Script) -> None:
    """Half a header or half a body ends the connection after the time limit; no replica sees it."""
    edge = start_edge(
        {
            "client_header_timeout 5s": "client_header_timeout 300ms",
            "client_body_timeout 30s": "client_body_timeout 300ms",
        }
    )
    for part in (_HEAD[:30], _HEAD + b"01234"):
        with sent(edge.port, part) as slow, contextlib.suppress(ConnectionResetError):
            assert slow.recv(1) == b""
    assert not script.begun
