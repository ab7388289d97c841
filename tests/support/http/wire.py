"""Answers, and requests as bytes: what no client library would send."""

import http.client
import json
import socket
from dataclasses import dataclass
from email.message import Message
from typing import Any

from tests.support.waiting import PATIENCE


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    Args:
        status: the status code.
        headers: case-insensitive, None for a missing one; `get_all` returns repeated ones.
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
        """The one `X-Request-ID`; empty if there is none.

        Raises:
            AssertionError: there are several.
        """
        ids = self.headers.get_all("X-Request-ID", [])
        assert len(ids) <= 1, f"X-Request-ID is there {len(ids)} times: {ids}"
        return ids[0] if ids else ""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.body)


def read_answer(connection: socket.socket, method: str = "GET") -> Answer:
    """Read one answer from an open connection; `method` says whether it has a body.

    Raises:
        http.client.BadStatusLine: the peer closed without an answer.
    """
    with http.client.HTTPResponse(connection, method=method) as response:
        response.begin()
        return Answer(response.status, response.headers, response.read())


def sent(port: int, data: bytes) -> socket.socket:
    """Return a fresh connection on which these bytes were sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.sendall(data)
    return connection


def exchange(port: int, request: bytes, method: str = "GET") -> Answer:
    """Send exactly these bytes on a fresh connection and read one answer."""
    with sent(port, request) as connection:
        return read_answer(connection, method)


def expect_problem(answer: Answer, status: int, code: str | None = None) -> dict[str, Any]:
    """Return the problem document (RFC 9457) of an answer, which must have this status and code."""
    assert answer.status == status, answer
    assert answer.media_type == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["title"] not in {"", "Error"}
    assert problem["detail"]
    assert problem["request_id"] == answer.request_id
    assert answer.headers["Cache-Control"] == "no-store"
    assert code is None or problem["code"] == code
    return problem
