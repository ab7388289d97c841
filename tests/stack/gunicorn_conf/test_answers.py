"""How workers send an answer, and close its connection: nothing is late, nothing is cut."""

import socket

import pytest

from tests.stack.gunicorn_conf.conftest import NewServer
from tests.support.http.wire import read_answer
from tests.support.ports import free_port
from tests.support.stacks.gunicorn import Gunicorn, finish
from tests.support.waiting import at_most, wait_until

LINGER = 2.0
"""How long Gunicorn's own workers wait for a client that does not close (seconds)."""


CLOSE = "Connection: close"


@pytest.fixture(name="server", params=["sync", "sync-tcp", "gthread", "gevent"])
def _server(request: pytest.FixtureRequest, new_server: NewServer) -> Gunicorn:
    """One worker of each class, and one over TCP."""
    return _started(new_server, *request.param.split("-"))


@pytest.fixture(name="closing", params=["sync", "sync-tcp"])
def _closing(request: pytest.FixtureRequest, new_server: NewServer) -> Gunicorn:
    """One worker of ours, which closes each connection."""
    return _started(new_server, *request.param.split("-"))


def _started(new_server: NewServer, worker_class: str, over: str = "unix") -> Gunicorn:
    server = new_server(
        app="tests.stack.gunicorn_conf.answering:app",
        WORKERS="1",
        WORKER_CLASS=worker_class,
        **({"BIND": f"127.0.0.1:{free_port()}"} if over == "tcp" else {}),
    )
    return server.start()


def test_a_head_and_its_body_come_together(server: Gunicorn) -> None:
    """One read has both, so that a proxy wakes once."""
    for _ in range(20):
        with server.send("/path", CLOSE) as connection:
            assert connection.recv(65_536).endswith(b"\r\n\r\n/path")
            assert connection.recv(1) == b""


@pytest.mark.parametrize("status", [200, 204, 304, 404])
def test_an_answer_without_a_body_is_not_kept(server: Gunicorn, status: int) -> None:
    """It is there before the work that the application does after it has ended."""
    with server.send(f"/status/{status}?work", CLOSE) as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 %d " % status)
        wait_until((server.folder / "work.held").exists, "work after the answer")
        server.release("work")
        assert connection.recv(1) == b""


def test_an_answer_to_head_has_its_length(server: Gunicorn) -> None:
    """And no body."""
    with server.connect() as connection:
        connection.sendall(b"HEAD /path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = connection.recv(65_536)
        assert b"\r\nContent-Length: 5\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")
        assert connection.recv(1) == b""


def test_the_head_of_a_stream_is_not_kept(server: Gunicorn) -> None:
    """A browser learns that its stream has begun before there is anything in it."""
    with server.send("/stream/one", CLOSE) as connection:
        assert b"\r\nTransfer-Encoding: chunked\r\n" in connection.recv(65_536)
        wait_until((server.folder / "one.held").exists, "a stream that waits")
        server.release("one")
        assert connection.recv(65_536).startswith(b"5\r\nlater\r\n")


def test_a_file_follows_its_head(server: Gunicorn) -> None:
    """The kernel sends it, behind what was kept."""
    answer = server.get("/file", CLOSE)
    assert answer.status == 200
    assert answer.body.startswith(b'"""A small application')


def test_a_malformed_request_is_answered(server: Gunicorn) -> None:
    """Gunicorn's own errors go the same way."""
    with server.connect() as connection:
        connection.sendall(b"GET\r\n\r\n")
        assert read_answer(connection).status == 400


@pytest.mark.parametrize("path", ["/path", "/part"])
def test_a_client_that_stays_holds_no_worker(closing: Gunicorn, path: str) -> None:
    """Who keeps a connection open after the answer delays nobody."""
    staying = []
    with at_most(5 * LINGER):
        for _ in range(10):
            connection = closing.send(path)
            while connection.recv(65_536):
                pass
            staying.append(connection)
    for connection in staying:
        connection.close()


def test_a_body_that_nobody_reads_costs_no_answer(closing: Gunicorn) -> None:
    """The application answers at once; a client that is still sending gets all of the answer."""
    for _ in range(10):
        with closing.connect() as connection:
            connection.sendall(
                b"POST /part HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n"
            )
            connection.sendall(b"x" * 60_000)
            assert len(read_answer(connection).body) == 100_000


def test_a_second_request_costs_no_answer(closing: Gunicorn) -> None:
    """Over TCP, closing with unread data would reset the connection; the first answer is whole."""
    for _ in range(10):
        with closing.connect() as connection:
            request = b"GET /part HTTP/1.1\r\nHost: localhost\r\n\r\n"
            connection.sendall(request + request * 500)
            assert len(read_answer(connection).body) == 100_000


def test_a_client_that_is_gone_harms_nobody(server: Gunicorn) -> None:
    """The worker goes on, and its log has no exception."""
    for _ in range(10):
        connection = server.send("/part")
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
    assert finish(server.send("/")).status == 200
    assert not [entry for entry in server.errors() if "exception" in entry]
