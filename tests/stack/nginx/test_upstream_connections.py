"""Connections between nginx and the replicas fit the worker class."""

from tests.stack.nginx.conftest import StartEdge
from tests.stack.nginx.replica import Script
from tests.support.http.client import ask


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
