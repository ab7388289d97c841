"""A browser that shows everything: each cookie it was ever given, each byte it was sent."""

import http.client
import json
import socket
from base64 import urlsafe_b64decode
from collections.abc import Callable
from email.message import Message
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from flask import Flask

from tests.support.wire import PATIENCE, Answer, ask_on

Send = Callable[[str, str, dict[str, str], bytes | None], Answer]


def to_app(app: Flask) -> Send:
    """Return a way to send requests to an application in this process."""

    def send(method: str, path: str, headers: dict[str, str], body: bytes | None) -> Answer:
        client = app.test_client(use_cookies=False)
        response = client.open(path, method=method, headers=headers, data=body)
        message = Message()
        for name, value in response.headers:
            message[name] = value
        return Answer(response.status_code, message, response.get_data())

    return send


def to_socket(path: Path) -> Send:
    """Return a way to send requests to a server on a unix socket, each on a fresh connection."""

    def send(method: str, target: str, headers: dict[str, str], body: bytes | None) -> Answer:
        connection = _UnixConnection(path)
        try:
            return ask_on(connection, method, target, body, headers)
        finally:
            connection.close()

    return send


class Browser:
    """Keeps the session's cookie as browsers do.

    Attributes:
        cookie: the value it holds now, None for none.
        issued: every value that it was ever given.
        bodies: every body that it was ever sent.
    """

    def __init__(self, send: Send, name: str = "session") -> None:
        self._send = send
        self._name = name
        self.cookie: str | None = None
        self.issued: list[str] = []
        self.bodies: list[bytes] = []

    def get(self, path: str, **headers: str) -> Answer:
        """Send a GET request."""
        return self.send("GET", path, headers=headers)

    def post(self, path: str, **values: Any) -> Answer:
        """Send a POST request with a JSON object."""
        return self.send("POST", path, values)

    def send(
        self,
        method: str,
        path: str,
        values: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send any request, and do to the cookie what the answer says."""
        sent = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if self.cookie is not None:
            sent["Cookie"] = f"{self._name}={self.cookie}"
        body = None
        if values is not None:
            sent["Content-Type"] = "application/json"
            body = json.dumps(values).encode()
        answer = self._send(method, path, sent, body)
        self.bodies.append(answer.body)
        for line in answer.headers.get_all("Set-Cookie", []):
            morsel = SimpleCookie(line).get(self._name)
            if morsel is None:
                continue
            self.cookie = morsel.value or None
            if morsel.value:
                self.issued.append(morsel.value)
        return answer

    def twin(self) -> "Browser":
        """Return a second browser that holds the same cookie now: a thief, or another tab."""
        other = Browser(self._send, self._name)
        other.cookie = self.cookie
        return other


def identifier(cookie: str) -> bytes:
    """Return the 32 secret bytes of a cookie's value."""
    return urlsafe_b64decode(cookie)[8:40]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self._path))
