"""Slow clients and large bodies, in containers with their default limits.

A client on a line of 128 kbit/s takes 6.5 minutes for 6 MB. Here nginx's times are 40 times as
short, and the line is as much faster; with FASTER=1 all is as in production.
"""

import contextlib
import hashlib
import http.client
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.containers.standalone import Project
from tests.support.http.wire import sent
from tests.support.stacks.containers import docker, require_engine

_FASTER = int(os.environ.get("FASTER", "40"))
_MB = 1_000_000
_LINE = 128_000 / 8 * _FASTER
"""Bytes each second."""
# GET /6 is answered with 6 MB, and a POST with the digest of its body, which it keeps in a file.
_APPLICATION = """
import hashlib, tempfile

def app(environ, start_response):
    body = environ["wsgi.input"]
    if environ["REQUEST_METHOD"] == "POST":
        with tempfile.TemporaryFile() as file:
            while part := body.read(65536):
                file.write(part)
            file.seek(0)
            text = hashlib.file_digest(file, "sha256").hexdigest().encode()
        start_response("200 OK", [("Content-Length", str(len(text)))])
        return [text]
    count = int(environ["PATH_INFO"][1:] or 0)
    start_response("200 OK", [("Content-Length", str(count * 1_000_000))])
    return (b"x" * 1_000_000 for _ in range(count))
"""


@pytest.fixture(name="project", scope="module")
def _project(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    require_engine()
    project = Project(tmp_path_factory.mktemp("p"), checkout)
    blog = project.folder / "blog"
    (blog / "app.py").write_text(_APPLICATION, encoding="utf-8")
    template = blog / "deploy" / "nginx" / "client.conf.template"
    text, count = re.subn(
        r"^((?:client_header|client_body|send)_timeout) (\d+)s;",
        lambda found: f"{found[1]} {int(found[2]) * 1000 // _FASTER}ms;",
        template.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    assert count == 3
    template.write_text(text, encoding="utf-8")
    try:
        status, printed = project.deploy(NGINX_MAX_BODY_SIZE="64m")
        assert status == 0, printed
        yield project
    finally:
        project.dispose()


@pytest.fixture(name="nginx")
def _nginx(project: Project) -> str:
    """The container's name, whose own address is used: the engine's proxy would read fast."""
    return f"{project.name}-nginx-1"


@pytest.fixture(name="slow")
def _slow(nginx: str) -> Iterator[socket.socket]:
    """A connection whose end keeps little that its client has not read."""
    networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.settimeout(120)
        client.connect((docker("inspect", f"--format={networks}", nginx), 8080))
        yield client


def test_slow_line_gets_the_whole_answer(slow: socket.socket) -> None:
    """6 MB over 128 kbit/s; at no time does nginx give up."""
    slow.sendall(b"GET /6 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    read, began = 0, time.monotonic()
    while read < 6 * _MB:
        part = slow.recv(4096)
        assert part, f"cut off after {read} bytes"
        read += len(part)
        time.sleep(max(0, began + read / _LINE - time.monotonic()))
    assert time.monotonic() - began > 5 * _MB / _LINE


def test_client_that_does_not_read_is_cut_off(slow: socket.socket) -> None:
    """A client that reads nothing for a minute, once nginx has it all, does not get the rest."""
    slow.sendall(b"GET /200 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(60 / _FASTER + 20)
    read = 0
    with contextlib.suppress(ConnectionResetError):
        while part := slow.recv(_MB):
            read += len(part)
    assert read < 10 * _MB


def test_client_that_does_not_send_is_cut_off(project: Project) -> None:
    """Half a header and half a body end the connection."""
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
    for part, seconds in ((head[:30], 5), (head + b"01234", 30)):
        began = time.monotonic()
        with sent(project.port, part) as slow, contextlib.suppress(ConnectionResetError):
            slow.settimeout(120)
            assert slow.recv(1) == b""
        assert time.monotonic() - began < seconds / _FASTER + 5


def test_large_download_arrives_whole(project: Project) -> None:
    """200 MB, and no container is ended because it has too little memory."""
    connection = http.client.HTTPConnection("127.0.0.1", project.port, timeout=120)
    with contextlib.closing(connection):
        connection.request("GET", "/200")
        answer, read = connection.getresponse(), 0
        while part := answer.read(_MB):
            read += len(part)
    assert read == 200 * _MB


def test_large_upload_fills_no_memory(project: Project, nginx: str) -> None:
    """50 MB arrive; nginx and the application keep them on a disk."""
    body = os.urandom(_MB) * 50
    connection = http.client.HTTPConnection("127.0.0.1", project.port, timeout=120)
    with contextlib.closing(connection):
        connection.request("POST", "/", body)
        assert connection.getresponse().read().decode() == hashlib.sha256(body).hexdigest()
    kind = "stat --file-system --format=%T"
    for container, command in (
        (nginx, f"{kind} /var/cache/nginx"),
        (next(iter(project.replicas())), f"{kind} /tmp"),
    ):
        assert docker("exec", container, *command.split()) != "tmpfs"
        state = docker("inspect", "--format={{.State.OOMKilled}} {{.RestartCount}}", container)
        assert state == "false 0"
