"""What real applications need of nginx, before Gunicorn itself: each variable of a project."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from simple_websocket import Client as WebSocket

from tests.stack.nginx.conftest import StartEdge
from tests.support.http.client import ask
from tests.support.http.wire import Answer
from tests.support.needs import need
from tests.support.ports import free_port
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.stacks.nginx import Nginx
from tests.support.waiting import PATIENCE, wait_until

_HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
_TRUSTED = "set_real_ip_from 127.0.0.1; set_real_ip_from ::1; set_real_ip_from 10.0.0.0/8;"

StartProject = Callable[..., Nginx]


@pytest.fixture(name="server", scope="module", params=[("gthread", "app"), ("gevent", "plain")])
def _server(request: pytest.FixtureRequest, run_folder: Callable[[], Path]) -> Iterator[Gunicorn]:
    """An application with ProxyFix, and one without: no test sees a difference."""
    worker_class, name = request.param
    threads = {"THREADS": "4"} if worker_class == "gthread" else {}
    app = f"tests.stack.nginx.application:{name}"
    server = Gunicorn(run_folder(), app, WORKER_CLASS=worker_class, **threads)
    yield server.start("/where")
    server.stop()


@pytest.fixture(name="start", scope="module")
def _start(start_edge: StartEdge, server: Gunicorn) -> StartProject:
    """Start an nginx before Gunicorn."""

    def start(**variables: str) -> Nginx:
        servers = f"server unix:{server.socket} max_fails=0;"
        others = {"NGINX_UPSTREAM_SERVERS": servers, "NGINX_UPSTREAM_KEEPALIVE": "16"}
        return start_edge(**others | variables)

    return start


@pytest.mark.parametrize(
    ("prefix", "path", "url"),
    [
        ("", "/where", "http://shop.test/where"),
        ("/shop", "/shop/where", "http://shop.test/shop/where"),
        ("/a/b", "/a/b/where?q=%20", "http://shop.test/a/b/where"),
    ],
)
@pytest.mark.parametrize("host", ["shop.test", "other.test:8443"])
def test_links_have_the_prefix_and_the_host(
    start: StartProject, prefix: str, path: str, url: str, host: str
) -> None:
    """The application's links work under a prefix, and under each of several hosts."""
    answer = ask(start(NGINX_PREFIX=prefix).port, "GET", path, headers={"Host": host})
    assert answer.json()["url"] == url.replace("shop.test", host)


@pytest.mark.parametrize("path", ["/", "/where", "/shopper", "/shop/../where"])
def test_other_paths_than_the_prefix_are_not_found(start: StartProject, path: str) -> None:
    """What is outside of the prefix belongs to another application."""
    answer = ask(start(NGINX_PREFIX="/shop").port, "GET", path)
    assert (answer.status, answer.media_type) == (404, "application/problem+json")


def test_prefix_without_a_slash_is_completed(start: StartProject) -> None:
    """The prefix itself leads to its first page, by a relative redirect."""
    answer = ask(start(NGINX_PREFIX="/shop").port, "GET", "/shop?q=1")
    assert (answer.status, answer.headers["Location"]) == (301, "/shop/?q=1")


