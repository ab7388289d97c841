"""How workers send an answer, and close its connection: nothing is late, nothing is cut."""

import socket
import ssl
from pathlib import Path

import pytest

from tests.stack.gunicorn_conf.conftest import NewServer
from tests.support.http.wire import read_answer
from tests.support.ports import free_port
from tests.support.stacks.gunicorn import Gunicorn, finish
from tests.support.stacks.nginx import make_certificate
from tests.support.waiting import at_most, wait_until

LINGER = 2.0
"""How long Gunicorn's own workers wait for a client that does not close (seconds)."""


CLOSE = "Connection: close"
_APP = "tests.stack.gunicorn_conf.answering:app"


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
        app=_APP,
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
def test_an_answer_without_a_body_comes_at_once(server: Gunicorn, status: int) -> None:
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


def test_the_head_of_a_stream_comes_at_once(server: Gunicorn) -> None:
    """A browser learns that its stream has begun before there is anything in it."""
    with server.send("/stream/one", CLOSE) as connection:
        assert b"\r\nTransfer-Encoding: chunked\r\n" in connection.recv(65_536)
        wait_until((server.folder / "one.held").exists, "a stream that waits")
        server.release("one")
        assert connection.recv(65_536).startswith(b"5\r\nlater\r\n")


def test_a_file_follows_its_head(server: Gunicorn) -> None:
    """The kernel sends it."""
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


@pytest.mark.parametrize("worker_class", ["gthread", "gevent"])
def test_an_answer_without_a_status_is_an_error(new_server: NewServer, worker_class: str) -> None:
    """The application started no answer: its head cannot be made, and that is a 500."""
    server = _started(new_server, worker_class)
    for _ in range(3):
        assert server.get("/silent").status == 500


def test_a_body_of_text_is_cut_as_before(server: Gunicorn) -> None:
    """Its head has been sent when Gunicorn sees that it is no bytes; nothing follows it."""
    with server.send("/text", CLOSE) as connection:
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"\r\n\r\n")


def test_a_process_of_a_view_does_not_hold_the_connection(closing: Gunicorn) -> None:
    """A client that reads to the end does not wait for what the view has started."""
    with closing.send("/fork/one") as connection:
        assert connection.recv(65_536).endswith(b"/fork/one")
        assert connection.recv(1) == b""
    wait_until((closing.folder / "one.held").exists, "a process that is held")
    closing.release("one")


def test_answers_over_tls(new_server: NewServer, tmp_path: Path) -> None:
    """Gunicorn itself may end TLS, which it is seldom asked to do."""
    port = free_port()
    folder = make_certificate(tmp_path)
    options = [f"--certfile={folder}/fullchain.pem", f"--keyfile={folder}/privkey.pem"]
    server = new_server(*options, app=_APP, WORKERS="1", BIND=f"127.0.0.1:{port}").run()
    wait_until(server.connects, "a listener")
    context = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
    for _ in range(3):
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(b"GET /path HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_answer(connection).body == b"/path"
    # The log's entry follows the answer.
    wait_until(lambda: len(server.accesses()) >= 3, "three entries in the access log")
    assert [entry["status"] for entry in server.accesses()] == [200] * 3
    assert not [entry for entry in server.errors() if "exception" in entry]
