"""What nginx sends to which replica, by how many connections, and what to a second one."""

import pytest

from tests.stack.nginx.conftest import StartEdge
from tests.stack.nginx.replica import Replica, Script
from tests.support.http.client import ask
from tests.support.http.wire import read_answer, sent
from tests.support.waiting import wait_until


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_repeatable_methods_are_retried(start_edge: StartEdge, script: Script, method: str) -> None:
    """A method that may be repeated is answered by the second replica, under the same id."""
    script.deaths = 1
    edge = start_edge()
    answer = ask(edge.port, method, "/x")
    first, second = script.requests("/x")
    assert answer.status == 200
    assert first.replica != second.replica
    assert first.headers["x-request-id"] == second.headers["x-request-id"] == answer.request_id
    entry = edge.logged(answer.request_id)
    assert entry["upstream_status"] == "502, 200"
    assert entry["upstream"].count(".sock") == 2


def test_sent_post_is_not_retried(start_edge: StartEdge, script: Script) -> None:
    """A POST that a replica may have carried out is a 502, even with an idle replica beside it."""
    script.deaths = 1
    answer = ask(start_edge().port, "POST", "/x", b"{}")
    assert answer.status == 502
    assert len(script.requests("/x")) == 1


def test_unsent_post_is_retried(
    start_edge: StartEdge, replicas: list[Replica], script: Script
) -> None:
    """A POST whose replica cannot be reached goes to the other, whichever is the one gone."""
    for gone in replicas:
        servers = "\n".join(
            f"server unix:{replica.socket_path}{'.gone' if replica is gone else ''} max_fails=0;"
            for replica in replicas
        )
        edge = start_edge(NGINX_UPSTREAM_SERVERS=servers)
        script.reset()
        assert {ask(edge.port, "POST", "/x", b"").status for _ in range(4)} == {200}
        assert {request.replica for request in script.requests("/x")} == {
            replica.name for replica in replicas if replica is not gone
        }


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unsent_request_gets_a_second_round(start_edge: StartEdge, method: str) -> None:
    """If nginx could send a request to no replica, it begins again with the list as it is then."""
    servers = "server unix:/nowhere-1.sock max_fails=0; server unix:/nowhere-2.sock max_fails=0;"
    edge = start_edge(NGINX_UPSTREAM_SERVERS=servers)
    answer = ask(edge.port, method, "/x", b"")
    assert (answer.status, answer.media_type) == (502, "application/problem+json")
    assert edge.logged(answer.request_id)["upstream_status"] == "502, 502 : 502, 502"


def test_deadly_request_takes_no_replica_out(start_edge: StartEdge, script: Script) -> None:
    """After a request that killed a worker of each replica, the next ones are answered."""
    edge = start_edge()
    for _ in range(5):
        script.deaths = 2
        assert ask(edge.port, "GET", "/deadly").status == 502
        assert [ask(edge.port, "POST", "/x", b"").status for _ in range(4)] == [200] * 4


def test_request_is_tried_on_two_replicas_at_most(
    start_edge: StartEdge, replicas: list[Replica], script: Script
) -> None:
    """A request that ends every replica it meets is tried twice, however many there are."""
    servers = "\n".join(f"server unix:{replica.socket_path};" for replica in replicas * 2)
    script.deaths = 4
    answer = ask(start_edge(NGINX_UPSTREAM_SERVERS=servers).port, "GET", "/x")
    assert answer.status == 502
    assert len(script.requests("/x")) == 2


def test_equal_replicas_take_turns(start_edge: StartEdge, script: Script) -> None:
    """One client's requests, one after the other, alternate between the replicas."""
    edge = start_edge()
    for _ in range(20):
        ask(edge.port, "GET", "/x")
    served = [request.replica for request in script.requests("/x")]
    assert served in (["one", "two"] * 10, ["two", "one"] * 10)


def test_busy_replica_gets_no_new_requests(start_edge: StartEdge, script: Script) -> None:
    """While one replica holds requests that hang, new ones go to the other."""
    edge = start_edge()
    script.silent.set()
    with sent(edge.port, b"GET /hangs HTTP/1.1\r\nHost: shop.test\r\n\r\n") as hanging:
        wait_until(lambda: script.requests("/hangs"), "a replica with the request")
        script.silent.clear()
        assert {ask(edge.port, "GET", "/x").status for _ in range(10)} == {200}
        (busy,) = script.requests("/hangs")
        script.resume.set()
        # nginx asks the other replica, too: not in the midst of the next test.
        assert read_answer(hanging).status == 200
    assert busy.replica not in {request.replica for request in script.requests("/x")}


def test_sync_workers_get_a_connection_each(start_edge: StartEdge, script: Script) -> None:
    """With 0 kept connections every request has one of its own, and says that it will close."""
    edge = start_edge(NGINX_UPSTREAM_KEEPALIVE="0")
    for _ in range(6):
        ask(edge.port, "GET", "/x")
    requests = script.requests("/x")
    assert len({request.connection for request in requests}) == 6
    assert {request.headers["connection"] for request in requests} == {"close"}


def test_threaded_workers_keep_connections(start_edge: StartEdge, script: Script) -> None:
    """With kept connections each replica sees one, used again, without a Connection header."""
    edge = start_edge(NGINX_UPSTREAM_KEEPALIVE="16", NGINX_WORKER_PROCESSES="1")
    for _ in range(6):
        ask(edge.port, "GET", "/x")
    requests = script.requests("/x")
    assert len({request.connection for request in requests}) == 2
    assert not any("connection" in request.headers for request in requests)