@pytest.mark.parametrize(
    ("trusted", "forwarded", "client", "scheme"),
    [
        (
            _TRUSTED,
            {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"},
            "203.0.113.9",
            "https",
        ),
        (
            _TRUSTED,
            {"X-Forwarded-For": "203.0.113.9, 10.1.2.3", "X-Forwarded-Proto": "http"},
            "203.0.113.9",
            "http",
        ),
        # What the client itself claims stands first, and counts for nothing.
        (
            _TRUSTED,
            {"X-Forwarded-For": "198.51.100.1, 2001:db8::1", "X-Forwarded-Proto": "ftp"},
            "2001:db8::1",
            "http",
        ),
        (_TRUSTED, {}, "127.0.0.1", "http"),
        (
            "set_real_ip_from 192.0.2.1;",
            {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"},
            "127.0.0.1",
            "http",
        ),
        ("", {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}, "127.0.0.1", "http"),
    ],
)
def test_proxies_in_front_are_believed_if_trusted(
    start: StartProject, trusted: str, forwarded: dict[str, str], client: str, scheme: str
) -> None:
    """Client and scheme come from a trusted proxy; in the log, too. The host is as it was sent."""
    edge = start(NGINX_TRUSTED_PROXIES=trusted)
    forged = {"Host": "shop.test", "X-Forwarded-Host": "evil.test", "X-Forwarded-Prefix": "/evil"}
    answer = ask(edge.port, "GET", "/where", headers=forged | forwarded)
    assert answer.json() == {"client": client, "url": f"{scheme}://shop.test/where"}
    assert edge.logged(answer.request_id)["client"] == client


def test_login_limit_is_for_the_client_behind_a_proxy(start: StartProject) -> None:
    """Clients behind a trusted proxy do not share a limit."""
    edge = start(
        NGINX_TRUSTED_PROXIES=_TRUSTED,
        NGINX_LOGIN_PATHS="/",
        NGINX_PREFIX="/shop",
        NGINX_LOGIN_RATE="1r/m",
        NGINX_LOGIN_BURST="1",
    )

    def log_in(address: str) -> int:
        return ask(edge.port, "POST", "/shop/", b"", {"X-Forwarded-For": address}).status

    assert [log_in("203.0.113.1") for _ in range(3)] == [200, 200, 429]
    assert log_in("203.0.113.2") == 200


@pytest.mark.parametrize("setting", ["on", "off"])
def test_text_is_compressed(start: StartProject, setting: str) -> None:
    """Text is sent compressed to clients that take it, unless it is switched off."""
    edge = start(NGINX_GZIP=setting)
    request = b"GET /page HTTP/1.1\r\nHost: shop.test\r\nAccept-Encoding: gzip\r\nVia: cdn\r\n"
    with socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE) as connection:
        connection.sendall(request + b"Connection: close\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert (b"Content-Encoding: gzip" in received) == (setting == "on")
    assert (len(received) < 1000) == (setting == "on")


def _browse(edge: Nginx, path: str, accept: str) -> Answer:
    return ask(edge.port, "TRACE", path, headers={"Accept": accept})


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (_HTML["Accept"], "text/html"),
        ("*/*", "application/problem+json"),
        ("application/json, text/html;q=0.5", "application/problem+json"),
    ],
)
def test_errors_are_pages_for_browsers(start: StartProject, accept: str, media_type: str) -> None:
    """A browser gets a page, and a client of an API a problem document, with the same id."""
    answer = _browse(start(), "/x", accept)
    assert (answer.status, answer.media_type) == (405, media_type)
    assert answer.request_id in answer.text
    assert "Method Not Allowed" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("size", [1_048_577, 20_000_000])
def test_body_limit_is_a_variable(start: StartProject, size: int) -> None:
    """A body over the limit is rejected, and the reason names the limit; a smaller one passes."""
    edge = start(NGINX_MAX_BODY_SIZE="1m")
    assert ask(edge.port, "POST", "/", bytes(1_048_576)).json() == {"size": 1_048_576}
    head = f"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {size}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536)
    assert b"HTTP/1.1 413 " in answer
    assert b"larger than 1m" in answer


def test_large_upload_arrives_whole(start: StartProject) -> None:
    """A body of 50 MB, above a limit that was raised for it, is passed on from the disk."""
    edge = start(NGINX_MAX_BODY_SIZE="64m")
    size = 50_000_000
    assert ask(edge.port, "POST", "/", bytes(size)).json() == {"size": size}


def test_large_download_arrives_whole(start: StartProject) -> None:
    """Of 200 MiB each byte arrives, though the client pauses longer than REQUEST_SECONDS."""
    size = 200 * 1024 * 1024
    request = f"GET /bytes/{size} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"
    port = start(NGINX_REQUEST_SECONDS="2").port
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(request.encode())
        time.sleep(3.5)
        received = sum(map(len, iter(lambda: connection.recv(1024 * 1024), b"")))
    assert size < received < size + 2000


@pytest.fixture(name="static", scope="module")
def _static(start: StartProject, run_folder: Callable[[], Path]) -> Nginx:
    folder = run_folder() / "of the project"
    folder.mkdir()
    for name in ("a.css", "app.3f9c01ab.js", "café.txt"):
        (folder / name).write_text(f"/* {name} */" * 200)
    (folder.parent / "secret").write_text("outside")
    (folder / "below").mkdir()
    return start(NGINX_STATIC_DIR=str(folder), NGINX_PREFIX="/shop")


