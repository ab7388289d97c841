"""An HTTP client with a cookie jar, over unix sockets or to a port of 127.0.0.1.

All requests in flight share the jar, like the tabs of a browser. With several servers, requests go
to each in turn.
"""

import contextlib
import http.client
import itertools
import json
import socket
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple

from loadtest.errors import LoadTestError

_TIMEOUT = 20.0


class Answer(NamedTuple):
    """A status, and the body's JSON, None if it is not JSON."""

    status: int
    body: Any


class Browser:
    """See the module. Several threads may call its methods."""

    def __init__(
        self,
        server: Path | int | Sequence[Path],
        cookies: dict[str, str] | None = None,
        *,
        timeout: float = _TIMEOUT,
    ) -> None:
        self._timeout = timeout
        self._servers = itertools.cycle([server] if isinstance(server, Path | int) else server)
        self._cookies = dict(cookies or {})
        self._lock = threading.Lock()

    def cookies(self) -> dict[str, str]:
        """Return a copy of the jar."""
        with self._lock:
            return dict(self._cookies)

    def header(self) -> str:
        """Return the jar as the value of a Cookie header."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies().items())

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Send one request, with a body as JSON if there is one."""
        content = None if body is None else json.dumps(body).encode()
        return self.send(method, path, content)

    def expect(self, method: str, path: str, body: object = None) -> Any:
        """Send one request; return the body's JSON.

        Raises:
            LoadTestError: it was not answered with 200 or 204.
        """
        status, found = self.ask(method, path, body)
        if status not in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
            raise LoadTestError(f"{method} {path} was answered {status}")
        return found

    def send(
        self, method: str, path: str, content: bytes | None, content_type: str = "application/json"
    ) -> Answer:
        """Send one request on a new connection, and keep the cookies of its answer."""
        headers = {"Host": "localhost", "Connection": "close"}
        if cookies := self.header():
            headers["Cookie"] = cookies
        if content is not None:
            headers["Content-Type"] = content_type
        with self._lock:
            server = next(self._servers)
        connection = _connection(server, self._timeout)
        try:
            # A server may refuse before it has read the body: its answer can be read then.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body=content, headers=headers)
            response = connection.getresponse()
            data = response.read()
            self._keep(response.headers.get_all("Set-Cookie", []))
        finally:
            connection.close()
        is_json = "json" in response.headers.get_content_type()
        return Answer(response.status, json.loads(data) if is_json else None)

    def _keep(self, headers: list[str]) -> None:
        for header in headers:
            for name, morsel in SimpleCookie(header).items():
                ended = morsel["max-age"] == "0" or morsel["expires"].endswith("1970 00:00:00 GMT")
                with self._lock:
                    if ended:
                        self._cookies.pop(name, None)
                    else:
                        self._cookies[name] = morsel.value


def _connection(server: Path | int, timeout: float) -> http.client.HTTPConnection:
    if isinstance(server, int):
        return http.client.HTTPConnection("127.0.0.1", server, timeout=timeout)
    return _UnixConnection(server, timeout)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, server: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._server = server

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._server))
