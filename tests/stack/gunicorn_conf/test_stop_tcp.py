"""A stop over TCP, where a listener that closes would reset the connections in its queue."""

import signal

import psutil
import pytest

from tests.stack.gunicorn_conf.conftest import NewServer
from tests.support.ports import free_port
from tests.support.stacks.gunicorn import Gunicorn, finish
from tests.support.waiting import wait_until


@pytest.fixture(name="tcp")
def _tcp(new_server: NewServer) -> Gunicorn:
    """A server of two workers on a port."""
    return new_server(WORKERS="2", BIND=f"127.0.0.1:{free_port()}").start()


def test_stopping_server_refuses_new_connections(tcp: Gunicorn) -> None:
    """From TERM on nobody connects, while all who had are answered: a proxy may go elsewhere."""
    requests = [tcp.send(path) for path in ("/hold/one", "/hold/two", *["/"] * 20)]
    wait_until(lambda: len([*tcp.folder.glob("*.held")]) == 2, "two requests in hand")
    tcp.signal(signal.SIGTERM)
    wait_until(lambda: not tcp.connects(), "a server that takes nobody in")
    assert len(tcp.workers()) == 2
    tcp.release("one")
    tcp.release("two")
    assert [finish(request).status for request in requests] == [200] * 22
    assert tcp.wait() == 0


def test_stop_under_load_loses_almost_nothing(new_server: NewServer) -> None:
    """Clients that ask while the server stops are answered, or do not get through at all.

    But for one who connects in the microseconds between a look at the queue and its closing. Of 8
    clients without a pause, 0 were lost in 23 of 25 stops and 1 in two; with Gunicorn's own stop,
    4 in each. A busy machine may stop a worker between the two, hence several stops.
    """

    def lost() -> int:
        tcp = new_server(WORKERS="2", BIND=f"127.0.0.1:{free_port()}").start()
        with tcp.asked_by(8) as asked:
            wait_until(lambda: len(asked.statuses) > 200, "200 answers")
            tcp.signal(signal.SIGTERM)
            assert tcp.wait() == 0
            wait_until(lambda: asked.refused == 8, "clients that do not get through")
        assert set(asked.statuses) == {200}
        return len(asked.lost)

    assert any(lost() <= 1 for _ in range(3))


def test_reload_keeps_listening(tcp: Gunicorn) -> None:
    """A reload ends workers, too, and nobody is kept out."""
    old = tcp.workers()
    tcp.signal(signal.SIGHUP)
    wait_until(lambda: not old & tcp.workers(), "new workers alone")
    assert [finish(tcp.send("/")).status for _ in range(20)] == [200] * 20


def test_usr2_successor_keeps_listening(tcp: Gunicorn) -> None:
    """After USR2 the old master's end leaves the listener, which is its successor's, as it was."""
    tcp.signal(signal.SIGUSR2)
    wait_until(lambda: len(tcp.booted()) == 4, "the successor's workers")
    successor = psutil.Process(tcp.booted()[-1]).parent()
    assert successor is not None
    try:
        tcp.signal(signal.SIGTERM)
        assert tcp.wait() == 0
        assert [finish(tcp.send("/")).status for _ in range(20)] == [200] * 20
    finally:
        # It is nobody's child by now, and would outlive the tests.
        successor.terminate()
    wait_until(lambda: not tcp.connects(), "the successor's end")