@pytest.mark.parametrize(
    ("name", "media_type", "cache"),
    [
        ("a.css", "text/css", "no-cache"),
        ("caf%C3%A9.txt", "text/plain", "no-cache"),
        ("app.3f9c01ab.js", "text/javascript", "public, max-age=31536000, immutable"),
    ],
)
def test_static_files_come_from_nginx(
    static: Nginx, name: str, media_type: str, cache: str
) -> None:
    """Nginx sends the files with their type, and how long a client may keep them."""
    answer = ask(static.port, "GET", f"/shop/static/{name}")
    assert (answer.status, answer.media_type) == (200, media_type)
    assert (answer.headers["Cache-Control"], answer.headers["X-Content-Type-Options"]) == (
        cache,
        "nosniff",
    )
    assert static.logged(answer.request_id)["upstream"] == ""
    again = {"If-None-Match": answer.headers["ETag"]}
    assert ask(static.port, "GET", f"/shop/static/{name}", headers=again).status == 304


@pytest.mark.parametrize("name", ["missing.css", "below"])
def test_missing_static_files_come_from_the_application(static: Nginx, name: str) -> None:
    """What is not in the folder, such as a new release's file, a replica answers."""
    assert ask(static.port, "GET", f"/shop/static/{name}").text == f"the application's {name}"


@pytest.mark.parametrize("path", ["..%2Fsecret", "../secret", "%2e%2e/secret"])
def test_static_folder_cannot_be_left(static: Nginx, path: str) -> None:
    """No path reaches a file beside the folder."""
    answer = ask(static.port, "GET", f"/shop/static/{path}")
    assert answer.status in {400, 404}
    assert "outside" not in answer.text


def test_events_arrive_one_by_one(start: StartProject, server: Gunicorn) -> None:
    """Nginx passes a server-sent event on at once, also while it compresses text."""
    with socket.create_connection(("127.0.0.1", start().port), timeout=PATIENCE) as stream:
        stream.sendall(b"GET /events HTTP/1.1\r\nHost: shop.test\r\nAccept-Encoding: gzip\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += (part := stream.recv(65536))
            assert part, received
        assert b"second" not in received
        (server.folder / "go").touch()
        while b"second" not in received:
            received += (part := stream.recv(65536))
            assert part, received
    (server.folder / "go").unlink()


@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_websockets_pass(start: StartProject, prefix: str) -> None:
    """A WebSocket works both ways, and several at once; the application knows the client."""
    edge = start(NGINX_PREFIX=prefix)
    sockets = [WebSocket.connect(f"ws://127.0.0.1:{edge.port}{prefix}/echo") for _ in range(3)]
    for number, each in enumerate(sockets):
        each.send(f"message {number}")
        assert each.receive(PATIENCE) == f"127.0.0.1: message {number}"
    for each in sockets:
        each.close()
    assert ask(edge.port, "GET", f"{prefix}/where").status == 200


def test_no_other_protocol_is_switched_to(start_edge: StartEdge, script: Any) -> None:
    """Upgrades other than a WebSocket, such as h2c, reach no replica."""
    ask(start_edge().port, "GET", "/x", headers={"Upgrade": "h2c", "Connection": "Upgrade"})
    (request,) = script.requests("/x")
    assert "upgrade" not in request.headers
    assert request.headers["connection"] == "close"


def test_idle_websocket_ends_after_request_seconds(start: StartProject) -> None:
    """A WebSocket that is silent for REQUEST_SECONDS ends; one that says something does not."""
    edge = start(NGINX_REQUEST_SECONDS="3")
    quiet = WebSocket.connect(f"ws://127.0.0.1:{edge.port}/echo")
    lively = WebSocket.connect(f"ws://127.0.0.1:{edge.port}/echo")

    def outlives() -> bool:
        lively.send("still here")
        assert lively.receive(PATIENCE) == "127.0.0.1: still here"
        return not quiet.connected

    wait_until(outlives, "the end of the quiet one")
    outlives()
    lively.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_ipv6_is_listened_on(start: StartProject, host: str) -> None:
    """One listener takes both families; the application knows the client's address."""
    need(socket.has_dualstack_ipv6(), "this machine has no IPv6")
    port = free_port()
    start(NGINX_LISTEN=f"[::]:{port} ipv6only=off")
    with socket.create_connection((host, port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET /where HTTP/1.0\r\nHost: shop.test\r\n\r\n")
        body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")[2]
    assert json.loads(body)["client"] in {host, f"::ffff:{host}"}
