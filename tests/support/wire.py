"""HTTP as it is on the wire: what no client library would send or show."""

import contextlib
import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

# Longer than any answer takes here, shorter than a person waits for a hung test (seconds).
PATIENCE = 40.0


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    Args:
        status: the status code.
        headers: case-insensitive; ``get_all`` shows repeated ones.
        body: the bytes after the header.
    """

    status: int
    headers: Message
    body: bytes

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.headers.get_content_type()

    @property
    def request_id(self) -> str:
        """The one ``X-Request-ID``; empty if there is none.

        Raises:
            AssertionError: there are several.
        """
        ids = self.headers.get_all("X-Request-ID", [])
        assert len(ids) <= 1, f"X-Request-ID is there {len(ids)} times: {ids}"
        return ids[0] if ids else ""

    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.body)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on now, and another one each time."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        # The system may give the same one twice to who asks for two before using the first.
        if port not in _given:
            _given.add(port)
            return port


_given: set[int] = set()


def read_answer(connection: socket.socket, method: str = "GET") -> Answer:
    """Read one answer off an open connection; ``method`` says whether it has a body.

    Raises:
        http.client.BadStatusLine: the peer closed without an answer.
    """
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    with response:
        return Answer(response.status, response.headers, response.read())


def exchange(port: int, request: bytes, method: str = "GET") -> Answer:
    """Send these very bytes on a fresh connection and read one answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        return read_answer(connection, method)


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request on a fresh connection and return its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        return ask_on(connection, method, path, body, headers)
    finally:
        connection.close()


def ask_on(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request on a connection that may be kept alive and return its answer."""
    # A server may refuse before it has read the body: its answer is there all the same.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(method, path, body=body, headers=dict(headers or {}))
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())
