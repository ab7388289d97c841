"""A stop over TCP, where a listener that closes would reset the connections in its queue."""

import signal
import socket
import threading

import psutil
import pytest

from tests.stack.gunicorn_conf.conftest import NewServer
from tests.support.ports import free_port
from tests.support.stacks.gunicorn import Gunicorn, finish
from tests.support.waiting import PATIENCE, wait_until

# Nobody here needs longer to connect (seconds); nginx gives a replica one.
_CONNECTING = 0.5


class TcpServer:
    """A server of two workers on a port."""

    def __init__(self, server: Gunicorn, port: int) -> None:
        self.server = server
        self._port = port
        server.run()
        wait_until(lambda: len(server.booted()) == 2 and self.connects(), "a server that listens")

    def connects(self) -> bool:
        """Whether a client gets through."""
        try:
            self.connect().close()
        except OSError:
            return False
        return True

    def send(self, path: str) -> socket.socket:
        """Send a request on a fresh connection."""
        return ask_on(self.connect(), path)

    def connect(self) -> socket.socket:
        """Open a connection.

        Raises:
            OSError: the client did not get through.
        """
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=_CONNECTING)
        connection.settimeout(PATIENCE)
        return connection


def ask_on(connection: socket.socket, path: str) -> socket.socket:
    """Send a request; finish() reads its answer."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


@pytest.fixture(name="tcp")
def _tcp(new_server: NewServer) -> TcpServer:
    port = free_port()
    return TcpServer(new_server(WORKERS="2", BIND=f"127.0.0.1:{port}"), port)


def test_stopping_server_refuses_new_connections(tcp: TcpServer) -> None:
    """From TERM on nobody connects, while all who had are answered: a proxy may go elsewhere."""
    requests = [tcp.send(path) for path in ("/hold/one", "/hold/two", *["/"] * 20)]
    wait_until(lambda: len([*tcp.server.folder.glob("*.held")]) == 2, "two requests in hand")
    tcp.server.signal(signal.SIGTERM)
    wait_until(lambda: not tcp.connects(), "a server that takes nobody in")
    assert len(tcp.server.workers()) == 2
    tcp.server.release("one")
    tcp.server.release("two")
    assert [finish(request).status for request in requests] == [200] * 22
    assert tcp.server.wait() == 0


def test_stop_under_load_loses_almost_nothing(tcp: TcpServer) -> None:
    """Clients that ask while the server stops are answered, or do not get through at all.

    But for one who connects in the microseconds between a look at the queue and its closing. Of 8
    clients without a pause, 0 were lost in 23 of 25 stops and 1 in two; with Gunicorn's own stop,
    4 in each.
    """
    lost: list[Exception] = []
    statuses: list[int] = []

    def client() -> None:
        while True:
            try:
                connection = tcp.connect()
            except OSError:
                return
            try:
                statuses.append(finish(ask_on(connection, "/")).status)
            except Exception as error:  # noqa: BLE001  (what was lost is what is asserted)
                lost.append(error)

    clients = [threading.Thread(target=client) for _ in range(8)]
    for thread in clients:
        thread.start()
    wait_until(lambda: len(statuses) > 200, "200 answers")
    tcp.server.signal(signal.SIGTERM)
    for thread in clients:
        thread.join()
    assert tcp.server.wait() == 0
    assert len(lost) <= 1, lost
    assert set(statuses) == {200}


def test_reload_keeps_listening(tcp: TcpServer) -> None:
    """A reload ends workers, too, and nobody is kept out."""
    old = tcp.server.workers()
    tcp.server.signal(signal.SIGHUP)
    wait_until(lambda: not old & tcp.server.workers(), "new workers alone")
    assert [finish(tcp.send("/")).status for _ in range(20)] == [200] * 20


def test_usr2_successor_keeps_listening(tcp: TcpServer) -> None:
    """After USR2 the old master's end leaves the listener, which is its successor's, as it was."""
    tcp.server.signal(signal.SIGUSR2)
    wait_until(lambda: len(tcp.server.booted()) == 4, "the successor's workers")
    successor = psutil.Process(tcp.server.booted()[-1]).parent()
    assert successor is not None
    try:
        tcp.server.signal(signal.SIGTERM)
        assert tcp.server.wait() == 0
        assert [finish(tcp.send("/")).status for _ in range(20)] == [200] * 20
    finally:
        # It is nobody's child by now, and would outlive the tests.
        successor.terminate()
    wait_until(lambda: not tcp.connects(), "the successor's end")
